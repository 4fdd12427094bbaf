# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw data of an ended run as one file: a tar of gzip-compressed JSON lines, ready to be carried home.

The first line of each is the run's anchor, so that whoever reads it alone can tell the time of day of its samples.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

from .rundir import RunDir

NAME = "raw.tar"


def pack(run: RunDir) -> Path:
    """Pack every raw file of the run and return the bundle's path; packing again replaces it."""
    path = run.file(NAME)
    first = f"{json.dumps({'anchor': asdict(run.anchor)})}\n".encode()
    with tarfile.open(path, "w") as archive:
        for source in sorted(run.path.glob("*.jsonl")):
            data = gzip.compress(first + source.read_bytes(), 6)
            member = tarfile.TarInfo(f"{source.name}.gz")
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    path.chmod(0o600)
    return path
