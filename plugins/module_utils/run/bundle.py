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
from typing import Any, BinaryIO

from ..common import bounds
from ..common.files import open_regular
from ..common.json_files import read_json
from .folder import RunDir

NAME = "raw.tar"
#: So much is compressed at once.
_PART = 256 * bounds.KIB
#: What of a run is one document (``NAME.json``) and no list of samples.
DOCUMENTS = ("spec", "capture", "ledger", "restore")
_SECRET = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)


def pack_bundle(run: RunDir) -> Path:
    """Pack every raw file of the run and return the bundle's path; packing again replaces it.

    They are compressed as they are read: a run may have a gigabyte of them, and an exchange's host no room for that.
    What is no regular file is none of ours. Raises OSError when the disk refuses it.
    """
    path = run.file(NAME)
    first = f"{json.dumps({'anchor': asdict(run.anchor)})}\n".encode()
    path.unlink(missing_ok=True)
    try:
        with tarfile.open(path, "w") as archive:
            for name in sorted({*(source.name for source in run.path.glob("*.jsonl")), "run.jsonl"}):
                try:
                    content = (
                        io.BytesIO(_documents(run)) if name == "run.jsonl" else open_regular(run.file(name))
                    )
                except OSError:
                    continue
                with content:
                    _add_member(archive, f"{name}.gz", first, content)
        path.chmod(0o600)
    except OSError:
        path.unlink(missing_ok=True)  # half of it would take the room that others need
        raise
    return path


def _add_member(archive: tarfile.TarFile, name: str, first: bytes, content: BinaryIO) -> None:
    """Add what is read, compressed, up to what the samples of a run may be."""
    packed, left = io.BytesIO(), bounds.SAMPLES
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as stream:
        stream.write(first)
        while left > 0 and (part := content.read(min(_PART, left))):
            stream.write(part)
            left -= len(part)
    member = tarfile.TarInfo(name)
    member.size, member.mode = packed.tell(), 0o600
    packed.seek(0)
    archive.addfile(member, packed)


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
