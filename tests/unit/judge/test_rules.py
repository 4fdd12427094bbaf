# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule by which a finding says nothing of the exchange: when it holds, what it touches, and when it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.module_utils.judge import rules
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import Finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import (
    find_metric,
    list_names,
    measure,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import judge_run
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import read_schema
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.schema import find_problems
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.details import render_details

from tests.unit import recorded
from tests.unit.scenario import T0, Scenario

QUIET = {
    "psi_cpu": 0.02, "psi_io": 0.01, "psi_mem": 0.0, "waiting": 0.05, "steal": 0.0,
    "cpu_exchange": 0.4, "cpu_others": 0.1, "cpu_ours": 0.1, "run_delay_ms": 0.2,
}  # fmt: skip
STRESS = {"command": "stress-ng-cpu", "cgroup": "/user.slice", "cores": 1.6}
BUSY = {**QUIET, "psi_cpu": 0.7, "waiting": 1.5, "cpu_others": 1.6, "top": STRESS}


def host(
    run: Evidence, during: dict[str, Any] = QUIET, when: Callable[[float], bool] = lambda t: True
) -> Evidence:
    """The run on a host that is quiet but ``during`` the instants that ``when`` names."""
    ticks = [T0 + 0.1 * tick for tick in range(260)]
    return replace(run, interference=[{"t": t, **(during if when(t) else QUIET)} for t in ticks])


def in_outage(t: float) -> bool:
    return T0 + 15 <= t < T0 + 26


@pytest.fixture
def run(tmp_path: Path) -> Evidence:
    return Scenario().evidence(tmp_path)


def verdicts(run: Evidence) -> dict[str, Finding]:
    return {finding.id: finding for finding in judge_run(run).findings}


def test_on_a_quiet_host_nothing_speaks_against_any_finding(run: Evidence) -> None:
    assert {name: one.verdict for name, one in verdicts(host(run)).items()} == {
        name: one.verdict for name, one in verdicts(run).items()
    }


def test_others_that_take_the_machine_make_what_rests_on_speed_unknown_and_are_named(run: Evidence) -> None:
    found = verdicts(host(run, BUSY, in_outage))
    assert found["recovery_s"].verdict == found["error_budget"].verdict == "unknown"
    text = found["recovery_s"].evidence
    assert text.startswith(
        "in outage others took the machine for 100% of the time (1.60 cores on average, most of all "
    )
    assert "stress-ng-cpu (/user.slice, 1.6 cores)" in text
    still = ("data_loss", "duplicated", "manual_intervention", "degradation", "reconnect_storm_outage")
    assert {found[name].verdict for name in still} == {"pass"}
    assert found["self_healing_s_crash"].verdict == "pass", "the crash was over by then"


@pytest.mark.parametrize(
    ("during", "share"),
    [
        ({**BUSY, "cpu_others": 0.4, "steal": 0.0}, 1.0),  # too little to matter
        ({**BUSY, "psi_cpu": 0.1}, 1.0),  # much, and nobody waited
        ({**BUSY, "psi_cpu": None, "waiting": 0.4}, 1.0),  # the same without PSI
        (BUSY, 0.15),  # for too short a time
    ],
)
def test_who_harms_nobody_is_no_excuse(during: dict[str, Any], share: float, run: Evidence) -> None:
    noisy = host(run, during, lambda t: in_outage(t) and (t * 1.003) % 1 < share)
    assert verdicts(noisy)["recovery_s"].verdict == "pass"


@pytest.mark.parametrize(
    "during",
    [
        BUSY,
        {**BUSY, "cpu_others": 0.1, "steal": 0.6},
        {**BUSY, "psi_cpu": None},
        {**BUSY, "psi_cpu": None, "waiting": None},
    ],
)
def test_a_neighbour_that_comes_and_goes_is_seen_whatever_the_kernel_tells(
    during: dict[str, Any], run: Evidence
) -> None:
    noisy = host(run, during, lambda t: in_outage(t) and t % 6 < 3)
    assert verdicts(noisy)["recovery_s"].verdict == "unknown"


def test_a_failure_on_a_busy_host_is_unknown_as_well(tmp_path: Path) -> None:
    failing = Scenario(order_ok=lambda t: t < T0 + 10).evidence(tmp_path)
    assert verdicts(host(failing))["error_budget"].verdict == "fail"
    assert verdicts(host(failing, BUSY, in_outage))["error_budget"].verdict == "unknown"


@pytest.mark.parametrize(("late_s", "verdict"), [(0.03, "unknown"), (0.005, "pass")])
def test_orders_that_we_sent_late_say_nothing_of_latency(late_s: float, verdict: str, tmp_path: Path) -> None:
    wanted = [
        {"id": "latency", "metric": "latency_while_away", "fault": "outage", "max": 100},
        {"id": "recovery", "metric": "recovery_s", "max": 60},
    ]
    run = Scenario(spec={"findings": wanted}, steady_rate=20.0, order_ok=lambda t: True).evidence(tmp_path)
    for episode in ("crash", "outage"):
        assert episode in {fault.id for fault in run.spec.faults}
    orders = [
        order._replace(
            ok=True, status=201, kind="ok", sent=order.at + (late_s if in_outage(order.at) else 0.0005)
        )
        for order in run.orders
    ]
    found = verdicts(host(replace(run, orders=orders)))
    assert found["latency"].verdict == verdict
    assert ("we ourselves were late: 1 of 100 orders was sent 30 ms" in found["latency"].evidence) == (
        verdict == "unknown"
    )
    assert found["recovery"].verdict == "pass", "it rests on more than the orders"


def test_waiting_for_disks_counts_unless_the_fault_makes_the_exchange_wait(run: Evidence) -> None:
    noisy = host(run, {**QUIET, "psi_io": 0.8}, in_outage)
    assert verdicts(noisy)["recovery_s"].verdict == "pass", "a database that was killed reads its log again"
    waiting = {kind for kind in registry.known_kinds() if registry.describe_kind(kind).waits_for_disk}
    assert {"disk", "disk_fill", "memory", "kill"} == waiting
    other = replace(
        noisy, timeline=Timeline([{**event, "waits_for_disk": False} for event in noisy.timeline])
    )
    said = rules.find_objection(other, find_metric("recovery_s"), "outage")
    assert said == "in outage somebody waited for a disk for 80% of the time"


def test_the_baseline_tells_whether_the_host_can_be_learned_from(run: Evidence) -> None:
    assert rules.too_busy(host(run), T0 + 1, T0 + 9) == ""
    said = rules.too_busy(host(run, BUSY), T0 + 1, T0 + 9)
    assert said.startswith("others took the machine for 100% of the time")
    assert rules.too_busy(host(run, {**QUIET, "psi_io": 0.9}), T0 + 1, T0 + 9).startswith("somebody waited")
    assert rules.too_busy(run, T0 + 1, T0 + 9) == "", "nobody looked, so nobody knows"


def test_a_host_too_busy_to_learn_from_makes_an_invalid_run_in_these_words(tmp_path: Path) -> None:
    busy = {"t": T0 + 9, "event": "no_steady_state", "reasons": ["x"], "busy": "others took the machine"}
    nothing = {"leftovers": [], "restarts": {}, "unchecked": []}
    judgement = judge_run(Scenario(episodes=[], extra_timeline=[busy], restore=nothing).evidence(tmp_path))
    assert judgement.outcome == "invalid"
    assert judgement.reasons[0] == "invalid: this host is too busy to learn from (others took the machine)"


def test_the_record_tells_each_phase_s_and_the_report_has_a_line(run: Evidence) -> None:
    record = run_record(host(run, BUSY, in_outage))
    assert find_problems(record, read_schema()) == []
    by_name = {phase["id"]: phase["interference"] for phase in record["hosts"][0]["phases"]}
    assert (by_name["baseline"]["taken"], by_name["baseline"]["largest"]) == (0, None)
    assert (by_name["outage"]["taken"], by_name["outage"]["largest"]) == (
        1.0,
        STRESS,
    )
    text = "\n".join(render_details(record))
    assert "waits: processor 2%, disk 1%, memory 0%; orders 0.5 ms late" in text
    assert "largest stress-ng-cpu 1.6" in text
    unseen = run_record(run)
    assert find_problems(unseen, read_schema()) == []
    assert unseen["hosts"][0]["phases"][0]["interference"]["samples"] == 0
    assert "WHAT ELSE THE HOST DID" not in "\n".join(render_details(unseen))


@pytest.mark.parametrize("number", recorded.EACH)
def test_a_metric_whose_value_hangs_on_the_engines_events_says_so(tmp_path: Path, number: int) -> None:
    found = recorded.evidence(number, tmp_path)
    blind = replace(found, engine=[])
    for name in list_names():
        seen, unseen = (
            {key: one.value for key, one in measure(each, name).items()} for each in (found, blind)
        )
        assert find_metric(name).of_events or seen == unseen, name


def unseen(run: Evidence, since: float, until: float | None) -> Evidence:
    """The run in which nobody saw the engine's events for that long."""
    event = {
        "t": since,
        "event": "events_unseen",
        "since": since,
        **({} if until is None else {"until": until}),
    }
    return replace(run, timeline=Timeline(sorted([*run.timeline, event], key=lambda one: one["t"])))


@pytest.mark.parametrize(
    ("since", "until", "concerned"),
    [(0.5, 1.0, {"unmeant_restarts"}), (15.5, 16.0, {"unmeant_restarts", "degradation"}),
     (15.5, None, {"unmeant_restarts", "degradation"})],
)  # fmt: skip
def test_what_rests_on_events_that_nobody_saw_is_unknown(
    run: Evidence, since: float, until: float | None, concerned: set[str]
) -> None:
    blind = unseen(run, T0 + since, None if until is None else T0 + until)
    for name in ("unmeant_restarts", "degradation", "recovery_s"):
        said = rules.find_objection(blind, find_metric(name), "crash" if name != "unmeant_restarts" else None)
        assert said.startswith("nobody saw the engine's events for") is (name in concerned), name
    before, after = verdicts(run), verdicts(blind)
    changed = {name for name, one in after.items() if one.verdict != before[name].verdict}
    assert all(after[name].verdict == "unknown" for name in changed)
    assert all("nobody saw the engine's events" in after[name].evidence for name in changed)


@pytest.mark.parametrize("damaged", ["", None, "x", float("nan"), [], True])
def test_a_damaged_word_on_what_was_unseen_changes_nothing(run: Evidence, damaged: Any) -> None:
    event = {"t": T0, "event": "events_unseen", "since": damaged, "until": damaged}
    assert verdicts(replace(run, timeline=Timeline([event, *run.timeline]))) == verdicts(run)
