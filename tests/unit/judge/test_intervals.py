# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals of comparisons: as wide as they must be, and a verdict only where the whole of one lies on one side."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import intervals
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import Finding, judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FindingSpec,
    Specification,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import read_schema
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.schema import find_problems

from tests.unit.scenario import T0, Scenario

SEED = 20261130


@pytest.mark.parametrize(
    ("count", "q", "low", "high"), [(80, 95, 72, 80), (300, 50, 133, 168), (5, 50, 0, 6)]
)
def test_bounds_are_order_statistics(count: int, q: float, low: int, high: int) -> None:
    """Ranks as in the tables of the binomial distribution, at 2.5 % each."""
    values = [float(value) for value in range(1, count + 1)]
    random.Random(SEED).shuffle(values)
    expected = (float(low), float(high) if high <= count else math.inf)
    assert intervals.percentile_bounds(values, q) == expected


@pytest.mark.parametrize("q", [50, 95, 99])
@pytest.mark.parametrize("shape", ["exponential", "two humps"])
def test_they_hold_the_true_value_as_often_as_they_say(q: float, shape: str) -> None:
    chance, missed, runs = random.Random(SEED), 0, 2000

    def draw() -> float:
        if shape == "exponential":
            return chance.expovariate(1.0)
        return chance.expovariate(1.0) + (50.0 if chance.random() < 0.3 else 0.0)

    many = sorted(draw() for _ in range(400_000))
    truth = many[int(len(many) * q / 100)]
    for _ in range(runs):
        low, high = intervals.percentile_bounds([draw() for _ in range(80)], q)
        missed += not low <= truth <= high
    assert missed / runs <= 2 * intervals.ERROR + 0.01


def test_too_few_values_have_no_upper_bound_and_none_at_all_no_bounds() -> None:
    assert intervals.percentile_bounds([1.0] * 80, 99) == (1.0, math.inf)
    assert intervals.percentile_bounds([], 50) == (0.0, math.inf)


def test_a_ratio_takes_the_worst_corners() -> None:
    assert intervals.bound_ratio((20.0, 40.0), (5.0, 10.0)) == (2.0, 8.0)
    assert intervals.bound_ratio((20.0, 40.0), (5.0, 8.0), least=10.0) == (2.0, 4.0)
    assert intervals.bound_ratio((20.0, math.inf), (0.0, math.inf)) == (0.0, math.inf)
    assert intervals.bound_difference((20.0, 40.0), (5.0, 10.0)) == (10.0, 35.0)


def test_the_window_that_would_tell_grows_with_the_square_of_what_is_missing() -> None:
    assert intervals.seconds_to_tell((1.0, 4.0), 2.0, 3.0, 15.0) == pytest.approx(60.0)
    assert intervals.seconds_to_tell((1.0, 4.0), 2.0, 1.5, 15.0) == pytest.approx(60.0)
    assert intervals.seconds_to_tell((1.0, math.inf), 2.0, 3.0, 15.0) == 30.0
    assert intervals.seconds_to_tell((1.0, 4.0), 3.0, 3.0, 15.0) is None


@pytest.fixture
def run(tmp_path: Path) -> Evidence:
    """Orders take 10 ms or so before the outage, and 20 ms or so in it; all of them are good."""
    chance = random.Random(SEED)
    evidence = Scenario(order_ok=lambda t: True, steady_rate=20.0).evidence(tmp_path)
    orders = [
        order._replace(
            ok=True,
            status=201,
            kind="ok",
            end=order.at + (0.02 if order.at >= T0 + 16 else 0.01) * chance.uniform(0.5, 1.5),
        )
        for order in evidence.orders
    ]
    return replace(evidence, orders=orders)


def latency(run: Evidence, **limit: Any) -> Finding:
    spec = {"id": "latency", "metric": "latency_while_away", "fault": "outage", **limit}
    return judge_finding(run, FindingSpec.from_data(spec))


@pytest.mark.parametrize(("limit", "verdict"), [(1.0, "fail"), (1.95, "unknown"), (4.0, "pass")])
def test_a_verdict_needs_the_whole_interval_on_one_side(limit: float, verdict: str, run: Evidence) -> None:
    found = latency(run, max=limit)
    assert found.interval is not None
    low, high = found.interval
    assert low < float(found.value) < high  # type: ignore[arg-type]
    assert found.verdict == verdict
    wordy = found.evidence.startswith("too few samples to tell (")
    assert wordy == (verdict == "unknown")
    if wordy:
        assert re.search(r"a window of about \d+ s would tell; outage: load.jsonl: 95th", found.evidence)


def test_more_samples_decide_what_fewer_could_not(run: Evidence) -> None:
    half = [order for order in run.orders if order.n % 2]
    few, many = latency(replace(run, orders=half), max=2.6), latency(run, max=2.6)
    assert (few.verdict, many.verdict) == ("unknown", "pass")
    assert " to more, with 5" in few.evidence


def test_it_stands_in_the_record(run: Evidence) -> None:
    wanted = [
        {"id": "latency", "metric": "latency_while_away", "fault": "outage", "max": 4},
        {"id": "p99", "metric": "slowdown_p99", "fault": "outage", "informational": True},
        {"id": "recovery", "metric": "recovery_s", "fault": "outage", "max": 60},
        {"id": "loss", "metric": "data_loss", "max": 0},
    ]
    record = run_record(replace(run, spec=Specification.read({**run.spec.to_data(), "findings": wanted})))
    assert find_problems(record, read_schema()) == []
    found = {one["id"]: one["interval"] for one in record["hosts"][0]["findings"]}
    assert found["latency"][0] < 2 < found["latency"][1]
    assert found["p99"][1] is None, "so few samples have no upper bound"
    assert found["recovery"] == record["hosts"][0]["findings"][2]["value"]
    assert found["loss"] is None
