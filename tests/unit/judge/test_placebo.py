# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What everything but a fault shows: the control of each finding, and a run that is nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import WITHOUT_FAULT_TOO, Finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import Judgement, judge_run
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import read_schema
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.schema import find_problems
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.details import render_details

from tests.unit.scenario import T0, Scenario

BEGIN, END = T0 + 4.0, T0 + 8.5
SURGE = {"rate": 100.0, "reached": 150.0, "visible_ms": 9.8, "reason": "an order failed at 150/s"}


def with_placebo(order_ok: Callable[[float], bool] = lambda t: True, **changes: Any) -> Scenario:
    """The run of experiment 01 with a placebo before its first fault."""
    events = [
        {"t": BEGIN, "event": "phase", "id": "placebo", "fault": None},
        {"t": BEGIN, "event": "placebo_begin", "seconds": END - BEGIN, "kinds": ["kill"]},
        {"t": END, "event": "surge_plan", **SURGE},
        {"t": END, "event": "phase_end", "id": "placebo", "steady": True},
        {"t": END + 0.01, "event": "placebo_end", "steady": True, "reasons": [], "wall_s": 5.1},
    ]
    changes.setdefault("extra_timeline", events)
    return Scenario(baseline=(T0 + 1.0, T0 + 3.9), order_ok=order_ok, **changes)


def found(judgement: Judgement, name: str) -> Finding:
    return next(finding for finding in judgement.findings if finding.id == name)


def alone(order_ok: Callable[[float], bool] = lambda t: True, **changes: Any) -> Scenario:
    """A run that is all placebo."""
    wanted = [
        {"id": "degradation", "metric": "degradation", "max": "kept_serving"},
        {"id": "error_budget", "metric": "error_budget", "max": 0.01},
        {"id": "recovery_since_undo", "metric": "recovery_since_undo_s", "max": 60},
    ]
    scenario = with_placebo(order_ok, end=T0 + 9.0, episodes=[], **changes)
    scenario.spec = {"findings": wanted}
    return scenario


def test_a_finding_carries_what_it_was_without_a_fault(tmp_path: Path) -> None:
    judgement = judge_run(with_placebo().evidence(tmp_path))
    assert judgement.outcome == "passed"
    controls = {finding.id: finding.control for finding in judgement.findings}
    assert controls["error_budget"] == 0
    assert controls["degradation"] == "kept_serving"
    assert controls["refused_connects_outage"] == 0
    assert controls["recovery_s"] == (0.0, 0.0)
    assert controls["detection"] is None, "nothing failed, so there was nothing to detect"
    assert found(judgement, "error_budget").value > 0  # type: ignore[operator]


def test_what_is_outside_without_a_fault_too_is_no_fault_s_doing(tmp_path: Path) -> None:
    def ailing(t: float) -> bool:
        return t < BEGIN + 1  # from within the placebo on every order fails

    red = judge_run(Scenario(order_ok=ailing).evidence(tmp_path / "without"))
    assert found(red, "error_budget").verdict == "fail"
    seen = judge_run(with_placebo(ailing).evidence(tmp_path / "with"))
    budget = found(seen, "error_budget")
    assert (budget.verdict, budget.control) == ("unknown", pytest.approx(0.78, abs=0.03))
    assert budget.evidence.startswith(f"{WITHOUT_FAULT_TOO}: 0.7")
    assert seen.outcome != "failed"


def test_what_only_the_fault_did_stays_its_doing(tmp_path: Path) -> None:
    judgement = judge_run(with_placebo(lambda t: t < END + 1.4).evidence(tmp_path))
    budget = found(judgement, "error_budget")
    assert (budget.verdict, budget.control) == ("fail", 0)
    assert judgement.outcome == "failed"


def test_the_record_has_the_placebo_and_the_report_says_it(tmp_path: Path) -> None:
    record = run_record(with_placebo().evidence(tmp_path))
    assert find_problems(record, read_schema()) == []
    (host,) = record["hosts"]
    assert (host["placebo"]["steady"], host["placebo"]["errors"], host["placebo"]["wall_s"]) == (True, 0, 5.1)
    assert host["placebo"]["requests"] == 45, "those of the surge are left out"
    assert host["placebo"]["surge"] == SURGE
    text = "\n".join(render_details(record))
    assert "no fault    0 of 45 orders failed" in text
    assert "took 5.1 s" in text
    assert (
        "surge       100 of 150 orders/s tried, an order failed at 150/s; a loss of 9.8 ms will show" in text
    )
    assert "        without a fault: kept_serving" in text


def test_a_run_without_a_placebo_says_so_and_an_old_one_does_not(tmp_path: Path) -> None:
    old = run_record(Scenario().evidence(tmp_path / "old"))["hosts"][0]
    windows = {"baseline_s": 8, "placebo_s": 0.0, "steady_s": 3, "recovery_timeout_s": 60}
    left_out = run_record(Scenario(spec={"windows": windows}).evidence(tmp_path / "new"))["hosts"][0]
    assert old["placebo"] is left_out["placebo"] is None
    assert [note for note in left_out["notes"] if "no placebo window" in note]
    assert not [note for note in old["notes"] if "no placebo window" in note]


def test_an_exchange_that_our_load_alone_breaks_is_no_fault_s_victim(tmp_path: Path) -> None:
    scenario = alone(lambda t: t < BEGIN + 1, restore={"leftovers": [], "restarts": {}, "unchecked": []})
    scenario.spec["faults"] = [{"id": "crash", "kind": "kill", "target": "postgres"}]
    scenario.extra_timeline += [
        {"t": BEGIN + 2, "event": "load_yielded", "rate": 0, "level": "off", "reason": "29 of 30 failed"},
        {"t": END + 0.01, "event": "placebo_strain", "reason": "29 of 30 failed"},
        {"t": END + 0.02, "event": "no_more_faults", "reason": "our own load", "fault": None},
    ]
    judgement = judge_run(scenario.evidence(tmp_path))
    assert judgement.outcome == "invalid"
    assert judgement.reasons[0] == (
        "invalid: our load alone is more than this exchange bears: 29 of 30 failed"
    )


def test_nothing_broken_and_nothing_found_is_passed(tmp_path: Path) -> None:
    judgement = judge_run(
        alone(restore={"leftovers": [], "restarts": {}, "unchecked": []}).evidence(tmp_path)
    )
    assert (judgement.outcome, judgement.verdicts) == (
        "passed", {"effect": "pass", "hypothesis": "pass", "restored": "pass"},
    )  # fmt: skip
    assert found(judgement, "recovery_since_undo").verdict == "unknown"


@pytest.mark.parametrize(
    ("order_ok", "restarts", "reason"),
    [
        (lambda t: t < BEGIN + 1, {}, f"Error_budget: {WITHOUT_FAULT_TOO}: load.jsonl: "),
        (lambda t: True, {"redis": 1}, "something else than this run changed the host: restart redis"),
        (lambda t: t < T0 + 2, {}, "no steady state at the start: orders: "),
    ],
)
def test_nothing_broken_and_something_found_is_invalid_and_never_failed(
    order_ok: Callable[[float], bool], restarts: dict[str, int], reason: str, tmp_path: Path
) -> None:
    scenario = alone(order_ok, restore={"leftovers": [], "restarts": restarts, "unchecked": []})
    for finding in scenario.spec["findings"]:
        finding["title"] = finding["id"].capitalize()
    judgement = judge_run(scenario.evidence(tmp_path))
    assert judgement.outcome == "invalid"
    assert [text for text in judgement.reasons if text.startswith(f"invalid: {reason}")], judgement.reasons


def test_a_run_that_is_all_placebo_and_was_cut_short_taught_nothing(tmp_path: Path) -> None:
    scenario = alone()
    scenario.extra_timeline = scenario.extra_timeline[:2]
    assert judge_run(scenario.evidence(tmp_path)).outcome == "invalid"
