# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a host's run again from its raw samples beside a report: the host's record itself may be lost.

A playbook that was killed after a host's raw samples came home took that host's record with it, and the host had
given its own away. The raw samples hold all that it was judged by.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from ...module_utils.common.errors import ChaosError
from ...module_utils.common.json_files import write_json
from ...module_utils.evidence.evidence import Evidence, load_evidence
from ...module_utils.run.bundle import DOCUMENTS
from ...module_utils.run.folder import RunDir
from .raw_lines import read_lines
from .report_files import raw_name

#: A set of raw samples is whole if it has these: they come home in the order of their names, the timeline last.
_NEEDED = {"run", "timeline"}


def unpack_evidence(stem: str, host: str) -> Evidence | None:
    """Return what a host's raw samples beside ``stem`` hold; None if they are not there, not whole, or damaged."""
    found = _raw_files(stem, host)
    if not set(found) >= _NEEDED:
        return None
    with TemporaryDirectory(prefix="chaos-again-") as folder:
        try:
            for raw, path in found.items():
                _unpack(Path(folder), raw, path)
            return load_evidence(RunDir(folder))
        except (OSError, EOFError, ValueError, KeyError, TypeError, ChaosError):
            return None


def _raw_files(stem: str, host: str) -> dict[str, str]:
    """Return the raw files of a host by their name (bpf, load, …)."""
    folder, name = os.path.split(stem)
    pattern = re.compile(rf"{re.escape(f'{name}.{raw_name(host)}')}\.([a-z]+)\.jsonl\.gz")
    matches = [
        pattern.fullmatch(each)
        for each in (os.listdir(folder or ".") if os.path.isdir(folder or ".") else [])
    ]
    return {match[1]: os.path.join(folder, match[0]) for match in matches if match}


def _unpack(folder: Path, raw: str, path: str) -> None:
    """Lay a raw file out as it was on its host; the anchor in its first line is in the specification, too."""
    lines = read_lines(path)
    next(lines, None)
    if raw != "run":
        with (folder / f"{raw}.jsonl").open("w") as laid:
            laid.writelines(f"{json.dumps(item)}\n" for item in lines)
        return
    for item in lines:
        if item.get("document") in DOCUMENTS:
            write_json(folder / f"{item['document']}.json", item.get("value"))
