# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw data of an ended run as one file: a tar of gzip-compressed JSON lines, ready to be carried home.

The first line of each is the run's anchor, so that whoever reads it alone can tell the time of day of its samples.
What was no list of samples, the run's specification among it, is a line each of ``run.jsonl``: with that, the bundle
holds all that the run is judged by. Passwords stay on the host.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..common.json_files import read_json
from .folder import RunDir

NAME = "raw.tar"
#: What of a run is one document (``NAME.json``) and no list of samples.
DOCUMENTS = ("spec", "capture", "ledger", "restore")
_SECRET = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)


def pack_bundle(run: RunDir) -> Path:
    """Pack every raw file of the run and return the bundle's path; packing again replaces it."""
    path = run.file(NAME)
    first = f"{json.dumps({'anchor': asdict(run.anchor)})}\n".encode()
    files = {source.name: source.read_bytes() for source in run.path.glob("*.jsonl")}
    with tarfile.open(path, "w") as archive:
        for name, content in sorted({**files, "run.jsonl": _documents(run)}.items()):
            data = gzip.compress(first + content, 6)
            member = tarfile.TarInfo(f"{name}.gz")
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    path.chmod(0o600)
    return path


def _documents(run: RunDir) -> bytes:
    """A line for each document of the run: its name, and what it holds for others to see."""
    known = {name: read_json(run.file(f"{name}.json")) for name in DOCUMENTS}
    lines = [{"document": name, "value": _shown(value)} for name, value in known.items() if value is not None]
    return b"".join(f"{json.dumps(line, separators=(',', ':'))}\n".encode() for line in lines)


def _shown(value: Any) -> Any:
    """The value without what is secret in it."""
    if isinstance(value, dict):
        return {key: None if _SECRET.search(str(key)) else _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else value
