# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One JSON document in a file: replaced in one step, and read as if a stranger had written it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from .disk_room import give_room
from .files import read_regular


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
    """Replace ``path`` by ``value`` as JSON in one step: a reader sees the old or the new file, never half of one.

    On a full disk the room that was kept in the same folder is given up for it. Raises OSError when the disk refuses;
    the old file stays then.
    """
    try:
        _replace(path, value, sync)
    except OSError as error:
        if not give_room(path.parent, error):
            raise
        _replace(path, value, sync)


def _replace(path: Path, value: Any, sync: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as stream:
            json.dump(value, stream, separators=(",", ":"), default=str)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the JSON in ``path``; None when there is no such file, or it is damaged, too large or no regular file."""
    try:
        return json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; an empty one when there is none."""
    value = read_json(path)
    return value if isinstance(value, dict) else {}
