# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of experiments 07, 08 and 10 on simulated runs: as they should be, and each turned red."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Sample
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs.effect import (
    judge_effect,
    judge_proofs,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import judge_run
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec

from tests.unit.scenario_kills import Kills, cache_run, proxy_run, several_run

spec_of = FindingSpec.from_data


def measured(folder: Path, scenario: Kills, name: str, fault: str) -> Measured:
    return measure(scenario.evidence(folder), name, fault)[fault]


def verdict(folder: Path, scenario: Kills, name: str, fault: str | None = None, **threshold: Any) -> str:
    spec = {"id": name, "title": name, "metric": name, "fault": fault, **threshold}
    return judge_finding(scenario.evidence(folder), spec_of(spec)).verdict


# ---- 07: the cache


def test_the_cache_run_is_judged_as_a_whole(tmp_path: Path) -> None:
    scenario = cache_run(restore={"leftovers": [], "restarts": {"redis": 1}, "unchecked": []})
    found = judge_run(scenario.evidence(tmp_path))
    assert (found.effect, found.restored) == ("pass", "pass"), found.reasons


def test_database_load_is_held_against_the_same_pace(tmp_path: Path) -> None:
    # 5 s of outage: 210 transactions in 3.5 s; then 322 in the 3.2 s from 1 s after the undo until steady
    found = measured(tmp_path, cache_run(), "database_load", "outage")
    assert found.value == pytest.approx((210 / 3.5) / (322 / 3.2), rel=0.01)
    # a crash has no stretch without the cache that is long enough
    assert measured(tmp_path / "crash", cache_run(), "database_load", "crash").value is None


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"begin": 1000, "end": 2800, "undone": 3000, "steady": 3322}, "fail"),
        ({"begin": 1000, "end": None, "undone": 3000, "steady": 3322}, "unknown"),
        ({"begin": 1000, "undone": 3000, "steady": 3322}, "unknown"),
        ({"begin": 1000, "end": 1210, "undone": 1400, "steady": 1400}, "unknown"),
    ],
)
def test_a_database_that_pays_for_the_cache_is_red(
    readings: dict[str, float | None], expected: str, tmp_path: Path
) -> None:
    scenario = cache_run(gauges={"database_transactions": readings})
    assert verdict(tmp_path, scenario, "database_load", "outage", max=3) == expected


def test_events_are_published_again_or_not(tmp_path: Path) -> None:
    assert verdict(tmp_path / "good", cache_run(), "events_resumed", equals=True) == "pass"
    silent = cache_run(gauges={"events_published": {"before": 10, "begin": 20, "undone": 20, "steady": 20}})
    assert verdict(tmp_path / "silent", silent, "events_resumed", equals=True) == "fail"
    assert verdict(tmp_path / "none", cache_run(gauges={}), "events_resumed", equals=True) == "unknown"


def test_events_and_keys_are_held_against_before_the_fault(tmp_path: Path) -> None:
    scenario = cache_run()
    assert measured(tmp_path / "1", scenario, "events_lost", "crash").value == 120
    assert measured(tmp_path / "2", scenario, "events_lost", "outage").value == 0, (
        "the last reading before it"
    )
    assert measured(tmp_path / "3", scenario, "keys_lost", "crash").value == 1
    assert measured(tmp_path / "4", scenario, "keys_lost", "outage").value == 0


def test_the_subscription_is_back_after_the_port(tmp_path: Path) -> None:
    found = measured(tmp_path, cache_run(), "subscription_back_s", "outage")
    assert isinstance(found.value, tuple)
    assert found.value[0] <= 0.2 <= found.value[1]
    assert found.value[1] - found.value[0] < 0.2


def test_a_subscription_never_taken_up_again_is_red_though_all_else_is_steady(tmp_path: Path) -> None:
    scenario = cache_run()
    dead = scenario.episodes[0].at + 2
    scenario.further = [("subscription", "subscription", 10.0, lambda _, t: t >= dead)]
    assert verdict(tmp_path / "s", scenario, "subscription_back_s", max=5) == "fail"
    assert verdict(tmp_path / "r", scenario, "recovery_s", "crash", max=60) == "pass"
    scenario.further = []
    assert verdict(tmp_path / "n", scenario, "subscription_back_s", max=5) == "unknown"


def test_an_exchange_that_can_do_nothing_without_its_cache_is_red(tmp_path: Path) -> None:
    # api_bad in the scenario: orders fail as long as the cache is away
    assert verdict(tmp_path / "bad", cache_run(), "errors_while_away", max=0.01) == "fail"
    good = cache_run()
    for episode in good.episodes:
        episode.api_bad = None
    assert verdict(tmp_path / "good", good, "errors_while_away", max=0.01) == "pass"


def test_latency_without_the_cache_is_held_against_before(tmp_path: Path) -> None:
    scenario = proxy_run()
    found = measured(tmp_path / "same", scenario, "latency_while_away", "outage")
    assert found.value == pytest.approx(0.4), "4 ms against 10 ms, the least that counts"
    for episode in scenario.episodes:
        episode.slow_ms, episode.api_bad, episode.api_good = 400.0, None, 5.6
    assert verdict(tmp_path / "slow", scenario, "latency_while_away", "outage", max=20) == "fail"


# ---- 08: the proxy


def test_the_proxy_run_passes_and_its_own_findings_hold(tmp_path: Path) -> None:
    scenario = proxy_run(restore={"leftovers": [], "restarts": {"nginx": 1}, "unchecked": []})
    evidence = scenario.evidence(tmp_path)
    assert judge_effect(evidence) == ("pass", [])
    assert judge_run(evidence).restored == "pass"
    for name, limit in (("errors_while_away", 0.01), ("peer_errors", 0.01), ("proxy_back_s", 5)):
        spec = {"id": name, "title": name, "metric": name, "max": limit}
        assert judge_finding(evidence, spec_of(spec)).verdict == "pass", name
    assert measure(evidence, "proxy_errors", "outage")["outage"].value == pytest.approx(1, abs=0.01)
    low, high = measure(evidence, "proxy_back_s", "outage")["outage"].value  # type: ignore[misc]
    assert low <= 0.1 <= high


def test_what_calls_its_neighbour_through_the_proxy_is_red(tmp_path: Path) -> None:
    scenario = proxy_run()
    scenario.further[1] = ("peer", "peer", 10.0, lambda one, t: one.away(t))
    assert verdict(tmp_path / "peer", scenario, "peer_errors", max=0.01) == "fail"
    scenario.further = []
    assert verdict(tmp_path / "none", scenario, "peer_errors", max=0.01) == "unknown"


def test_a_proxy_that_never_finds_its_backends_is_red_for_good(tmp_path: Path) -> None:
    scenario = proxy_run()
    scenario.further[0] = ("front", "front", 25.0, lambda one, t: t >= one.episodes[1].at)
    assert verdict(tmp_path / "front", scenario, "proxy_back_s", max=5) == "fail"
    # every experiment's own probe speaks where there is no denser one
    scenario.further[0] = ("proxy", "proxy", 5.0, lambda one, t: t >= one.episodes[1].at)
    assert verdict(tmp_path / "proxy", scenario, "proxy_back_s", max=5) == "fail"


def test_an_answer_that_the_next_fault_cut_off_is_not_of_the_one_before(tmp_path: Path) -> None:
    evidence = proxy_run().evidence(tmp_path)
    struck = fault_windows(evidence)[1].injected
    cut = Sample(
        "front", "front", struck - 0.05, struck + 0.05, False, 0, "reset", "closed without an answer"
    )
    before, after = (
        measure(one, "proxy_back_s", "crash")["crash"]
        for one in (
            evidence,
            replace(evidence, probes=sorted([*evidence.probes, cut], key=lambda one: one.at)),
        )
    )
    assert after.value == before.value is not None


def test_the_direct_way_knows_no_limit_and_says_how_many_were_limited(tmp_path: Path) -> None:
    found = measured(tmp_path, proxy_run(), "direct_rate", "outage")
    assert found.value == pytest.approx(50, rel=0.2)
    assert "0 answered 429" in found.evidence


def test_resets_are_counted_on_the_targets_ports_where_the_kernel_was_watched(tmp_path: Path) -> None:
    assert measured(tmp_path / "two", proxy_run(resets=2), "target_resets", "outage").value == 2
    assert measured(tmp_path / "none", proxy_run(), "target_resets", "outage").value == 0
    blind = proxy_run(resets=2, capture="absent")
    assert measured(tmp_path / "blind", blind, "target_resets", "outage").value is None


# ---- 10: several at once


def test_several_targets_are_one_fault_and_each_is_proved(tmp_path: Path) -> None:
    evidence = several_run().evidence(tmp_path)
    (window,) = fault_windows(evidence)
    assert (window.target, list(window.targets)) == ("postgres", ["postgres", "redis", "trading-api"])
    facts = [
        proof.fact for proof in judge_proofs(evidence, window) if proof.source == "kernel" and proof.holds
    ]
    for service in window.targets:
        assert f"{service} exits by signal 9 (tracepoint)" in facts
    found = judge_run(evidence)
    assert (found.effect, found.restored) == ("pass", "pass"), found.reasons
    assert {"postgres", "redis", "trading-api"} <= {note.split(" ")[0] for note in found.reasons}


def test_one_that_nobody_saw_end_makes_the_effect_fail(tmp_path: Path) -> None:
    scenario = several_run(capture="absent")
    scenario.kills["redis"] = None

    class Spared(Kills):
        def engine_lines(self) -> list[dict[str, Any]]:
            return [line for line in super().engine_lines() if line["service"] != "redis"]

    spared = Spared(**vars(scenario))
    verdict, reasons = judge_effect(spared.evidence(tmp_path))
    assert verdict == "fail"
    assert reasons == ["crash: neither the kernel nor the engine saw it take effect on redis"]


def test_the_spread_is_the_tracers_else_the_pidfds(tmp_path: Path) -> None:
    traced = measured(tmp_path / "traced", several_run(), "kill_spread_s", "crash")
    assert traced.value == pytest.approx(0.002)
    assert traced.evidence.startswith("bpf.jsonl")
    slow = several_run(capture="absent", kills={"postgres": 0.001, "redis": 1.6, "trading-api": 0.3})
    assert measured(tmp_path / "slow", slow, "kill_spread_s", "crash").value == pytest.approx(1.599)
    assert verdict(tmp_path / "red", slow, "kill_spread_s", max=1) == "fail"
    slow.kills["redis"] = None
    assert verdict(tmp_path / "none", slow, "kill_spread_s", max=1) == "unknown"


def test_down_times_and_the_order_of_recovery(tmp_path: Path) -> None:
    evidence = several_run().evidence(tmp_path)
    for name, truth in (("database_down_s", 0.9), ("cache_down_s", 0.9), ("api_down_s", 1.4)):
        low, high = measure(evidence, name, "crash")["crash"].value  # type: ignore[misc]
        assert low <= truth - 0.001 <= high, name
        assert high - low < 0.1
    assert measure(evidence, "recovery_order", "crash")["crash"].value is True
    low, high = measure(evidence, "proxy_back_s", "crash")["crash"].value  # type: ignore[misc]
    assert low <= 0.2 <= high


def test_an_api_that_says_it_is_good_without_its_stores_is_red(tmp_path: Path) -> None:
    scenario = several_run()
    scenario.episodes[0].api_good = 0.6
    assert verdict(tmp_path, scenario, "recovery_order", equals=True) == "fail"


def test_a_service_that_stays_away_is_red(tmp_path: Path) -> None:
    scenario = several_run()
    scenario.episodes[0].started = None
    scenario.spec = {"windows": {"baseline_s": 8, "steady_s": 3, "recovery_timeout_s": 4}}
    assert verdict(tmp_path / "away", scenario, "self_healing_s", max=60) == "fail"
    assert verdict(tmp_path / "back", several_run(), "self_healing_s", max=60) == "pass"


def test_a_proxy_that_looks_its_backends_up_once_is_red_and_says_where_they_went(tmp_path: Path) -> None:
    scenario = several_run(moved="172.18.0.9")
    scenario.further = [("front", "front", 25.0, lambda one, t: t >= one.episodes[0].at)]
    spec = {"id": "p", "title": "p", "metric": "proxy_back_s", "max": 5}
    found = judge_finding(scenario.evidence(tmp_path), spec_of(spec))
    assert found.verdict == "fail"
    assert "trading-api moved from 172.18.0.4 to 172.18.0.9" in found.evidence
