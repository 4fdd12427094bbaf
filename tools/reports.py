# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what real runs came to: the end of each report for docs/experiments.md, the raw data for the tests of judging.

Usage: python tools/reports.py FOLDER   (what `ansible-playbook playbooks/all.yml -e chaos_report_dir=FOLDER` wrote,
or extended.yml, whose raw data no test judges again: of those the report alone is kept)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "reports"
RAW = ROOT / "tests" / "unit" / "data" / "runs"
FIRST = ("FINDINGS AND", "KEY FINDINGS:")


def shown(log: str) -> str:
    """Return the part of a log from its findings on, without the paths of this machine."""
    lines = log.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(FIRST)), len(lines))
    end = next((i for i, line in enumerate(lines) if i > start and line.startswith("log:")), len(lines))
    return "\n".join(lines[start:end]).rstrip() + "\n"


def keep_raw(record: Path, kept: Path) -> None:
    """Replace a folder by the raw files of a run of one host, each as RAW.jsonl.gz."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for path in record.parent.glob(f"{record.stem}.*.jsonl.gz"):
        shutil.copyfile(path, kept / ".".join(path.name.split(".")[-3:]))


def main(folder: Path) -> int:
    """Write docs/reports/NN-name.txt, and the raw data, of each record in the folder; the newest run counts."""
    KEPT.mkdir(exist_ok=True)
    for path in sorted(folder.glob("chaos-exp-*.json")):
        record = json.loads(path.read_text())
        if record["outcome"] == "skipped":
            continue
        experiment = record["experiment"]
        number = f"{experiment['number']:02d}"
        name = f"{number}-{experiment['name'].replace('_', '-')}.txt"
        head = f"{experiment['title']}, {record['started_at'][:19]}Z, collection {record['collection_version']}\n\n"
        (KEPT / name).write_text(head + shown(path.with_suffix(".log").read_text()))
        if (RAW / number).is_dir():
            keep_raw(path, RAW / number)
        print(f"{name}: {record['outcome']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
