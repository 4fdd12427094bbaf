# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as people read it: log, last 30 lines, JUnit."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils import words
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import screen
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import report_paths
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import ending, finding_lines, junit, text

from tests.unit import fleets

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = report_paths("/tmp/chaos-exp-01-20261123-180000", "log", "bpf", "json", "xml")
NAMES = ("passed", "failed", "invalid", "skipped")
Record = dict[str, Any]


def sample(name: str) -> Record:
    record: Record = json.loads((DATA / f"record-{name}.json").read_text())
    return record


def fleet(*names: str) -> Record:
    """Return a record with one host for each sample named, called db-1, db-2, …"""
    record = sample(names[0])
    record["hosts"] = [{**sample(name)["hosts"][0], "host": f"db-{n}"} for n, name in enumerate(names, 1)]
    return record


def finding(**changes: Any) -> Record:
    base = {
        "id": "x",
        "title": "Delay",
        "value": 0.5,
        "unit": "s",
        "threshold": None,
        "verdict": "pass",
        "evidence": "",
    }
    return {**base, **changes}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 11, 12, 13, 40])
@pytest.mark.parametrize("width", [60, 110])
def test_last_30_lines_hold_all_that_counts(name: str, count: int, width: int) -> None:
    record = sample(name)
    record["hosts"][0]["findings"] = [finding(id=f"f{n}", title=f"Finding {n}") for n in range(count)]
    lines = text.render_log(record, FILES, width)[-30:]
    assert "KEY FINDINGS:" in lines
    for start in (
        "1. Did it",
        "2. How long",
        "3. Was an",
        "4. Errors",
        "5. Were",
        "Effect:",
        "Hypothesis:",
        "Restored:",
    ):
        assert sum(line.startswith(start) for line in lines) == 1
    assert all(any(path in line for line in lines) for path in FILES.values())
    shown = ending.render_ending(record, FILES, width)
    assert len(shown) <= 30
    assert (
        max(len(line) for line in shown if not line.startswith(("log:", "BPF", "record:", "JUnit:"))) <= width
    )
    assert "\n".join(shown).count("Finding ") + sum(_folded(line) for line in shown) == count


def _folded(line: str) -> int:
    return int(line.split()[2]) if line.strip().startswith("… and") else 0


def test_folding_keeps_what_failed() -> None:
    record = sample("passed")
    verdicts = ["pass"] * 20 + ["unknown"] * 3 + ["fail"] * 4
    record["hosts"][0]["findings"] = [finding(id=f"f{n}", verdict=v) for n, v in enumerate(verdicts)]
    lines = ending.render_ending(record, FILES)
    findings = lines[1 : lines.index("FIVE QUESTIONS:") - 1]
    marks = [line.split()[-1] for line in findings[:-1]]
    assert marks == ["🚨"] * 4 + ["?"] * 3 + ["✓"] * 4
    assert findings[-1].strip() == "… and 16 more (16 ✓), in full above"
    full = text.render_log(record, FILES)
    assert sum("Delay: 0.5 s" in line for line in full[: full.index("KEY FINDINGS:")]) == len(verdicts)


def test_findings_that_fit_stay_in_their_order() -> None:
    record = sample("failed")
    record["hosts"][0]["findings"] = record["hosts"][0]["findings"][:5]
    assert [line.split(".")[0].strip() for line in ending.render_ending(record, FILES)[1:6]] == list("12345")


@pytest.mark.parametrize("name", NAMES)
def test_unknown_never_reads_as_good(name: str) -> None:
    record = sample(name)
    for host in record["hosts"]:
        for each in host["findings"]:
            each.update(verdict="unknown", value=None)
        host["verdicts"] = record["verdicts"] = dict.fromkeys(host["verdicts"], "unknown")
        for fault in host["faults"]:
            for proof in fault["proof"]:
                proof["holds"] = None
    lines = text.render_report(record, FILES)
    assert not [line for line in lines[1:] if "✓" in line]
    assert all(
        line.rstrip().endswith("?") for line in ending.render_ending(record, FILES)[1:3] if ". " in line
    )


def test_nothing_good_is_said_of_a_record_that_knows_nothing() -> None:
    lines = text.render_report(sample("skipped"), FILES)
    assert "? not measured" in "\n".join(lines)
    assert not [line for line in lines for word in ("yes", "✓", "no,") if word in line]


@pytest.mark.parametrize(
    ("value", "unit", "limit", "shown"),
    [
        (0.014, "s", {"op": "<=", "value": 1.0}, "Delay: 0.014 s (≤ 1 s)"),
        (1.0004, "s", {"op": "<=", "value": 1.0}, "Delay: 1.0004 s (≤ 1 s)"),
        (0.00004, "s", None, "Delay: 0.00004 s"),
        ([0.412, 0.431], "s", {"op": "<=", "value": 60}, "Delay: 0.412 to 0.431 s (≤ 60 s)"),
        ([2.0, 2.0], "s", None, "Delay: 2 s"),
        ([6.09, 6.104], "s", {"op": "<=", "value": 6.1}, "Delay: 6.090 to 6.104 s (≤ 6.1 s)"),
        ([59.99996, 60.0001], "s", {"op": "<=", "value": 60}, "Delay: 59.99996 to 60.00010 s (≤ 60 s)"),
        ([3, 40], "s", None, "Delay: 3 to 40 s"),
        (0.2861, "ratio", {"op": "<=", "value": 0.5}, "Delay: 0.286 (≤ 0.5)"),
        ("errors", None, {"op": "<=", "value": "slowness"}, "Delay: errors (at worst slowness)"),
        (17, "of 1055 orders", {"op": "==", "value": 0}, "Delay: 17 of 1055 orders (= 0)"),
        (True, None, {"op": "==", "value": True}, "Delay: yes (= yes)"),
        (False, None, None, "Delay: no"),
        (None, "s", {"op": ">=", "value": 3}, "Delay: not measured (≥ 3 s)"),
        ("crashed", None, None, "Delay: crashed"),
        (540.49, "ms", None, "Delay: 540 ms"),
        (12.34, "ms", None, "Delay: 12.3 ms"),
        (0, None, None, "Delay: 0"),
        (-0.25, "s", None, "Delay: -0.25 s"),
    ],
)
def test_finding_text_is_made_of_its_data(value: Any, unit: str | None, limit: Any, shown: str) -> None:
    assert finding_lines.finding_text(finding(value=value, unit=unit, threshold=limit)) == shown


def test_answers_of_one_host() -> None:
    lines = "\n".join(ending.render_ending(sample("failed"), FILES))
    assert "Did it recover by itself?        no\n" in lines
    assert "Was an acknowledged order lost?  yes, 17 of 1055; 4.9 ms of loss would have shown\n" in lines
    assert "Were the errors clear?           no: 130 clear, 955 unclear\n" in lines
    assert "BPF absent, so no kernel events" in lines
    assert "2 left behind, first process chaos.pyz load (PID 5120): none → running" in lines


def test_answers_of_several_hosts_name_the_worst() -> None:
    record = fleet("passed", "failed", "skipped")
    lines = "\n".join(ending.render_ending(record, FILES, 200))
    assert "Did it recover by itself?        no on db-2; ? not measured on db-3\n" in lines
    assert "How long did it take?            0.897 s on db-1; ? not measured on db-2, db-3\n" in lines
    assert "Was an acknowledged order lost?  yes, 17 of 1055 on db-2" in lines
    assert "first db-2: process chaos.pyz load" in lines
    log = text.render_log(record, FILES)
    assert "[2026-11-23 18:01:00] ✗ db-2: 2 differences between the snapshots" in log
    assert all(" db-" in line for line in log if line.startswith("[") and "ended" not in line)


def test_invalid_says_why() -> None:
    assert "OUTCOME: INVALID: No steady state at the start: nothing was injected." in text.render_log(
        sample("invalid"), FILES
    )
    skipped = (
        "OUTCOME: SKIPPED: This host cannot do this fault: no cgroup v1 or v2 is mounted at /sys/fs/cgroup."
    )
    assert skipped in text.render_log(sample("skipped"), FILES)


def test_text_from_the_target_cannot_command_the_terminal() -> None:
    record = sample("failed")
    nasty = "a\x1b[2Jb\r\nc\x9b31m\u202ed\ud800e\x00"
    host = record["hosts"][0]
    host["questions"]["errors_clear"].update(example=nasty, first_log_line=nasty)
    host["findings"][0].update(title=nasty, value=nasty, unit=nasty, evidence=nasty)
    host["notes"] = [nasty]
    host["timeline"][0]["text"] = nasty
    host["host"] = record["run_id"] = nasty
    whole = "\n".join(text.render_log(record, FILES))
    assert not set(whole) & set("\x1b\r\x9b\u202e\ud800\x00")
    assert "a\\x1b[2Jb  c\\x9b31m\\u202ed\\ud800e\\x00" in whole
    ET.fromstring(junit.render_junit(record).encode())


def test_log_lines() -> None:
    at = "2025-10-06T14:30:15.123Z"
    assert words.log_line(at, "ok", "Docker found") == "[2025-10-06 14:30:15] ✓ Docker found"
    assert words.log_line(at, "warn", "x", "db-1") == "[2025-10-06 14:30:15] ⚠ db-1: x"
    assert [words.level_mark(level) for level in ("fail", "info", None, "odd")] == ["✗", "·", "·", "·"]
    assert words.log_line(None, "ok", "x").endswith(" ✓ x")
    assert words.format_stamp("2025-10-06T14:30:15.123456789Z") == "2025-10-06 14:30:15"


@pytest.mark.parametrize(
    ("name", "failures", "errors", "skipped"),
    [("passed", 0, 0, 1), ("failed", 7, 0, 2), ("invalid", 0, 1, 16), ("skipped", 0, 0, 3)],
)
def test_junit(name: str, failures: int, errors: int, skipped: int) -> None:
    record = sample(name)
    root = ET.fromstring(junit.render_junit(record).encode())
    (suite,) = root
    tests = 3 + len(record["hosts"][0]["findings"]) + errors
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}
    for element in (root, suite):
        assert {key: int(element.get(key, "")) for key in counts} == counts
    assert len(suite.findall("testcase")) == tests
    assert suite.get("hostname") == "localhost"


def test_junit_has_a_suite_per_host() -> None:
    root = ET.fromstring(junit.render_junit(fleet("passed", "failed")).encode())
    assert [suite.get("hostname") for suite in root] == ["db-1", "db-2"]
    assert root.get("failures") == "7"
    (case,) = [each for each in root[1] if each.get("name") == "finding: loss"]
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "Acknowledged orders lost: 17 of 1055 orders (= 0)"


def test_rendering_leaves_the_record_alone() -> None:
    record = fleet("failed", "passed")
    before = copy.deepcopy(record)
    text.render_log(record, FILES)
    junit.render_junit(record)
    assert record == before


def test_documentation_shows_what_is_rendered() -> None:
    page = (DATA.parents[2] / "docs" / "reading-a-report.md").read_text()
    excerpts = re.findall(r"```text\n(.*?)```", page, re.S)
    one = ending.render_ending(sample("failed"), FILES)
    three = text.render_report(fleets.three(), FILES)
    assert len(excerpts) == 6
    for excerpt, rendered in zip(excerpts, (one, one, one, three, three, three)):
        assert set(excerpt.splitlines()) <= set(rendered)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({}, ""),
        ({"phase": "x\x1b[2J"}, "x\\x1b[2J"),
        ({"phase": "fault", "elapsed_s": 3.4}, "fault  3 s"),
        ({"phase": "fault", "elapsed_s": 20, "total_s": 10}, f"[{'#' * 20}]  fault  20 of 10 s"),
        ({"elapsed_s": 5, "total_s": 0, "requests": "many"}, "5 of 0 s"),
        (
            {"phase": "fault", "elapsed_s": 5, "total_s": 10, "requests": 7, "errors": 0, "p50_ms": 1.234},
            f"[{'#' * 10}{'.' * 10}]  fault  5 of 10 s  7 requests, 0 failed, p50 1.23 ms",
        ),
        ({"phase": "fault", "elapsed_s": 0, "total_s": 10, "text": "waiting"}, f"[{'.' * 20}]  waiting"),
    ],
)
def test_live_line(state: Record, line: str) -> None:
    assert screen.progress_line(state) == line
    assert screen.progress_line(state, "db-1") == f"db-1:  {line}".rstrip()


def test_live_line_is_written_over_on_a_terminal_only() -> None:
    live = screen.LiveLine(tty=True, width=10)
    assert live.clear() == ""
    assert live.update("0123456789abc") == "\r\x1b[K01234567…"
    assert live.clear() == "\r\x1b[K"
    assert live.clear() == ""
    plain = screen.LiveLine(tty=False, width=10)
    assert plain.update("0123456789abc") == "0123456789abc\n"
    assert plain.clear() == ""
