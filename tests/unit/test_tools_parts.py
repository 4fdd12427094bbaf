"""The runner of tests and gates says what happened: what it counts, it counts from what ran."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tools import parts


def test_counts_come_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "suite.xml"
    report.write_text(
        '<testsuites><testsuite name="pytest" tests="9" failures="2" errors="1" skipped="1"/></testsuites>'
    )
    assert parts.counts(report) == (5, 3, 1)


def test_a_suite_that_wrote_no_report_has_failed(tmp_path: Path) -> None:
    assert parts.counts(tmp_path / "none.xml") == (0, 1, 0)


@pytest.mark.parametrize(
    ("passed", "failed", "ok"),
    [(3, 0, True), (3, 1, False), (0, 0, False)],
)
def test_a_part_without_a_passed_test_has_not_passed(passed: int, failed: int, ok: bool) -> None:
    assert parts.Result("unit", passed, failed, 0, 1.0).ok is ok


def test_the_last_line_sums_up() -> None:
    results = [parts.Result("ruff", 1, 0, 0, 0.2), parts.Result("unit", 40, 2, 3, 5.0)]
    assert parts.table(results).splitlines()[-1] == "41 passed, 2 failed, 3 skipped"


def test_the_page_says_what_was_skipped_and_why(tmp_path: Path) -> None:
    report = tmp_path / "suite.xml"
    case = '<testcase><skipped message="no netem"/></testcase>'
    report.write_text(f'<testsuites><testsuite tests="3">{case}{case}<testcase/></testsuite></testsuites>')
    page = parts.page([parts.Result("module", 1, 0, 2, 7.4)], {"module": parts.skips(report)}, "")
    assert "| module | 1 | 0 | 2 | 7 |" in page
    assert "- module: no netem (2)" in page


def test_a_part_that_ran_alone_renews_its_own_row_and_no_other() -> None:
    was = parts.page(
        [parts.Result("unit", 9, 0, 0, 1), parts.Result("e2e", 3, 1, 1, 60)],
        {"unit": Counter(), "e2e": Counter({"no netem": 1})},
        "",
    )
    rows = [line for line in was.splitlines() if line.startswith(("| unit", "| e2e", "- e2e"))]
    now = parts.page([parts.Result("e2e", 4, 0, 0, 61)], {"e2e": Counter()}, was)
    assert rows[0] in now
    assert "| e2e | 4 | 0 | 0 | 61 |" in now
    assert "| e2e | 3 |" not in now
    assert "Nothing was skipped." in now


def test_every_gate_is_run() -> None:
    scripts = {path.name for path in (parts.ROOT / "tools" / "gates").iterdir() if not path.suffix}
    assert set(parts.GATES) == scripts
