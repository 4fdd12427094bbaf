# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fleet: who is worst and why, what holds everywhere in one line, times on one clock."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import results
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import clocks, merge, missing_host
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import read as records
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import report_paths
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import (
    bpf_log,
    ending,
    finding_lines,
    hosts_overview,
    junit,
    text,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import count_columns

from tests.unit import fleets

FILES = report_paths("/tmp/chaos-exp-01-20261123-180000", "log", "bpf", "json", "xml")
Record = dict[str, Any]


def canary() -> Record:
    """Return a fleet of 50 of which only the canary was touched: it failed."""
    first = fleets.host(1, "failed")
    first["leftovers"], first["verdicts"]["restored"] = [], "pass"
    return fleets.record([first, *(fleets.not_begun(number) for number in range(2, 51))])


def all_stubs() -> Record:
    return fleets.record([fleets.unreachable(1), fleets.unreachable(2)])


FLEETS = {"three": fleets.three, "fifty": fleets.fifty, "canary": canary, "stubs": all_stubs}


def table_of(record: Record, width: int = 110) -> list[str]:
    """Return the lines of the table of the hosts, without its heading."""
    lines = text.render_report(record, FILES, width)
    start = next(index for index, line in enumerate(lines) if line.startswith("HOSTS"))
    return lines[start + 2 : lines.index("KEY FINDINGS:") - 1]


@pytest.mark.parametrize("name", FLEETS)
def test_a_fleet_is_a_record_as_any(name: str) -> None:
    record = FLEETS[name]()
    assert records.check_record(record, "it") is record


@pytest.mark.parametrize("name", FLEETS)
@pytest.mark.parametrize("width", [80, 110, 160])
@pytest.mark.parametrize("brief", [True, False])
def test_last_30_lines_hold_all_that_counts(name: str, width: int, brief: bool) -> None:
    record = FLEETS[name]()
    lines = text.render_report(record, FILES, width, brief=brief)
    last = lines[-30:]
    for start in ("KEY FINDINGS:", "1. Did it", "2. How", "3. Was", "4. Errors", "5. Were", "OUTCOME: ",
                  "Effect:", "Hypothesis:", "Restored:"):  # fmt: skip
        assert sum(line.startswith(start) for line in last) == 1, start
    assert all(any(path in line for line in last) for path in FILES.values())
    shown = ending.render_ending(record, FILES, width)
    assert len(shown) <= 30
    assert max(map(len, shown[: shown.index("") + 14])) <= width
    assert max(map(count_columns, table_of(record, width))) <= width


def test_hosts_stand_worst_first_then_slowest() -> None:
    rows = [line.split()[0] for line in table_of(fleets.fifty()) if line.startswith("  host-")]
    # not restored, aborted, invalid, failed (twice, neither recovered), then those that passed, the slowest first
    assert rows == [
        "host-12",
        "host-44",
        "host-40",
        "host-7",
        "host-31",
        *(f"host-{n}" for n in range(50, 45, -1)),
    ]
    assert [line.split()[0] for line in table_of(fleets.three()) if "  1  " in line] == [
        "host-2",
        "host-3",
        "host-1",
    ]


def test_a_row_has_what_one_compares_and_why_it_did_not_pass() -> None:
    rows = table_of(fleets.three())
    assert rows[0].split() == ["host-2", "1", "failed", "✓", "pass", "🚨", "fail", "✓", "pass", "?", "17", "1085",
                               "+2.5", "±", "0.4"]  # fmt: skip
    assert rows[1] == "      hypothesis: Database failure detection: 1.0004 s (≤ 1 s), and 4 more"
    assert rows[2].split()[-6:] == ["0.6", "0", "1085", "-3.75", "±", "0.4"]
    assert len(rows) == 4


@pytest.mark.parametrize("count", [11, 12, 50])
def test_a_long_fleet_is_folded_with_counts(count: int) -> None:
    record = fleets.record([fleets.host(number) for number in range(1, count)] + [fleets.not_begun(count)])
    rows = [line for line in table_of(record) if line.startswith("  host-")]
    assert len(rows) == (11 if count == 11 else 10)
    folds = [line for line in table_of(record) if "… and" in line]
    assert folds == ([] if count == 11 else [f"  … and {count - 10} more: {count - 10} passed"])


def test_screen_has_the_worst_in_full_and_the_log_has_all() -> None:
    record = fleets.fifty()
    screen, log = text.render_report(record, FILES, brief=True), text.render_report(record, FILES)
    assert [line for line in screen if line.startswith("PHASES (host-12)")]
    assert not [line for line in screen if line.startswith("PHASES (host-3)")]
    assert "  40 hosts more: 40 passed. The log has them in full." in screen
    assert [line for line in log if line.startswith("PHASES (host-3)")]
    assert not [line for line in log if "The log has them" in line]
    assert "   7. 🚨 host-31: Orders stored twice" not in screen
    assert [line for line in screen if line.startswith("   6. 🚨 host-31: ")]
    assert [line for line in screen if line.startswith("   6. ✓ host-46: ")]
    assert not [line for line in screen if line.startswith("   6. ✓ host-3: ")]
    assert "      … and 520 ✓ of 40 other hosts, in the log" in screen
    three = fleets.three()
    assert text.render_report(three, FILES, brief=True) == text.render_report(three, FILES)


def test_one_host_has_no_table() -> None:
    lines = text.render_log(fleets.sample("failed"), FILES)
    assert not [line for line in lines if line.startswith("HOSTS") or "controller's clock, their own" in line]


# Key findings


def findings_of(*values: Any, verdicts: str = "", unit: str | None = "s", limit: Any = 60) -> list[str]:
    """Return the key findings of a fleet with one finding; verdicts: a letter a host, p f or u."""
    hosts = []
    for number, value in enumerate(values, 1):
        host = fleets.host(number)
        verdict = {"p": "pass", "f": "fail", "u": "unknown"}[(verdicts or "p" * len(values))[number - 1]]
        threshold = None if limit is None else {"op": "<=", "value": limit}
        host["findings"] = [
            {
                "id": "x",
                "title": "Delay",
                "value": value,
                "unit": unit,
                "threshold": threshold,
                "verdict": verdict,
                "evidence": "",
            }
        ]
        hosts.append(host)
    return [
        f"{line}|{verdict}" for _number, line, verdict in finding_lines.render_findings(fleets.record(hosts))
    ]


@pytest.mark.parametrize(
    ("values", "verdicts", "expected"),
    [
        ([0.3, 0.9, 0.5], "ppp", ["Delay: 0.3 to 0.9 s on 3 hosts (≤ 60 s)|pass"]),
        ([[0.3, 0.4], [0.2, 0.25], 0.9], "ppp", ["Delay: 0.2 to 0.9 s on 3 hosts (≤ 60 s)|pass"]),
        ([0.5, 0.5], "pp", ["Delay: 0.5 s on 2 hosts (≤ 60 s)|pass"]),
        ([59.99996, 59.99997], "pp", ["Delay: 59.99996 to 59.99997 s on 2 hosts (≤ 60 s)|pass"]),
        ([0.3, 71.2, 0.9], "pfp",
         ["host-2: Delay: 71.2 s (≤ 60 s)|fail", "Delay: 0.3 to 0.9 s on 2 of 3 hosts (≤ 60 s)|pass"]),
        ([70, 0.3, 90], "fpf",
         ["host-3: Delay: 90 s (≤ 60 s)|fail", "host-1: Delay: 70 s (≤ 60 s)|fail",
          "host-2: Delay: 0.3 s (≤ 60 s)|pass"]),
        ([70, 61, 90, 62, 1], "ffffp",
         ["Delay: 61 to 90 s on 4 of 5 hosts, worst host-3 (≤ 60 s)|fail", "host-5: Delay: 1 s (≤ 60 s)|pass"]),
        ([None, 1, None], "upu",
         ["Delay: not measured on host-1, host-3 (≤ 60 s)|unknown", "host-2: Delay: 1 s (≤ 60 s)|pass"]),
        ([None, None], "uu", ["Delay: not measured on 2 hosts (≤ 60 s)|unknown"]),
        ([None, 90, 90, 90], "ffff",
         ["Delay: 90 s on 4 hosts, 1 of them not measured, worst host-2 (≤ 60 s)|fail"]),
    ],
)  # fmt: skip
def test_a_finding_that_holds_everywhere_is_one_line(
    values: list[Any], verdicts: str, expected: list[str]
) -> None:
    assert findings_of(*values, verdicts=verdicts) == expected


def test_words_and_wholes_over_hosts() -> None:
    assert findings_of("errors", "slowness", "errors", unit=None, limit=None) == [
        "Delay: errors or slowness on 3 hosts|pass"
    ]
    assert findings_of(True, True, unit=None, limit=None) == ["Delay: yes on 2 hosts|pass"]
    assert findings_of(3, 4, unit="times", limit=None) == ["Delay: 3 to 4 times on 2 hosts|pass"]
    (line,) = [
        line
        for _n, line, _v in finding_lines.render_findings(fleets.three())
        if line.startswith("Orders stored")
    ]
    assert line == "Orders stored twice: 0 of 1001 to 1003 orders on 3 hosts (= 0)"


def test_thresholds_that_differ_are_not_mixed() -> None:
    first, second = fleets.host(1), fleets.host(2)
    first["findings"] = [each for each in first["findings"] if each["id"] == "recovery"]
    second["findings"] = [{**each, "threshold": {"op": "<=", "value": 5}} for each in first["findings"]]
    lines = [line for _n, line, _v in finding_lines.render_findings(fleets.record([first, second]))]
    assert [line.rpartition("(")[2] for line in lines] == ["≤ 60 s)", "≤ 5 s)"]


def test_the_bad_findings_come_first_and_are_folded_last() -> None:
    for record in (fleets.three(), fleets.fifty()):
        lines = ending.render_ending(record, FILES)
        marks = [line.split()[-1] for line in lines[1 : lines.index("") - 1]]
        assert marks == sorted(marks, key=["🚨", "?", "✓"].index)
    # of fifty hosts each bad finding is one line before any is left out
    assert len([line for line in lines if line.endswith("🚨")]) == 5
    assert any("Manual intervention: 1 times on host-7, host-12, host-31 (= 0)" in line for line in lines)


def test_numbers_are_those_of_the_full_list() -> None:
    record = fleets.three()
    full = text.render_report(record, FILES)
    evidence = full[full.index("FINDINGS AND THEIR EVIDENCE:") : full.index("KEY FINDINGS:")]
    assert "   6. 🚨 host-2: Acknowledged orders lost: 17 of 1002 orders (= 0)" in evidence
    (line,) = [
        line for line in ending.render_ending(record, FILES) if "17 of 1002" in line and line[2] == "."
    ]
    assert line.startswith(" 6. host-2: ")


# Outcome, verdicts, questions


def closing_of(record: Record, width: int = 200) -> dict[str, str]:
    """Return lines of the closing by their first word."""
    lines = ending.render_ending(record, FILES, width)
    return {line.split(":")[0].strip(): line for line in lines} | {"all": "\n".join(lines)}


def test_closing_names_who_failed_and_why() -> None:
    assert closing_of(fleets.three())["OUTCOME"] == (
        "OUTCOME: FAILED: 2 passed, 1 failed: "
        "host-2 (hypothesis: Database failure detection: 1.0004 s (≤ 1 s), and 4 more)"
    )
    said = closing_of(fleets.fifty())["all"]
    assert (
        "OUTCOME: FAILED: 45 passed, 3 failed, 1 invalid, 1 aborted\n         host-12 (not restored: " in said
    )
    assert f"\n         host-44 ({fleets.UNREACHABLE})\n" in said
    assert "\n         … and 1 more, see HOSTS above\n" in said
    everyone = fleets.record([fleets.host(1), fleets.host(2)])
    assert closing_of(everyone)["OUTCOME"] == "OUTCOME: PASSED: 2 passed"


def test_a_failed_canary_is_failed_and_the_rest_says_nothing() -> None:
    record = canary()
    assert record["outcome"] == "failed"
    assert record["verdicts"] == {"effect": "unknown", "hypothesis": "fail", "restored": "unknown"}
    said = closing_of(record)
    assert said["OUTCOME"].startswith("OUTCOME: FAILED: 49 skipped, 1 failed: host-1 (hypothesis: ")
    assert "on 49 hosts; 5 of 5 proofs hold; not tried: 1; nothing was injected on 49 hosts" in said["Effect"]
    assert said["Hypothesis"].endswith("on host-1; findings: 7 ✓, 5 🚨, 2 ?")
    assert said["Restored"].endswith("?  on 49 hosts; not compared")
    rows = table_of(record)
    assert rows[0].split()[:3] == ["host-1", "1", "failed"]
    assert rows[2].split() == ["host-2", "2", "skipped", *["?", "unknown"] * 3, "?", "?", "?", "?"]
    assert rows[3] == f"      {fleets.NOT_BEGUN}"
    assert rows[-1] == "  … and 40 more: 40 skipped"
    log = text.render_log(record, FILES)
    assert f"  host        host-50, wave 2: skipped: {fleets.NOT_BEGUN}" in log
    assert "NOTES (host-50):" not in log


def test_hosts_that_never_began_turn_nothing_red() -> None:
    record = fleets.record([fleets.host(1), fleets.not_begun(2)])
    assert record["outcome"] == "skipped"
    assert (
        closing_of(record)["OUTCOME"] == f"OUTCOME: SKIPPED: 1 passed, 1 skipped: host-2 ({fleets.NOT_BEGUN})"
    )


def test_of_a_lost_host_no_effect_is_claimed() -> None:
    record = fleets.record([fleets.host(1), fleets.unreachable(2), fleets.host(3)])
    assert record["outcome"] == "aborted"
    said = closing_of(record)
    assert said["OUTCOME"] == f"OUTCOME: ABORTED: 2 passed, 1 aborted: host-2 ({fleets.UNREACHABLE})"
    assert said["Effect"] == "Effect:     unknown ?  on host-2; 12 of 12 proofs hold; not known on host-2"
    assert "nothing was injected" not in said["all"]
    assert "no kernel events" not in said["all"]  # where no run is known, no capture is missing
    for question in ("1. Did it", "2. How", "3. Was", "4. Errors", "5. Were"):
        (line,) = [line for line in said["all"].splitlines() if line.startswith(question)]
        assert line.endswith("; ? not measured on host-2"), line
    assert closing_of(all_stubs())["Effect"] == "Effect:     unknown ?  not known"
    alone = closing_of(fleets.record([fleets.unreachable(1)]))["Effect"]
    assert alone.startswith("Effect:     unknown ?  not known")


def test_answers_are_those_of_the_worst_host() -> None:
    record = fleets.record([fleets.host(1, "failed"), fleets.host(2, "failed"), fleets.host(3)])
    worse = record["hosts"][1]["questions"]
    worse["data_loss"] = 30
    worse["users_saw"].update(errors=1900, p99_ms=999.0)
    worse["errors_clear"].update(unclear_count=1500, clear_count=1)
    said = closing_of(record)["all"]
    assert "1. Did it recover by itself?        no on host-1, host-2\n" in said
    assert "yes, 30 of 1002 on host-2 and 1 more; 4.9 ms of loss would have shown\n" in said
    assert (
        "errors on host-2 and 2 more: 1900 failed, 12 slow of 2140; p50 3.2, p99 999, p99 before 8.8 ms"
        in said
    )
    assert "no on host-2 and 1 more: 1 clear, 1500 unclear" in said
    good = closing_of(fleets.record([fleets.host(1), fleets.host(2)]))["all"]
    assert "no, 0 of 2003;" in good
    assert "at most 0.5 s on host-2\n" in good


def test_what_the_kernel_did_not_see_is_told_once_for_all() -> None:
    record = fleets.record([fleets.host(number) for number in range(1, 21)])
    for host in record["hosts"]:
        host["bpf"].update(status="absent")
    assert closing_of(record)["Effect"].count("BPF absent") == 1
    assert closing_of(record)["Effect"].endswith("BPF absent, so no kernel events")
    record["hosts"][0]["bpf"].update(status="attached", positive_control=True, lost=0)
    assert closing_of(record)["Effect"].endswith("BPF absent on 19 hosts, so no kernel events")


def test_skipped_outweighs_passed_and_nothing_else() -> None:
    """A host that has shown nothing did not pass: a suite fails unless chaos_may_skip says that this is well."""
    outcomes = {name: fleets.host(1, name) for name in ("passed", "failed", "invalid", "skipped")}
    outcomes["failed"]["verdicts"]["restored"] = "pass"
    assert merge.worst_outcome([outcomes["passed"], outcomes["skipped"]]) == "skipped"
    for worse in ("failed", "invalid"):
        assert merge.worst_outcome([outcomes[worse], outcomes["skipped"]]) == worse
    assert [hosts_overview.is_bad(host) for host in outcomes.values()] == [False, True, True, False]


# Stubs


def test_stubs_are_known_by_what_they_do_not_say() -> None:
    assert [missing_host.is_stub(each(1)) for each in (fleets.unreachable, fleets.not_begun)] == [True, True]
    assert [missing_host.owes_record(each(1)) for each in (fleets.unreachable, fleets.not_begun)] == [
        True,
        False,
    ]
    noted = fleets.unreachable(1)
    noted["timeline"], noted["clock"] = [{"at": "x"}], {"offset_ms": 1, "uncertainty_ms": 1}
    assert missing_host.owes_record(noted)
    for name in ("passed", "failed", "invalid", "skipped"):
        assert not missing_host.is_stub(fleets.host(1, name))


def test_junit_has_a_suite_for_each_host_and_says_why_a_stub_is_one() -> None:
    record = fleets.record([fleets.host(1), fleets.unreachable(2), fleets.not_begun(3)])
    root = ET.fromstring(junit.render_junit(record).encode())
    assert [suite.get("hostname") for suite in root] == ["host-1", "host-2", "host-3"]
    assert [int(suite.get("tests", "")) for suite in root] == [17, 4, 3]
    assert [suite.get("errors") for suite in root] == ["0", "1", "0"]
    assert {case.get("classname") for case in root[1].iter("testcase")} == {"database_sudden_death.host-2"}
    for case in root[2].iter("testcase"):
        skipped = case.find("skipped")
        assert skipped is not None
        assert str(skipped.get("message")).endswith(f": unknown; {fleets.NOT_BEGUN}")
    waves = [each.get("value") for each in root.iter("property") if each.get("name") == "wave"]
    assert waves == ["1", "1", "2"]


# Clocks


def test_times_of_several_hosts_are_on_the_controllers_clock() -> None:
    ahead, behind = fleets.host(1), fleets.host(2)
    ahead["clock"]["offset_ms"], behind["clock"]["offset_ms"] = 3000.0, -2000.0
    line = {"level": "ok", "step": "", "text": "first"}
    ahead["timeline"] = [{**line, "at": "2026-11-23T18:00:03.500Z"}]
    behind["timeline"] = [{**line, "at": "2026-11-23T17:59:59.000Z", "text": "second"}]
    record = fleets.record([behind, ahead])
    before = copy.deepcopy(record)
    assert text.render_timeline(record) == [
        "[2026-11-23 18:00:00] ✓ host-1: first", "[2026-11-23 18:00:01] ✓ host-2: second"]  # fmt: skip
    injected = clocks.correct_time(ahead["faults"][0]["injected_at"], 3000.0)
    lines = text.render_report(record, FILES)
    assert any(f", {injected[11:23]} to " in line for line in lines)
    assert "  clock       3000 ms from the controller's, ± 0.4 ms" in lines
    assert any("of all hosts on the controller's clock" in line for line in lines)
    assert record == before
    alone = fleets.record([ahead])
    assert text.render_timeline(alone) == ["[2026-11-23 18:00:03] ✓ first"]


def test_an_unknown_offset_takes_nothing_off() -> None:
    assert clocks.clock_offsets(fleets.record([fleets.unreachable(1), fleets.unreachable(2)])) == {}
    assert clocks.correct_time("2026-11-23T18:00:03.500Z", 0.0) == "2026-11-23T18:00:03.500Z"
    assert clocks.correct_time("soon", 5.0) == "soon"


def test_events_of_several_hosts_are_merged_by_the_corrected_time() -> None:
    event = {"event": "CONN_FAILED", "pid": 1, "service": "trading-api", "errno": 111}
    pairs = [
        ("a", {**event, "at": "2026-11-23T18:00:03.500Z"}),
        ("b", {**event, "at": "2026-11-23T18:00:01.000Z"}),
    ]
    lines = bpf_log.render_events(pairs, True, {"a": 3000.0})
    assert [line.split()[:2] for line in lines] == [["[18:00:00]", "a"], ["[18:00:01]", "b"]]


def test_live_lines_are_corrected_once_the_offset_is_known() -> None:
    hosts = results.Hosts()
    hosts.set_names(["a", "b"])
    line = {"at": "2026-11-23T18:00:03.500Z", "level": "ok", "text": "x"}
    (first,) = hosts.lines("a", {"chaos_lines": [line]})
    (second,) = hosts.lines(
        "a", {"chaos_lines": [line], "chaos_clock": {"offset_ms": 3000.0, "uncertainty_ms": 1.0}}
    )
    (other,) = hosts.lines("b", {"chaos_lines": [line]})
    assert [each[1][12:20] for each in (first, second, other)] == ["18:00:03", "18:00:00", "18:00:03"]
    alone = results.Hosts()
    alone.set_names(["a"])
    ((_level, kept),) = alone.lines("a", {"chaos_lines": [line], "chaos_clock": {"offset_ms": 3000.0}})
    assert "18:00:03" in kept


def test_a_host_without_a_run_takes_nothing_from_the_capture_of_the_others() -> None:
    """One that was spared, or lost, is no host whose kernel was not watched."""
    whole = bpf_log.render_block({"hosts": [fleets.host(1), fleets.host(2)]}, [])
    assert "attached" in whole[-1]
    for other in (fleets.unreachable(3), fleets.not_begun(3)):
        assert bpf_log.render_block({"hosts": [fleets.host(1), fleets.host(2), other]}, []) == whole
    assert "absent" in bpf_log.render_block({"hosts": [fleets.unreachable(1), fleets.not_begun(2)]}, [])[-1]
