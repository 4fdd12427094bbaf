# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw data as one file: every raw file, readable alone, all that the run was judged by, and no secret."""

from __future__ import annotations

import errno
import gzip
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run import bundle
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.modules import record


def test_each_raw_file_comes_with_the_anchor_that_dates_it(tmp_path: Path) -> None:
    anchor = {"boottime": 10.0, "realtime": time.time(), "boot_id": "b"}
    spec: dict[str, Any] = {"anchor": anchor, "faults": [{"id": "crash"}], "database": {"user": "trader"}}
    said = json.loads(json.dumps(spec))
    said["database"]["password"] = said["faults"][0]["password"] = said["apiKey"] = "hush"
    write_json(tmp_path / "spec.json", said)
    write_json(tmp_path / "ledger.json", {"lost": 0})
    for name in ("load", "probes"):
        writer = jsonl.Writer(tmp_path / f"{name}.jsonl")
        writer.write({"n": 1, "at": 11.0}, {"n": 2, "at": 12.0})
        writer.close()
    (tmp_path / "chaos.pyz").write_bytes(b"runtime")
    for _ in range(2):  # packing again replaces it, and does not pack itself
        path = bundle.pack_bundle(RunDir(tmp_path))
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as archive:
            assert archive.getnames() == ["load.jsonl.gz", "probes.jsonl.gz", "run.jsonl.gz"]
            lines, run = ([json.loads(line) for line in text(archive, name)] for name in ("load", "run"))
    assert lines == [{"anchor": anchor}, {"n": 1, "at": 11.0}, {"n": 2, "at": 12.0}]
    assert "hush" not in json.dumps(run)
    spec["apiKey"] = spec["database"]["password"] = spec["faults"][0]["password"] = None
    documents = [{"document": "spec", "value": spec}, {"document": "ledger", "value": {"lost": 0}}]
    assert run == [{"anchor": anchor}, *documents]


def text(archive: tarfile.TarFile, name: str) -> list[bytes]:
    """The lines of one raw file."""
    stream = archive.extractfile(f"{name}.jsonl.gz")
    assert stream is not None
    return gzip.decompress(stream.read()).splitlines()


def test_a_disk_that_takes_no_bundle_costs_the_samples_and_not_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "spec.json", {"anchor": {"boottime": 10.0, "realtime": 1.0, "boot_id": "b"}})
    jsonl.Writer(tmp_path / "load.jsonl").write({"n": 1})

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", refuse)
    lines = Lines()
    assert record.pack_samples(RunDir(tmp_path), lines) == ""
    (line,) = lines.lines
    assert line["level"] == "warn"
    assert f"under {tmp_path}, as they cannot be packed there (No space left on device)" in line["text"]
    assert not (tmp_path / bundle.NAME).exists(), "half of it would take the room that others need"
    assert (tmp_path / "load.jsonl").exists()
