"""All ten experiments in one command, as a user runs them: each at its own length, all within twelve minutes."""

from __future__ import annotations

import time
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import live, support

MOST_S = 12 * 60.0


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ready")
def test_all_ten_pass_in_one_command_within_twelve_minutes(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = support.ansible("playbooks/all.yml", timeout=880, chaos_report_dir=str(tmp_path))
    took = time.monotonic() - begun

    assert done.returncode == 0, done.stdout[-8000:]
    reports = [support.Report(log.with_suffix("")) for log in sorted(tmp_path.glob("chaos-exp-*.log"))]
    numbers = [report.stem.name.split("-")[2] for report in reports]
    assert numbers == [f"{number:02}" for number in range(1, 11)]
    for report in reports:
        jsonschema.validate(report.record, live.SCHEMA)
        assert report.record["outcome"] == "passed", report.log[-6000:]
        assert report.record["verdicts"] == live.PASSED
    assert support.leftovers() == []
    print(f"all ten in {took:.0f} s")
    assert took <= MOST_S
