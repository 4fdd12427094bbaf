# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw data of real runs on the embedded exchange, one of each experiment, as tools/reports.py kept them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence, load_evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

DATA = Path(__file__).resolve().parent / "data" / "runs"
NUMBERS = tuple(range(1, 11))
#: The same as parameters: in `make test` a kill, an impairment, a limit and several at once, all in `make test-full`.
EACH = [
    number if number in (1, 2, 4, 10) else pytest.param(number, marks=pytest.mark.full) for number in NUMBERS
]
#: A run of experiment 01 on the exchange with every weakness of its profile ``fragile``: it failed.
FRAGILE = DATA.parent / "fragile"


def evidence(number: int, folder: Path, data: Path = DATA) -> Evidence:
    """Lay a run's raw files out as they were on its host, and load them."""
    for path in (data / f"{number:02d}").glob("*.jsonl.gz"):
        _anchor, *lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        if path.name == "run.jsonl.gz":
            for line in map(json.loads, lines):
                write_json(folder / f"{line['document']}.json", line["value"])
        else:
            (folder / path.name.removesuffix(".gz")).write_bytes(b"".join(lines))
    return load_evidence(RunDir(folder))


def report(number: int, folder: Path, data: Path = DATA, day: int = 24) -> tuple[dict[str, Any], str]:
    """Lay a run's record and raw samples out as its report had them; return the record and the stem of the files."""
    work = folder / f"run-{number:02d}-{day:02d}"
    work.mkdir()
    record = run_record(evidence(number, work, data))
    stem = folder / f"chaos-exp-{number:02d}-202611{day:02d}-020000"
    (folder / f"{stem.name}.json").write_text(json.dumps(record))
    for path in (data / f"{number:02d}").glob("*.jsonl.gz"):
        shutil.copyfile(path, folder / f"{stem.name}.{record['hosts'][0]['host']}.{path.name}")
    return record, str(stem)
