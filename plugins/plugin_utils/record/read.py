# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a record, and say in one sentence why a file is none."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...module_utils.common import bounds
from ...module_utils.common.files import read_regular
from ...module_utils.common.shapes import is_whole
from .missing_host import make_missing_host
from .schema import find_problems

Record = dict[str, Any]
VERSION = 1
_SCHEMA = Path(__file__).resolve().parents[3] / "files" / "record.schema.json"
_LARGEST = 64 * 1024 * 1024  # what a host may keep; a record is far smaller
_LARGEST_HOST = 1024 * 1024  # sixteen times what a host makes of one
_MOST_WAVES = 10_000


class RecordError(Exception):
    """A file that is no record; the message is one sentence for people."""


@lru_cache(maxsize=1)
def read_schema() -> dict[str, Any]:
    """Return the JSON Schema of the record."""
    loaded: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return loaded


def check_record(record: object, name: str) -> Record:
    """Return ``record`` if it is one of the version known here.

    Raises RecordError with one sentence that begins with ``name`` and gives the first problem.
    """
    if not isinstance(record, dict) or "schema_version" not in record:
        raise RecordError(f"{name} is not a record of exchange.chaos: it has no schema_version.")
    version = record["schema_version"]
    if version != VERSION or isinstance(version, bool):
        raise RecordError(
            f"{name} has schema_version {version!r}, this collection reads version {VERSION} only."
        )
    found = find_problems(record, read_schema())
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise RecordError(f"{name} does not match the schema of a record: {found[0]}{more}.")
    return record


def own_users() -> tuple[int, int]:
    """Return whose files beside a report are believed: those of who runs, and root's."""
    return (os.geteuid(), 0)


def sound_host(host: Record) -> Record:
    """Return a host's record if it is one; else a record of that host which says what is wrong with it.

    What one host sent must not cost the others theirs.
    """
    try:
        written = json.dumps(host, allow_nan=False)
        size = len(written)
        found = find_problems(host, {**read_schema(), "$ref": "#/$defs/host"})
        if size > _LARGEST_HOST:
            found = [f"it is {size >> 10} KiB large, more than any host's"]
        elif not found:
            bounds.parse_json(
                written, largest=_LARGEST_HOST
            )  # nor has it numbers that nobody can reckon with
    except (ValueError, TypeError, RecursionError) as error:
        found = [bounds.fit_line(str(error), 120)]
    if not found:
        return host
    wave = host.get("wave")
    known = is_whole(wave) and 1 <= wave < _MOST_WAVES
    why = bounds.fit_line(found[0], 200)
    reason = f"What this host sent is no record of a host, and nothing of it is believed: {why}."
    name = bounds.fit_line(str(host.get("host") or "unknown"), 253) or "unknown"
    return make_missing_host(name, "invalid", reason, wave if known and isinstance(wave, int) else 1)


def load_record(path: str) -> Record:
    """Return the record in the file ``path``. Raises RecordError when it cannot be read or is none."""
    return check_record(read_any(path), f"The record {path}")


def read_any(path: str) -> Any:
    """Return the JSON in the file ``path``, whatever it is. Raises RecordError when it cannot be read."""
    try:
        text = read_regular(path, largest=_LARGEST, owners=own_users()).decode("utf-8")
    except OSError as error:
        raise RecordError(f"The record {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"The record {path} is not text in UTF-8.") from error
    try:
        return bounds.parse_json(text, largest=_LARGEST)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The record {path} is not valid JSON: {error}.") from error
