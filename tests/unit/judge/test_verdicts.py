# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three verdicts and the outcome: what turns each, and what wins over what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows, find_phases
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs.effect import in_force, judge_effect
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import (
    Judgement,
    decide_outcome,
    judge_run,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit.scenario import T0, Scenario


def judged(folder: Path, scenario: Scenario) -> Judgement:
    return judge_run(scenario.evidence(folder))


def short(judgement: Judgement) -> tuple[str, str, str, str]:
    return judgement.outcome, judgement.effect, judgement.hypothesis, judgement.restored


def undisturbed() -> Scenario:
    """A run in which the fault was said to be injected and nothing died."""
    scenario = Scenario(restore={"leftovers": [], "restarts": {}, "unchecked": []})
    for episode in scenario.episodes:
        episode.store_down = episode.api_bad = None
        episode.kernel_exit = episode.module_proof = False
        episode.retries = ()
    return scenario


def test_passed(tmp_path: Path) -> None:
    assert short(judged(tmp_path, Scenario())) == ("passed", "pass", "pass", "pass")


def test_passed_without_the_kernel_capture(tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(capture="absent"))
    assert short(found) == ("passed", "pass", "pass", "pass")
    assert {one.id for one in found.findings if one.verdict == "unknown"} >= {
        "refused_connects_outage",
        "backs_off_outage",
    }


def test_killed_nothing(tmp_path: Path) -> None:
    found = judged(tmp_path, undisturbed())
    assert short(found) == ("invalid", "fail", "unknown", "pass")
    assert (
        found.reasons[0]
        == "invalid: no proven effect: crash: neither the kernel nor the engine saw it take effect"
    )


@pytest.mark.parametrize("seen", ["kernel", "engine"])
def test_one_word_of_kernel_or_engine_is_enough(seen: str, tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.kernel_exit = seen == "kernel"
        episode.module_proof = False
        episode.exit_code = 137 if seen == "engine" else 0
        episode.started = episode.started if seen == "engine" or episode.hold else None
    assert judged(tmp_path, scenario).effect == "pass"


def test_tcp_alone_proves_nothing(tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.kernel_exit = episode.module_proof = False
        episode.exit_code = 0
        episode.started = None
    found = judged(tmp_path, scenario)
    assert (found.effect, found.outcome) == ("fail", "invalid")


def test_the_exit_of_another_process_proves_nothing(tmp_path: Path) -> None:
    scenario = Scenario()
    evidence = scenario.evidence(tmp_path)
    other = [{**event, "pid": 4} if event["event"] == "PROC_EXIT" else event for event in evidence.bpf]
    with_other = replace(evidence, bpf=other, engine=[], timeline=without(evidence, "proof"))
    assert judge_run(with_other).effect == "fail"


def without(evidence: Evidence, *names: str) -> Timeline:
    return Timeline([event for event in evidence.timeline if event["event"] not in names])


def test_every_fault_needs_its_proof(tmp_path: Path) -> None:
    scenario = Scenario()
    outage = scenario.episode("outage")
    outage.kernel_exit = outage.module_proof = False
    outage.exit_code = 0
    outage.started = None
    found = judged(tmp_path, scenario)
    assert (found.effect, found.outcome) == ("fail", "invalid")
    assert any(text.startswith("invalid: no proven effect: outage") for text in found.reasons)


OUTAGE = {"id": "outage", "kind": "kill", "target": "postgres", "hold_s": 4}
REFUSED = {"event": "no_more_faults", "fault": "outage", "reason": "the disk is full"}
LOST = "invalid: no proven effect: outage: it was not injected: "


@pytest.mark.parametrize(
    ("stops", "outcome", "reasons"),
    [
        ([REFUSED], "invalid", [f"{LOST}the disk is full"]),
        ([], "invalid", [f"{LOST}the run ended before it"]),
        # by what the run had seen itself: the first fault is judged as if it were the only one
        ([{"event": "no_more_faults", "reason": "not steady again"}], "passed", []),
        ([{"event": "aborted", "reason": "halt", "by": "halt"}], "aborted", ["aborted by halt: halt"]),
    ],
)
def test_a_planned_fault_that_could_not_be_injected_proves_nothing(
    stops: list[dict[str, Any]], outcome: str, reasons: list[str], tmp_path: Path
) -> None:
    whole = Scenario()
    crash = whole.episode("crash")
    scenario = Scenario(
        episodes=[crash],
        extra_timeline=[{"t": whole.episode("outage").at - 1, **stop} for stop in stops],
        spec={"faults": [*Scenario(episodes=[crash]).spec_data()["faults"], OUTAGE]},
    )
    found = judged(tmp_path, scenario)
    assert found.outcome == outcome
    assert [text for text in found.reasons if "outage" in text or "aborted" in text] == reasons


def test_a_run_that_came_to_no_fault_says_so_once(tmp_path: Path) -> None:
    faults = Scenario().spec_data()["faults"]
    whole: dict[str, Any] = {"leftovers": [], "restarts": {}, "unchecked": []}
    found = judged(tmp_path, Scenario(episodes=[], spec={"faults": faults}, restore=whole))
    assert (found.outcome, found.effect) == ("invalid", "unknown")
    assert [text for text in found.reasons if "injected" in text] == [
        "invalid: no proven effect: no fault was injected"
    ]


def test_an_outage_that_did_not_last_is_no_effect(tmp_path: Path) -> None:
    scenario = Scenario()
    outage = scenario.episode("outage")
    outage.store_up, outage.api_good, outage.started = 3.0, 3.5, 2.8
    found = judged(tmp_path, scenario)
    assert (found.effect, found.outcome) == ("fail", "invalid")
    assert "in force for 60% of its window, less than 80%" in found.reasons[0]


def test_the_share_comes_from_the_engine_where_no_probe_looks(tmp_path: Path) -> None:
    evidence = Scenario().evidence(tmp_path)
    blind = replace(evidence, probes=[one for one in evidence.probes if one.role != "store"])
    assert in_force(blind, fault_windows(blind)[1]) == pytest.approx((5.0 - 0.05) / 5.0, abs=0.001)
    neither = replace(blind, engine=[])
    assert judge_effect(neither) == ("unknown", ["outage: nothing shows for how long it was in force"])


def test_a_target_that_somebody_else_restarted_is_told_as_that(tmp_path: Path) -> None:
    evidence = Scenario().evidence(tmp_path)
    assert "postgres was started anew, as the fault meant (containers: 1)." in judge_run(evidence).reasons
    evidence = replace(
        evidence,
        timeline=Timeline([{**event, "ends_target": False} for event in evidence.timeline]),
        journal=[],
    )
    told = "postgres was started anew (containers: 1), which the fault aimed at it does not do."
    assert told in judge_run(evidence).reasons


@pytest.mark.parametrize("control", [False, None])
def test_capture_of_the_wrong_port(control: bool | None, tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(control=control))
    assert found.outcome == "invalid"
    assert found.reasons == [
        "invalid: the kernel capture was attached, but its positive control was not seen",
        "postgres was started anew, as the fault meant (containers: 1).",
    ]


def test_no_load(tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(steady_rate=0.0, watch_rate=0.0, burst_rate=0.0))
    assert found.outcome == "invalid"
    assert any(
        "load in phase outage was 0.0 orders/s, below the floor of 5" in text for text in found.reasons
    )


def test_load_that_stopped_before_the_second_fault(tmp_path: Path) -> None:
    scenario = Scenario()
    evidence = scenario.evidence(tmp_path)
    early = [order for order in evidence.orders if order.at < scenario.episode("outage").at - 1]
    assert judge_run(replace(evidence, orders=early)).outcome == "invalid"


def test_no_steady_state_at_the_start(tmp_path: Path) -> None:
    event = {"t": T0 + 9.0, "event": "no_steady_state", "reasons": ["p99 is 900 ms"]}
    scenario = Scenario(episodes=[], extra_timeline=[event], restore=None)
    found = judged(tmp_path, scenario)
    assert short(found) == ("invalid", "unknown", "unknown", "unknown")
    assert found.reasons[0] == "invalid: no steady state at the start: p99 is 900 ms"


def test_a_baseline_that_began_anew_is_judged_from_there(tmp_path: Path) -> None:
    hiccup = Scenario(order_ok=lambda t: not T0 + 1 < t < T0 + 3)
    assert judged(tmp_path / "whole", hiccup).outcome == "invalid"
    hiccup.extra_timeline = [{"t": T0 + 4.0, "event": "phase", "id": "baseline", "fault": None}]
    evidence = hiccup.evidence(tmp_path / "anew")
    assert judge_run(evidence).outcome == "passed"
    before = [(phase.id, phase.start - T0) for phase in find_phases(evidence) if phase.fault is None]
    assert before == [("unsteady", 1.0), ("baseline", 4.0)]


def test_an_unsteady_baseline_is_seen_though_nobody_said_so(tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(order_ok=lambda t: not T0 + 3 < t < T0 + 5))
    assert found.outcome == "invalid"
    assert "no steady state at the start: orders: " in found.reasons[0]


def test_hypothesis_broken(tmp_path: Path) -> None:
    scenario = Scenario(ledger={"lost": 4, "duplicated": 0, "shortest_visible_loss_ms": 3.0})
    assert short(judged(tmp_path, scenario)) == ("failed", "pass", "fail", "pass")


def test_a_fragile_api_that_dies_with_its_database(tmp_path: Path) -> None:
    scenario = Scenario(
        restore={"leftovers": [], "restarts": {"postgres": 1, "trading-api": 1}, "unchecked": []}
    )
    for episode in scenario.episodes:
        episode.api_died = 0.02
    found = judged(tmp_path, scenario)
    assert short(found) == ("failed", "pass", "fail", "pass")
    assert any(text.startswith("trading-api died in a fault's window") for text in found.reasons)


def test_a_broken_hypothesis_without_effect_is_no_failure(tmp_path: Path) -> None:
    scenario = undisturbed()
    scenario.ledger = {"lost": 4, "duplicated": 0, "shortest_visible_loss_ms": 3.0}
    assert short(judged(tmp_path, scenario)) == ("invalid", "fail", "unknown", "pass")


def test_a_hypothesis_of_unknowns_alone(tmp_path: Path) -> None:
    only = [{"id": "refused", "title": "Refused", "metric": "refused_connects", "fault": None, "min": 1}]
    found = judged(tmp_path, Scenario(capture="absent", spec={"findings": only}))
    assert short(found) == ("invalid", "pass", "unknown", "pass")
    assert "invalid: no finding could be judged" in found.reasons


def test_undo_missing(tmp_path: Path) -> None:
    scenario = Scenario()
    scenario.episode("outage").undone = False
    found = judged(tmp_path, scenario)
    assert (found.outcome, found.restored) == ("failed", "fail")
    assert found.leftovers == [{"kind": "journal", "what": "outage", "before": "undone", "after": "open"}]


@pytest.mark.parametrize(
    "kind", ["process", "listener", "nft", "qdisc", "route", "cgroup", "container_config"]
)
def test_a_leftover_of_any_kind(kind: str, tmp_path: Path) -> None:
    left = {"kind": kind, "what": "thing", "before": None, "after": "there"}
    found = judged(tmp_path, Scenario(restore={"leftovers": [left], "restarts": {"postgres": 1}}))
    assert (found.outcome, found.restored, found.leftovers) == ("failed", "fail", [left])


def test_a_restart_nobody_asked_for_is_a_leftover(tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(restore={"leftovers": [], "restarts": {"postgres": 1, "redis": 1}}))
    assert (found.outcome, found.restored) == ("failed", "fail")
    assert found.leftovers == [{"kind": "restart", "what": "redis", "before": "0", "after": "1"}]


def test_a_host_not_compared_is_not_passed(tmp_path: Path) -> None:
    found = judged(tmp_path, Scenario(restore=None))
    assert (found.outcome, found.restored) == ("invalid", "unknown")


def test_open_orders_of_ours_are_leftovers_and_unknown_ones_no_pass(tmp_path: Path) -> None:
    query = "SELECT price, id FROM trading.orders"
    counts = {"lost": 0, "duplicated": 0, "unacknowledged_applied": 0, "open_orders_query": query}

    def ended(name: str, left: int | None) -> Judgement:
        return judged(tmp_path / name, Scenario(ledger={**counts, "open_orders_left": left}))

    assert ended("none", 0).restored == "pass"
    found = ended("many", 5554)
    assert (found.outcome, found.restored) == ("failed", "fail")
    (left,) = found.leftovers
    assert (left["kind"], left["before"], left["after"]) == ("orders", "0", "5554")
    assert query in left["what"]
    silent = ended("unknown", None)
    assert (silent.outcome, silent.restored) == ("invalid", "unknown")
    assert any("still open is not known" in text for text in silent.reasons)


def test_settings_that_were_not_compared_are_no_pass_where_the_database_was_hit(tmp_path: Path) -> None:
    restore = {
        "leftovers": [],
        "restarts": {"postgres": 1},
        "unchecked": ["PostgreSQL settings: no password"],
    }
    found = judged(tmp_path / "hit", Scenario(restore=restore))
    assert (found.outcome, found.restored) == ("invalid", "unknown")
    assert [
        text.count("chaos_database.admin takes a role") for text in found.reasons if "invalid: " in text
    ] == [1]
    assert sum("chaos_database.admin takes a role" in text for text in found.reasons) == 1
    broken = judged(
        tmp_path / "broken",
        Scenario(restore=restore, ledger={"lost": 4, "duplicated": 0, "shortest_visible_loss_ms": 3.0}),
    )
    assert (broken.outcome, broken.restored) == ("failed", "unknown"), "by its hypothesis"
    left = {"kind": "nft", "what": "thing", "before": None, "after": "there"}
    assert judged(tmp_path / "left", Scenario(restore={**restore, "leftovers": [left]})).restored == "fail"


def test_what_was_not_checked_is_said(tmp_path: Path) -> None:
    restore = {"leftovers": [], "restarts": {}, "unchecked": ["network namespaces: no root"]}
    found = judged(tmp_path, Scenario(restore=restore))
    assert found.outcome == "passed"
    assert "Not checked for leftovers: network namespaces: no root" in found.reasons


def test_aborted(tmp_path: Path) -> None:
    event = {
        "t": T0 + 12,
        "event": "aborted",
        "reason": "free_disk_mb is 100, below its limit of 200",
        "by": "guard",
    }
    found = judged(tmp_path, Scenario(extra_timeline=[event]))
    assert found.outcome == "aborted"
    assert found.reasons[0].startswith("aborted by guard: free_disk_mb")


def test_precedence() -> None:
    def outcome(*true: str) -> str:
        return decide_outcome(
            **{key: key in true for key in ("not_restored", "aborted", "invalid", "broken")}
        )

    assert outcome() == "passed"
    assert outcome("broken") == "failed"
    assert outcome("broken", "invalid") == "invalid"
    assert outcome("broken", "invalid", "aborted") == "aborted"
    assert outcome("broken", "invalid", "aborted", "not_restored") == "failed"


def test_a_capture_without_a_control_to_make_is_not_blind(tmp_path: Path) -> None:
    capture = {"programs": ["exit"], "ports": {"5432": "database"}}
    scenario = Scenario(control=None, spec={"capture": capture})
    found = judged(tmp_path, scenario)
    assert (found.outcome, found.effect) == ("passed", "pass")
    assert {one.verdict for one in found.findings if one.id == "refused_connects_outage"} == {"unknown"}


def test_a_capture_that_broke_off_still_proves_what_it_saw(tmp_path: Path) -> None:
    scenario = Scenario(capture="stopped")
    for episode in scenario.episodes:
        episode.module_proof, episode.exit_code, episode.started = False, 0, None
    found = judged(tmp_path, scenario)
    assert found.effect == "pass"
    assert {one.verdict for one in found.findings if one.id == "refused_connects_outage"} == {"unknown"}


def test_a_mode_left_to_the_module_is_read_from_what_it_did(tmp_path: Path) -> None:
    faults = [{**fault, "mode": "auto"} for fault in Scenario().spec_data()["faults"]]
    found = judged(tmp_path, Scenario(spec={"faults": faults}))
    assert {one.verdict for one in found.findings if one.id == "self_healing_s_crash"} == {"pass"}


@pytest.mark.parametrize(
    ("required", "holds", "verdict"),
    [(True, False, "fail"), (True, None, "pass"), (True, True, "pass"), (False, False, "pass")],
)
def test_no_effect_passes_over_a_required_proof_that_failed(
    required: bool, holds: bool | None, verdict: str, tmp_path: Path
) -> None:
    told = {"t": T0 + 30, "event": "proof", "fault": "crash", "source": "engine", "fact": "slots left", "value": 45,
            "holds": holds, "required": required}  # fmt: skip
    judgement = judged(tmp_path, Scenario(extra_timeline=[told]))
    assert judgement.effect == verdict
    against = "invalid: no proven effect: crash: a required proof failed: slots left: 45"
    assert (against in judgement.reasons) == (verdict == "fail")
