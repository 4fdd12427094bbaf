# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steady state and the interval of recovery: the true instant always lies in it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence import steady_state
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Order
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    Specification,
    Thresholds,
)

from tests.unit.scenario import T0, Episode, Scenario

LIMITS = Thresholds()
NARROWEST_MS = 50


def signal(
    bad: Sequence[tuple[float, float]], *, rate: float = 100.0, end: float = 10.0, **more: object
) -> steady_state.Signal:
    """A probe sampled from 0 to ``end``, bad in the given stretches; ``gap`` leaves one stretch out."""
    gap = more.get("gap", (-1.0, -1.0))
    assert isinstance(gap, tuple)
    points = []
    for count in range(int(end * rate)):
        at = count / rate
        if not gap[0] <= at < gap[1]:
            points.append(steady_state.Point(at, at + 0.002, any(low <= at < high for low, high in bad)))
    return steady_state.Signal(
        str(more.get("name", "probe")), points, 0.5, False, [point.at for point in points]
    )


def orders(
    bad: Sequence[float], *, rate: float = 50.0, end: float = 10.0, slow: Sequence[float] = ()
) -> steady_state.Signal:
    """Orders sent from 0 to ``end``; those nearest to the given instants fail, or are slow."""
    failed = {round(at * rate) for at in bad}
    late = {round(at * rate) for at in slow}
    points = [
        steady_state.Point(n / rate, n / rate + 0.005, n in failed, n in late, 900.0 if n in late else 5.0)
        for n in range(int(end * rate))
    ]
    return steady_state.Signal("orders", points, 0.5, True, [point.at for point in points])


def crash(**fields: float) -> Scenario:
    """A run with one crash alone."""
    offset = fields.pop("phase_offset", 0.0)
    answer = fields.pop("answer_s", 0.004)
    seen = fields.pop("seen_at", 0.5)
    episode = Episode("crash", T0 + 10.0, **fields)  # type: ignore[arg-type]
    return Scenario(
        [episode], end=episode.recovered + 5.0, phase_offset=offset, answer_s=answer, seen_at=seen
    )


def recover(scenario: Scenario) -> steady_state.Recovery:
    found = steady_state.find_recovery(scenario.signals(), scenario.episodes[0].at, scenario.end, 3.0, LIMITS)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(40))
def test_the_true_instant_lies_in_a_narrow_interval(seed: int) -> None:
    source = random.Random(seed)
    store_up = source.uniform(0.2, 4.0)
    scenario = crash(
        store_up=store_up,
        api_good=max(0.1, store_up + source.uniform(-0.5, 2.0)),
        phase_offset=source.uniform(0, 0.1),
        answer_s=source.uniform(0.001, 0.01),
        seen_at=source.random(),
    )
    found = recover(scenario)
    truth = scenario.episodes[0].recovered
    assert found.earliest <= truth <= found.latest
    assert (found.latest - found.earliest) * 1000 <= NARROWEST_MS


@pytest.mark.parametrize("seed", range(20))
def test_lost_samples_widen_the_interval_but_never_make_it_wrong(seed: int) -> None:
    source = random.Random(1000 + seed)
    scenario = crash(store_up=source.uniform(0.3, 2.0), api_good=source.uniform(0.3, 2.5))
    thinned = []
    for one in scenario.signals():
        points = [point for point in one.points if source.random() > 0.3]
        thinned.append(
            steady_state.Signal(one.name, points, one.gap_s, one.tolerant, [point.at for point in points])
        )
    found = steady_state.find_recovery(thinned, scenario.episodes[0].at, scenario.end, 3.0, LIMITS)
    assert found is not None
    assert found.earliest <= scenario.episodes[0].recovered <= found.latest


def test_bounds_come_from_the_signals_that_set_them() -> None:
    found = steady_state.find_recovery(
        [signal([(1, 2)], name="a"), signal([(1, 3)], name="b", rate=50)], 0.5, 10, 3.0, LIMITS
    )
    assert found is not None
    assert (found.last_bad, found.first_good) == ("b", "b")
    assert found.earliest == pytest.approx(2.98)
    assert found.latest == pytest.approx(3.002)


def test_never_left() -> None:
    found = steady_state.find_recovery([signal([])], 1.0, 10, 3.0, LIMITS)
    assert found is not None
    assert not found.left
    assert found.earliest == found.latest == 1.0


def test_a_relapse_within_the_steady_stretch_starts_it_anew() -> None:
    found = steady_state.find_recovery([signal([(1, 2), (4.5, 4.6)])], 0.5, 10, 3.0, LIMITS)
    assert found is not None
    assert found.earliest == pytest.approx(4.59)


def test_a_relapse_after_the_steady_stretch_does_not() -> None:
    found = steady_state.find_recovery([signal([(1, 2), (5.5, 5.6)])], 0.5, 10, 3.0, LIMITS)
    assert found is not None
    assert found.earliest == pytest.approx(1.99)


def test_errors_within_the_threshold_are_tolerated_late_but_not_in_the_tail_of_the_outage() -> None:
    tail = [1.0 + n * 0.02 for n in range(51)]
    late = steady_state.find_recovery([orders([*tail, 4.0])], 0.5, 10, 3.0, LIMITS)
    early = steady_state.find_recovery([orders([*tail, 2.2])], 0.5, 10, 3.0, LIMITS)
    assert late is not None
    assert early is not None
    assert late.earliest == pytest.approx(2.0)
    assert early.earliest == pytest.approx(2.2)


def test_more_errors_than_the_threshold_are_not() -> None:
    found = steady_state.find_recovery([orders([1.0, 2.4, 3.9])], 0.5, 10, 3.0, LIMITS)
    assert found is not None
    assert found.earliest == pytest.approx(2.4)


def test_slow_orders_are_not_steady() -> None:
    found = steady_state.find_recovery(
        [orders([], slow=[1 + n / 50 for n in range(100)])], 0.5, 10, 3.0, LIMITS
    )
    assert found is not None
    assert found.earliest == pytest.approx(2.98)


def test_a_gap_is_not_good() -> None:
    found = steady_state.find_recovery(
        [signal([(1, 2)], gap=(2.5, 3.5)), signal([], name="other")], 0.5, 10, 3.0, LIMITS
    )
    assert found is not None
    assert found.earliest == pytest.approx(1.99)
    assert found.latest == pytest.approx(3.502)


def test_a_short_pause_is_no_gap() -> None:
    found = steady_state.find_recovery([signal([(1, 2)], gap=(2.5, 2.8))], 0.5, 10, 3.0, LIMITS)
    assert found is not None
    assert found.latest == pytest.approx(2.002)


@pytest.mark.parametrize(
    "found",
    [
        [],
        [signal([(1, 11)])],
        [signal([(1, 8)])],
        [signal([(1, 2)]), signal([], end=3.0, name="ended")],
        [signal([(1, 2)]), steady_state.Signal("silent", [], 0.5)],
    ],
    ids=["nothing sampled", "bad to the end", "too short", "one ended", "one silent"],
)
def test_not_recovered(found: list[steady_state.Signal]) -> None:
    assert steady_state.find_recovery(found, 0.5, 10, 3.0, LIMITS) is None


def test_reasons_are_sentences_with_figures() -> None:
    found = [signal([(1, 2)], name="ready"), signal([], gap=(1, 2), name="health"), orders([1.0, 1.5])]
    reasons = steady_state.unsteady_reasons(found, 0.5, 3.0, LIMITS)
    assert reasons[0] == "ready: 100 of 250 samples bad"
    assert reasons[1].startswith("health: 1.01 s without a sample")
    assert reasons[2].startswith("orders: 2 of 125 failed")
    assert steady_state.unsteady_reasons([], 0, 1, LIMITS) == ["nothing was sampled"]


def test_a_reason_quotes_what_most_samples_said_and_what_was_asked() -> None:
    """A firewall between this host and a container: the count alone would have its owner look at the exchange."""
    said = ["timed out", "timed out", "refused", ""]
    points = [steady_state.Point(0.1 * n, 0.1 * n, True, said=words) for n, words in enumerate(said)]
    times = [point.at for point in points]
    found = steady_state.Signal("ready", points, 1.0, times=times, where="http://172.18.0.5:8080/ready")
    assert steady_state.unsteady_reasons([found], -0.1, 0.4, LIMITS) == [
        "ready: 4 of 4 samples bad (timed out, from this host to http://172.18.0.5:8080/ready)"
    ]


def test_rate_limited_and_unsent_orders_are_no_samples() -> None:
    scenario = crash()
    lines = scenario.load_lines()
    for line in lines[5:15]:
        line.update(ok=False, status=429, kind="error")
    for line in lines[15:20]:
        line.update(ok=False, status=0, kind="dropped")
    from ansible_collections.exchange.chaos.plugins.module_utils.evidence import evidence

    points = steady_state.build_signals(
        Specification.read(scenario.spec_data()), evidence.parse_orders(lines), []
    )[0].points
    surge = sum(line.get("stream") == "burst" for line in lines)
    assert len(points) == len(lines) - 1 - 15 - surge


def test_a_stretch_after_a_fault_must_begin_clean() -> None:
    found = [orders([2.2])]
    assert steady_state.unsteady_reasons(found, 2.0, 5.0, LIMITS) == []
    assert steady_state.unsteady_stretches(found, 2.0, 5.0, LIMITS) == [
        "orders: bad samples at the start of the steady stretch"
    ]
    assert steady_state.unsteady_stretches(found, 1.0, 4.0, LIMITS) == []


def test_answers_may_overtake_each_other() -> None:
    ends = {0: 0.1, 1: 0.2, 2: 2.9, 3: 2.6, 4: 2.7}
    points = [steady_state.Point(0.1 * n, ends.get(n, 0.1 * n + 0.05), n < 2) for n in range(100)]
    points[2] = steady_state.Point(2.2, 2.9, False)
    found = steady_state.Signal("orders", sorted(points, key=lambda point: point.at), 0.5, False, [])
    found = steady_state.Signal("orders", found.points, 0.5, False, [point.at for point in found.points])
    back = steady_state.find_recovery([found], -0.1, 9.9, 3.0, LIMITS)
    assert back is not None
    assert back.earliest == pytest.approx(0.1)
    assert back.latest == pytest.approx(0.55)


def test_a_run_under_way_is_steady_when_its_judges_will_say_so_too() -> None:
    # the last bad sample took a second to time out: a gap, from whose end the three seconds count
    found = [signal([(1, 2)], gap=(2.1, 2.9), name="ready"), signal([], name="other")]
    gap_end = next(point.at for point in found[0].points if point.at >= 2.9)
    for now in (gap_end + 2.8, gap_end + 2.95, gap_end + 3.01, gap_end + 3.2):
        said = steady_state.unsettled_reasons(found, 0.5, now, 3.0, LIMITS)
        assert (not said) == (steady_state.find_recovery(found, 0.5, now, 3.0, LIMITS) is not None), now
    assert steady_state.unsteady_stretches(found, gap_end - 0.05, gap_end + 2.95, LIMITS) == [], (
        "its last three seconds alone are"
    )
    assert steady_state.unsettled_reasons(found, 0.5, gap_end + 2.95, 3.0, LIMITS) == [
        "steady for too short since the last gap"
    ]


def test_a_run_under_way_that_is_bad_again_is_not_steady() -> None:
    found = [signal([(1, 2), (6, 10)])]
    assert steady_state.find_recovery(found, 0.5, 7.0, 3.0, LIMITS) is not None
    assert steady_state.unsettled_reasons(found, 0.5, 7.0, 3.0, LIMITS)


def answered(sent: float, end: float, ok: bool = True) -> Order:
    """An order as the evidence holds it."""
    return Order(1, "steady", sent, sent, end, 201, ok, "ok" if ok else "error", None)


def test_a_slow_order_was_unanswered_until_the_threshold_so_recovery_came_after_that() -> None:
    """An exchange that is away from 2.0 to 3.0 and then answers all it holds: what was sent at 2.49 took 510 ms."""
    sent = [n / 50 + 0.01 for n in range(400)]
    found = [answered(at, 3.0 + at / 1e4 if 2.0 <= at < 3.0 else at + 0.004) for at in sent]
    spec = {"load": {"rate": 50}, "thresholds": {"p99_ms": 500}}
    back = steady_state.find_recovery(
        steady_state.build_signals(Specification.read(spec), found, []),
        1.9,
        7.9,
        3.0,
        Thresholds(0.01, 500.0),
    )
    assert back is not None
    assert back.left
    # by its sending alone, the bound would be 2.49
    assert back.earliest == pytest.approx(2.99)
    assert back.latest == pytest.approx(3.0, abs=0.001)


def test_one_slow_order_alone_is_no_outage_and_two_within_a_second_are() -> None:
    limits, spec = Thresholds(0.01, 500.0), {"load": {"rate": 10}, "thresholds": {"p99_ms": 500}}

    def signals(*slow: int) -> list[steady_state.Signal]:
        orders = [answered(n / 10, n / 10 + (0.9 if n in slow else 0.004)) for n in range(100)]
        return steady_state.build_signals(Specification.read(spec), orders, [])

    assert steady_state.unsteady_stretches(signals(22), 2.0, 5.0, limits) == []
    assert not steady_state.find_recovery(signals(22), 2.0, 9.0, 3.0, limits).left  # type: ignore[union-attr]
    assert steady_state.unsteady_stretches(signals(22, 28), 2.0, 5.0, limits)
    assert steady_state.find_recovery(signals(22, 28), 2.0, 9.0, 3.0, limits).left  # type: ignore[union-attr]


def test_a_slow_order_beside_a_failed_one_is_bad() -> None:
    limits, spec = Thresholds(0.5, 500.0), {"load": {"rate": 10}, "thresholds": {"p99_ms": 500}}
    orders = [answered(n / 10, n / 10 + (0.9 if n == 25 else 0.004), ok=n != 30) for n in range(100)]
    assert steady_state.unsteady_stretches(
        steady_state.build_signals(Specification.read(spec), orders, []), 2.0, 5.0, limits
    )
