"""The runner of tests and gates says what happened: what it counts, it counts from what ran."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tools import commit, parts, results_page


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


AT = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
SKIPPED = '<skipped message="no netem"/>'


def suite(folder: Path, **cases: str) -> Path:
    """A JUnit file with a test for each name, in the file of tests that its beginning names."""
    tests = "".join(
        f'<testcase classname="tests.e2e.test_{name[0]}" name="{name}" time="2">{inner}</testcase>'
        for name, inner in cases.items()
    )
    path = folder / "suite.xml"
    path.write_text(f"<testsuites><testsuite>{tests}</testsuite></testsuites>")
    return path


def test_the_page_has_a_row_for_each_file_and_says_what_was_skipped_and_why(tmp_path: Path) -> None:
    report = suite(tmp_path, a1="", a2=SKIPPED, a3="<failure/>", b1="", b2="<error/>", b3=SKIPPED, b4=SKIPPED)
    page = results_page.page(results_page.rows(report), "", AT, "abc", ("e2e",))
    assert "| e2e/test_a | 1 | 1 | 1 | 6 | 2026-01-02 03:04 | abc |" in page
    assert "| e2e/test_b | 1 | 1 | 2 | 8 |" in page
    assert "- e2e/test_b: no netem (2)" in page
    assert "2 passed, 2 failed, 3 skipped" in page


def test_a_part_that_ran_alone_renews_its_own_rows_and_no_other(tmp_path: Path) -> None:
    was = results_page.page(
        [results_page.Row("unit", 9), *results_page.rows(suite(tmp_path, a1="<failure/>", b1=SKIPPED))],
        "", AT, "abc", ("unit", "e2e"),
    )  # fmt: skip
    now = results_page.page(results_page.rows(suite(tmp_path, a1="", a2="")), was, AT, "def", ("unit", "e2e"))
    for kept in (
        "| unit | 9 | 0 | 0 | 0 | 2026-01-02 03:04 | abc |",
        "| e2e/test_b | 0 | 0 | 1 |",
        "- e2e/test_b: ",
    ):
        assert kept in now
    assert "| e2e/test_a | 2 | 0 | 0 | 4 | 2026-01-02 03:04 | def |" in now
    assert now.count("| e2e/test_a |") == 1
    assert "11 passed, 0 failed, 1 skipped" in now


def test_a_file_that_is_no_more_leaves_the_page_with_its_suite(tmp_path: Path) -> None:
    rows = [results_page.Row("unit", 9), *results_page.rows(suite(tmp_path, a1="", b1=SKIPPED))]
    was = results_page.page(rows, "", AT, "abc", ("unit", "e2e"))
    assert results_page.without(was, ["e2e/test_b"]).count("e2e/test_b") == 0
    assert "| e2e/test_a |" in results_page.without(was, ["e2e/test_b"])
    left = results_page.without(was, ["e2e"])
    assert "| unit | 9 |" in left
    assert "e2e/test_" not in left.replace("e2e/test_mutations.py", "")


def test_a_suite_that_broke_off_is_no_page_of_green_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tests up to then passed, and pytest's exit code is all that tells."""
    monkeypatch.setattr(parts, "RESULTS", tmp_path)
    suite(tmp_path, a1="").rename(tmp_path / "e2e.xml")
    rows = parts.kept_rows(parts.Result("e2e", 1, 1, 0, 9.0))
    assert [(row.name, row.passed, row.failed) for row in rows] == [("e2e/test_a", 1, 0), ("e2e", 0, 1)]


def test_a_part_is_a_gate_a_suite_or_one_file_of_it() -> None:
    for word in ("lint", "ruff", "fleet", "e2e/test_mutations.py"):
        assert parts.part(word) == word
    for word in ("e2e/", "e2e/test_nothing.py", "unit/test_state.py", "everything"):
        with pytest.raises(argparse.ArgumentTypeError, match="it must be"):
            parts.part(word)


def test_every_gate_is_run() -> None:
    scripts = {path.name for path in (parts.ROOT / "tools" / "gates").iterdir() if not path.suffix}
    assert set(parts.GATES) == scripts


def test_every_test_of_a_suite_runs_beside_others_or_alone_and_once() -> None:
    for full, more in ((False, " and not full"), (True, "")):
        beside, alone = parts.marked("not alone", full), parts.marked("alone", full)
        assert (beside, alone) == (f"not alone{more}", f"alone{more}")
    assert parts.marked("", False) == "not full"
    assert parts.marked("", True) == ""


def test_slow_unit_tests_are_left_out_only_when_told_to() -> None:
    assert parts.lane("unit", False, swift=True)[-2:] == ["-m", "not slow and not full"]
    assert parts.lane("unit", False)[-2:] == ["-m", "not full"]
    assert "-m" not in parts.lane("unit", True)[3:]


def test_a_file_of_which_some_tests_ran_apart_is_one_row(tmp_path: Path) -> None:
    rows = [
        *results_page.rows(suite(tmp_path, a1="", a2=SKIPPED, b1="")),
        *results_page.rows(suite(tmp_path, a3="<failure/>", a4=SKIPPED)),
    ]
    first, second = results_page.merged(rows)
    assert (first.name, first.passed, first.failed, first.skipped) == ("e2e/test_a", 1, 1, 2)
    assert (first.seconds, first.reasons) == (8, {"no netem": 2})
    assert (second.name, second.passed) == ("e2e/test_b", 1)


def test_where_the_time_went_is_told_by_the_slowest_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "RESULTS", tmp_path)
    cases = "".join(f'<testcase classname="tests.unit.test_a" name="t{n}" time="{n}.25"/>' for n in range(12))
    (tmp_path / "unit.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    results = [parts.Result("ruff", 1, 0, 0, 0.2), parts.Result("unit", 12, 0, 0, 90.0)]
    lines = parts.slowest(results).splitlines()
    assert lines[0] == "the slowest 10 of 12 tests, in seconds"
    assert lines[1].split() == ["11.2", "unit.test_a::t11"]
    assert lines[10].split() == ["2.2", "unit.test_a::t2"]


def test_a_table_that_is_written_does_not_make_its_commit_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("table", "code"):
        (tmp_path / name).write_text("before")
    git("add", ".")
    git("commit", "-m", "all")
    monkeypatch.setattr(commit, "ROOT", tmp_path)
    clean = commit.describe_commit()
    (tmp_path / "table").write_text("after")
    assert commit.describe_commit(tmp_path / "table") == clean
    assert commit.describe_commit() == f"{clean}-dirty"
    (tmp_path / "code").write_text("after")
    assert commit.describe_commit(tmp_path / "table") == f"{clean}-dirty"


@pytest.mark.parametrize(
    ("words", "first", "live"),
    [
        (["ruff", "lab"], {"lab", "ruff"}, []),
        (["unit"], {"unit"}, []),
        (["unit", "lab", "fleet", "module"], {"lab", "unit"}, ["module", "module-alone", "fleet"]),
        (["unit", "module/test_kill.py"], {"unit"}, ["module/test_kill.py"]),
        (["--full", "fleet", "unit", "module"], {"unit"}, ["module", "module-alone", "fleet"]),
    ],
)
def test_nothing_is_beside_what_breaks_things_on_this_machine(
    words: list[str], first: set[str], live: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []

    def run(name: str, *_command: Any) -> parts.Result:
        ran.extend([f"{name} begins", f"{name} ends"])
        return parts.Result(name, 1, 0, 0, 0.1)

    monkeypatch.setattr(parts, "run_quietly", run)
    monkeypatch.setattr(parts, "run_suite", lambda name, _full: run(name))
    monkeypatch.setattr(parts, "keep", lambda _results: None)
    monkeypatch.setattr(parts, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["parts", *words])
    assert parts.main() == 0
    assert {word.split()[0] for word in ran[: 2 * len(first)]} == first
    assert ran[2 * len(first) :] == [f"{name} {what}" for name in live for what in ("begins", "ends")]
