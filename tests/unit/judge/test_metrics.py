# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each metric on simulated runs with a known answer, and each finding turned to fail and to unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import (
    check_finding,
    judge_finding,
    judge_findings,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import (
    Measured,
    find_metric,
    list_names,
    measure,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FindingSpec,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit.scenario import FINDINGS, REALTIME, T0, Scenario

spec_of = FindingSpec.from_data

ROOT = Path(__file__).resolve().parents[3]
Change = Callable[[Scenario], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A resilient exchange."""
    return Scenario(cache_reads=True).evidence(tmp_path_factory.mktemp("good"))


def value(evidence: Evidence, name: str, fault: str | None = None) -> Any:
    """Return what one metric measured of one fault (or of the run)."""
    found = measure(evidence, name, fault)
    assert len(found) == 1
    return next(iter(found.values())).value


def changed(folder: Path, *changes: Change) -> Evidence:
    """Return the evidence of a run of which something is different."""
    scenario = Scenario(cache_reads=True)
    for change in changes:
        change(scenario)
    return scenario.evidence(folder)


def both(**fields: Any) -> Change:
    """Change both faults' episodes."""

    def change(scenario: Scenario) -> None:
        for episode in scenario.episodes:
            for key, new in fields.items():
                setattr(episode, key, new)

    return change


def one(name: str, **fields: Any) -> Change:
    """Change one fault's episode."""

    def change(scenario: Scenario) -> None:
        for key, new in fields.items():
            setattr(scenario.episode(name), key, new)

    return change


def run(**fields: Any) -> Change:
    """Change the run."""

    def change(scenario: Scenario) -> None:
        for key, new in fields.items():
            setattr(scenario, key, new)

    return change


def all_of(*changes: Change) -> Change:
    """Several changes as one."""

    def change(scenario: Scenario) -> None:
        for part in changes:
            part(scenario)

    return change


def test_detection_is_the_first_answer_that_says_so(good: Evidence) -> None:
    # The API fails 12 ms after the injection, which is 11 ms after the kernel saw the exit.
    for fault in ("crash", "outage"):
        assert 0.011 <= value(good, "detection", fault) <= 0.025


def test_recovery_from_fault_and_from_restart(good: Evidence) -> None:
    for fault, truth, restart in (("crash", 1.4, 0.5), ("outage", 6.1, 5.2)):
        low, high = value(good, "recovery_s", fault)
        assert low <= truth - 0.001 <= high
        assert high - low <= 0.05
        low, high = value(good, "recovery_since_undo_s", fault)
        assert low <= truth - restart <= high


def test_self_healing_is_the_crash_without_help(good: Evidence) -> None:
    low, high = value(good, "self_healing_s", "crash")
    assert low <= 1.399 <= high
    assert value(good, "self_healing_s", "outage") is None


def test_connects(good: Evidence) -> None:
    assert value(good, "refused_connects", "crash") == 10
    assert value(good, "connects_per_s", "outage") == pytest.approx(10 / 5.6, rel=0.01)
    assert value(good, "retry_interval_s", "crash") == pytest.approx(0.2)
    assert value(good, "retry_interval_s", "outage") == pytest.approx(0.8)
    assert value(good, "backs_off", "outage") is True
    assert value(good, "backs_off", "crash") is False
    low, high = value(good, "reconnect_delay_s", "outage")
    assert low <= 0.48 <= high
    assert high - low < 0.03


def test_storm_is_held_against_the_baseline(good: Evidence, tmp_path: Path) -> None:
    assert value(good, "reconnect_storm", "outage") == pytest.approx(10 / 5.6 * 8, rel=0.01)
    busy = changed(tmp_path, run(before_connects=16))
    assert value(busy, "reconnect_storm", "outage") == pytest.approx(10 / 5.6 / 2, rel=0.01)


def test_storm_of_an_application_that_hardly_connects_is_the_same_after_a_longer_baseline(
    tmp_path: Path,
) -> None:
    long = (T0 - 15.0, T0 + 9.0)
    for connects in (0, 1, 3):
        quiet = changed(tmp_path, run(before_connects=connects, baseline=long))
        assert value(quiet, "reconnect_storm", "outage") == pytest.approx(10 / 5.6 * 8, rel=0.01), connects
    busy = changed(tmp_path, run(before_connects=24, baseline=long))
    assert value(busy, "reconnect_storm", "outage") == pytest.approx(10 / 5.6, rel=0.01)


def test_rounds_of_a_pool_count_once(tmp_path: Path) -> None:
    pool = tuple(at + n * 0.001 for at in (0.5, 1.5, 2.5) for n in range(5))
    evidence = changed(tmp_path, one("outage", retries=pool))
    assert value(evidence, "retry_interval_s", "outage") == pytest.approx(1.0)


def test_orders_and_errors(good: Evidence) -> None:
    # 10 orders a second: bad for 1.388 s of the crash and 6.088 s of the outage.
    assert value(good, "error_budget") == pytest.approx(75 / 255, abs=3 / 255)
    assert value(good, "error_clarity") == 1.0
    assert value(good, "degradation", "crash") == "errors"
    assert value(good, "served_from_cache", "outage") is True


def test_ledger(good: Evidence, tmp_path: Path) -> None:
    assert value(good, "data_loss") == 0
    assert value(good, "duplicated") == 0
    assert value(good, "unacknowledged_applied") == 2
    assert value(good, "data_loss", "crash") == 0
    blind = {"lost": 3, "duplicated": 1, "unacknowledged_applied": 0, "shortest_visible_loss_ms": None}
    evidence = changed(tmp_path, run(ledger=blind))
    assert value(evidence, "data_loss") == 3, "a loss that was seen is one, however blind the load was"
    assert value(evidence, "duplicated") == 1


def test_a_loss_of_milliseconds_is_asked_for_only_where_something_was_killed(tmp_path: Path) -> None:
    evidence = changed(tmp_path, run(ledger={"lost": 0, "shortest_visible_loss_ms": 18.0}))
    assert value(evidence, "data_loss") is None
    gentle = replace(
        evidence,
        timeline=Timeline([{**event, "in_one_blow": False} for event in evidence.timeline]),
        journal=[],
    )
    assert value(gentle, "data_loss") == 0
    blind = {"lost": 0, "duplicated": 0, "unacknowledged_applied": 0, "shortest_visible_loss_ms": None}
    assert value(replace(gentle, ledger=blind), "data_loss") is None, "no loss at all would have shown"


def test_logs(good: Evidence) -> None:
    assert value(good, "log_clarity", "crash") == pytest.approx(0.149)


def test_manual_intervention(good: Evidence, tmp_path: Path) -> None:
    assert value(good, "manual_intervention") == 0
    rescue = {"t": T0 + 23.0, "event": "rescue", "service": "trading-api"}
    evidence = changed(
        tmp_path, one("crash", how="postgres started through the engine"), run(extra_timeline=[rescue])
    )
    assert value(evidence, "manual_intervention") == 2
    assert value(evidence, "manual_intervention", "crash") == 1


def test_detection_without_the_kernel_counts_from_our_note(tmp_path: Path) -> None:
    evidence = changed(tmp_path, run(capture="absent"))
    assert 0.012 <= value(evidence, "detection", "crash") <= 0.026


#: metric and fault of a finding -> what makes it fail, what makes it unknown.
TURNS: dict[str, tuple[Change, Change]] = {
    # A refused port is our view of it: an API that dies never says a word.
    "detection": (both(api_bad=1.5, api_good=7.0), run(load_from=T0 + 25.9)),
    "degradation": (both(api_died=0.1), run(steady_rate=0.0, watch_rate=0.0, burst_rate=0.0)),
    "recovery_s": (both(api_good=None), run(load_from=T0 + 25.0)),
    "recovery_since_undo_s": (both(api_good=None), run(load_from=T0 + 25.0)),
    "self_healing_s_crash": (
        one("crash", how="postgres started through the engine"),
        one("crash", mode="engine"),
    ),
    "retry_interval_s_outage": (one("outage", retries=(0.1, 2.6, 5.1)), run(control=False)),
    "backs_off_outage": (one("outage", retries=(0.5, 1.5, 2.5, 3.5, 4.5)), one("outage", retries=(1.0, 2.0))),
    "reconnect_delay_s": (
        all_of(one("outage", api_good=None), run(end=T0 + 30)),
        one("outage", store_down=None),
    ),
    "manual_intervention": (one("crash", how="postgres started through the engine"), run(episodes=[])),
    "data_loss": (
        run(ledger={"lost": 1, "shortest_visible_loss_ms": 2.0}),
        run(ledger={"lost": 0, "shortest_visible_loss_ms": 10.1}),
    ),
    "duplicated": (run(ledger={"lost": 0, "duplicated": 1}), run(ledger=None)),
    "error_clarity": (both(error="Internal server error"), both(api_bad=None)),
    "log_clarity": (both(log_line="INFO still nothing to do"), both(log_line=None)),
    "error_budget": (run(order_ok=lambda t: t < T0 + 12), run(steady_rate=0.0)),
    "reconnect_storm_outage": (
        one("outage", retries=tuple(n / 10 for n in range(1, 55))),
        run(capture="absent"),
    ),
    "refused_connects_outage": (one("outage", retries=()), run(capture="failed")),
    "connects_per_s_outage": (one("outage", retries=tuple(n / 12 for n in range(1, 66))), run(control=None)),
}


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {one.id: one.verdict for one in judge_findings(evidence)}


def test_every_finding_that_counts_can_turn() -> None:
    counting = {spec["id"] for spec in FINDINGS if not spec.get("informational")}
    assert counting == set(TURNS)


def test_all_pass_on_a_resilient_exchange(good: Evidence) -> None:
    assert set(verdicts(good).values()) == {"pass"}


@pytest.mark.parametrize("name", TURNS)
def test_fails(name: str, tmp_path: Path) -> None:
    change = TURNS[name][0]
    late = {"windows": {"steady_s": 3, "recovery_timeout_s": 4}} if name.startswith("recovery") else {}
    assert verdicts(changed(tmp_path, change, run(spec=late)))[name] == "fail"


@pytest.mark.parametrize("name", TURNS)
def test_unknown(name: str, tmp_path: Path) -> None:
    assert verdicts(changed(tmp_path, TURNS[name][1]))[name] == "unknown"


def test_not_recovered_within_a_shorter_time_than_granted_is_unknown(tmp_path: Path) -> None:
    evidence = changed(tmp_path, one("outage", api_good=None))
    found = judge_finding(
        evidence, spec_of({"id": "x", "metric": "recovery_s", "fault": "outage", "max": 60})
    )
    assert found.verdict == "unknown"
    assert found.value is None
    assert "or more" in found.evidence


def test_gave_up_is_a_failure_whatever_the_threshold(tmp_path: Path) -> None:
    gave_up = {"t": T0 + 25.9, "event": "not_steady", "fault": "outage"}
    evidence = changed(tmp_path, one("outage", api_good=None), run(extra_timeline=[gave_up]))
    assert (
        judge_finding(
            evidence, spec_of({"id": "x", "metric": "recovery_s", "fault": "outage", "max": 60})
        ).verdict
        == "fail"
    )


def test_an_interval_around_the_threshold_is_unknown(good: Evidence) -> None:
    low, high = value(good, "recovery_s", "crash")
    spec = {"id": "x", "metric": "recovery_s", "fault": "crash"}
    assert judge_finding(good, spec_of({**spec, "max": (low + high) / 2})).verdict == "unknown"
    assert judge_finding(good, spec_of({**spec, "max": low - 0.001})).verdict == "fail"
    assert judge_finding(good, spec_of({**spec, "max": high})).verdict == "pass"
    assert judge_finding(good, spec_of({**spec, "min": low})).verdict == "pass"


def test_the_worst_fault_speaks_for_all(good: Evidence) -> None:
    found = judge_finding(good, spec_of({"id": "x", "metric": "recovery_s", "max": 2.0}))
    assert found.verdict == "fail"
    assert found.evidence.startswith("outage: ")
    assert found.record()["threshold"] == {"op": "<=", "value": 2.0}


def test_thresholds_out_of_a_template_have_their_type(good: Evidence) -> None:
    for metric, given, meant in (
        ("detection", {"max": "1.0"}, ("<=", 1.0)),
        ("data_loss", {"max": "0"}, ("<=", 0)),
        ("backs_off", {"equals": "True", "fault": "outage"}, ("==", True)),
        ("degradation", {"max": "errors"}, ("<=", "errors")),
    ):
        found = judge_finding(good, spec_of({"id": "x", "metric": metric, **given}))
        assert (found.threshold, found.verdict) == (meant, "pass")
    with pytest.raises(ChaosError, match=r"threshold of 'soon' for detection; it must be a number"):
        check_finding(spec_of({"id": "x", "metric": "detection", "max": "soon"}))


def test_informational_findings_have_no_threshold_and_never_fail(good: Evidence) -> None:
    found = judge_finding(
        good, spec_of({"id": "x", "metric": "recovery_s", "max": 0.1, "informational": True})
    )
    assert (found.verdict, found.threshold, found.counts) == ("pass", None, False)


def test_a_fault_that_was_not_injected_is_unknown(tmp_path: Path) -> None:
    scenario = Scenario()
    spec = scenario.spec_data()
    scenario.episodes = scenario.episodes[:1]
    scenario.spec = {"faults": spec["faults"]}
    evidence = scenario.evidence(tmp_path)
    found = judge_finding(
        evidence, spec_of({"id": "x", "metric": "recovery_s", "fault": "outage", "max": 60})
    )
    assert (found.value, found.verdict, found.evidence) == (
        None,
        "unknown",
        "outage: fault outage was not injected",
    )


def test_unknown_names_are_told_the_known_ones(good: Evidence) -> None:
    with pytest.raises(
        ChaosError, match=r"no metric 'speed'; known are: .*backs_off, .*unacknowledged_applied"
    ):
        measure(good, "speed")
    with pytest.raises(ChaosError, match=r"no fault 'flood'; it has: crash, outage"):
        measure(good, "detection", "flood")
    with pytest.raises(ChaosError, match=r"give one of max, min, equals"):
        check_finding(spec_of({"id": "x", "metric": "detection", "max": 1, "min": 0}))
    with pytest.raises(ChaosError, match=r"one of: kept_serving, errors, crashed"):
        check_finding(spec_of({"id": "x", "metric": "degradation", "max": "fine"}))


def test_every_metric_is_documented_and_those_of_the_simulated_experiment_exist() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert sorted(rows) == list_names()
    assert {spec["metric"] for spec in FINDINGS} <= set(list_names())
    for name in list_names():
        metric = find_metric(name)
        assert f"| {metric.unit or '–'} |" in rows[name]
        assert metric.summary.endswith((".", "?")) or ":" in metric.summary


def test_evidence_says_where_it_lies(good: Evidence) -> None:
    for name in list_names():
        for measured in measure(good, name).values():
            assert isinstance(measured, Measured)
            assert measured.evidence
    found = measure(good, "recovery_s", "crash")["crash"]
    assert "last bad 2026-11-23T18:00:11.390Z" in found.evidence
    assert good.anchor.realtime == REALTIME
