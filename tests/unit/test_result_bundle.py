# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw data as one file: every raw file, readable alone, nothing else."""

from __future__ import annotations

import gzip
import json
import tarfile
import time
from pathlib import Path

from ansible_collections.exchange.chaos.plugins.module_utils import bundle, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.rundir import RunDir, write_json


def test_each_raw_file_comes_with_the_anchor_that_dates_it(tmp_path: Path) -> None:
    anchor = {"boottime": 10.0, "realtime": time.time(), "boot_id": "b"}
    write_json(tmp_path / "spec.json", {"anchor": anchor, "password": "secret"})
    for name in ("load", "probes"):
        writer = jsonl.Writer(tmp_path / f"{name}.jsonl")
        writer.write({"n": 1, "at": 11.0}, {"n": 2, "at": 12.0})
        writer.close()
    (tmp_path / "chaos.pyz").write_bytes(b"runtime")
    for _ in range(2):  # packing again replaces it, and does not pack itself
        path = bundle.pack(RunDir(tmp_path))
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as archive:
            assert archive.getnames() == ["load.jsonl.gz", "probes.jsonl.gz"]
            stream = archive.extractfile("load.jsonl.gz")
            assert stream is not None
            lines = [json.loads(line) for line in gzip.decompress(stream.read()).splitlines()]
    assert lines == [{"anchor": anchor}, {"n": 1, "at": 11.0}, {"n": 2, "at": 12.0}]
