# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the hosts of a wave hear of each other's abort: a file each, in a folder that all workers of a play share.

The hosts know nothing of each other, and Ansible's workers no common memory. The folder is the one that the controller
makes for this very ansible-playbook, and removes when it ends.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from ansible import constants

from ...module_utils.common.shapes import Result


def announce_abort(run_id: str, host: str, reason: str) -> None:
    """Let the other hosts of a run know that ``host`` was aborted. Raises OSError when the folder refuses."""
    folder = _folder(run_id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / quote(host, safe="")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"host": host, "reason": reason}))
    temporary.replace(path)


def pass_on(run_id: str, host: str, result: Result) -> None:
    """Let the other hosts know if a module's result says ``aborted``; a folder that refuses is a warning in it."""
    if not result.get("aborted"):
        return
    try:
        announce_abort(run_id, host, str(result["aborted"]))
    except OSError as error:
        result["warnings"] = [f"The other hosts of the wave do not hear of the abort: {error}"]


def find_abort(run_id: str, host: str) -> str:
    """Return why another host of the run than ``host`` was aborted, the first by name; an empty text if none was."""
    try:
        paths = sorted(path for path in _folder(run_id).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return ""
    for path in paths:
        told = json.loads(path.read_text())
        if told["host"] != host:
            return f"{told['host']}, of the same wave, was aborted: {told['reason']}"
    return ""


def _folder(run_id: str) -> Path:
    return Path(constants.DEFAULT_LOCAL_TMP) / "exchange-chaos" / quote(run_id, safe="")
