# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load beside exchanges that bear much, little, or once too often: how far it surges, and how it yields."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.governor import Governor, Wanted
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.schedule import Schedule
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

TIMEOUT_S = 3.0
LOAD = {"rate": 10, "watch_rate": 40, "burst_rate": 200, "burst_s": 2.0, "floor": 5, "timeout_s": TIMEOUT_S}
SPEC = {
    "load": LOAD,
    "thresholds": {"p99_ms": 500, "loss_visible_ms": 10},
    "faults": [{"id": "crash", "hold_s": 0}, {"id": "outage", "hold_s": 30}],
}

#: When an order that is sent at an instant is answered, and whether well; given so far: the instants of those before.
Exchange = Callable[[float, list[float]], tuple[float, bool]]


def quick(at: float, _before: list[float]) -> tuple[float, bool]:
    """Answers everything in 3 ms."""
    return at + 0.003, True


@dataclass
class Metastable:
    """Bears so many orders per second; above it a queue comes that makes each order dearer, until nobody asks."""

    bears: float
    free_at: float = 0.0
    last: float = 0.0

    def __call__(self, at: float, before: list[float]) -> tuple[float, bool]:
        queue = max(0.0, self.free_at - at)
        if sum(one > at - 0.2 for one in before) > 0.2 * self.bears:
            queue += 0.5
        if at - self.last > 1.0:
            queue = 0.0
        cost = 1 / self.bears if queue < 0.1 else 0.4
        self.free_at, self.last = at + queue + cost, at
        return (self.free_at, True) if queue + cost < TIMEOUT_S else (at + TIMEOUT_S, False)


@dataclass
class Play:
    """A run of the load's loop, without a process: ``sent`` are instants and streams, ``said`` what it told."""

    exchange: Exchange
    marks: list[dict[str, Any]]
    spec: dict[str, Any] = field(default_factory=lambda: SPEC)
    sent: list[tuple[float, str]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)

    def until(self, end: float) -> Play:
        schedule = Schedule(self.spec["load"], 0.0)
        governor = Governor(Wanted.from_spec(Specification.read(self.spec)), schedule)
        under_way: list[tuple[float, int, dict[str, Any]]] = []
        marks, now = list(self.marks), 0.0
        while now < end:
            now += 0.03
            for at, stream in schedule.due(now):
                answered, ok = self.exchange(at, [one for one, _ in self.sent])
                kind = "ok" if ok else "timeout"
                line = {
                    "at": at,
                    "sent": at,
                    "end": answered,
                    "ok": ok,
                    "status": 201,
                    "kind": kind,
                    "stream": stream,
                }
                heapq.heappush(under_way, (answered, len(self.sent), line))
                self.sent.append((at, stream))
            ended = []
            while under_way and under_way[0][0] <= now:
                ended.append(heapq.heappop(under_way)[2])
            waiting = min((line["sent"] for _, _, line in under_way), default=None)
            told = [mark for mark in marks if mark["t"] <= now]
            marks = [mark for mark in marks if mark["t"] > now]
            self.said += [{**event, "t": now} for event in governor.tick(now, told, ended, waiting)]
        return self

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.said if event["event"] == name]

    def rate(self, start: float, end: float, *streams: str) -> float:
        found = [at for at, name in self.sent if start <= at < end and (not streams or name in streams)]
        return len(found) / (end - start)


def placebo(begin: float = 10.0, seconds: float = 5.0) -> list[dict[str, Any]]:
    return [
        {"t": begin, "event": "placebo_begin", "kinds": ["kill"], "ends_target": True},
        {"t": begin + seconds, "event": "placebo_end", "kind": "placebo"},
    ]


def fault(at: float, name: str = "crash", *, undone: float | None = None) -> list[dict[str, Any]]:
    marks = [
        {"t": at - 1, "event": "fault_imminent", "fault": name, "kind": "kill", "ends_target": True},
        {"t": at, "event": "fault_injected", "fault": name},
    ]
    return marks + ([{"t": undone, "event": "fault_undone", "fault": name}] if undone else [])


def test_the_surge_goes_no_further_than_the_loss_that_is_to_show() -> None:
    """Orders 6.7 ms apart show a loss of 10 ms: 100 on top of 50 are enough."""
    play = Play(quick, [*placebo(), *fault(20.0)]).until(22.0)
    (plan,) = play.events("surge_plan")
    assert (plan["rate"], plan["reached"], plan["reason"]) == (100, 100, "")
    assert 5 < plan["visible_ms"] <= 10
    assert play.rate(13.0, 15.0, "burst") == 0
    assert play.rate(19.1, 20.0, "burst") == pytest.approx(100, abs=3)
    assert not play.events("load_guard")


def test_a_loss_that_may_be_long_needs_no_surge_at_all() -> None:
    spec = {**SPEC, "thresholds": {"p99_ms": 500, "loss_visible_ms": 100}}
    play = Play(quick, [*placebo(), *fault(20.0)], spec).until(22.0)
    (plan,) = play.events("surge_plan")
    assert (plan["rate"], plan["reached"]) == (0, 0)
    assert plan["visible_ms"] <= 100
    assert play.rate(0.0, 22.0, "burst") == 0


def test_without_a_placebo_the_rate_is_the_runs_own() -> None:
    play = Play(quick, fault(20.0)).until(22.0)
    assert not play.events("surge_plan")
    assert play.rate(19.1, 20.0, "burst") == pytest.approx(200, abs=3)


def bears(most: float, how: str) -> Exchange:
    """An exchange that bears so many orders per second, and answers more of them late or not at all."""

    def answer(at: float, before: list[float]) -> tuple[float, bool]:
        lately = sum(one > at - 0.2 for one in before) / 0.2
        if lately <= most:
            return at + 0.003, True
        return (at + 0.06, True) if how == "late" else (at + 0.01, False)

    return answer


@pytest.mark.parametrize("how", ["late", "failed"])
def test_the_surge_stays_at_what_the_exchange_bears_and_says_why(how: str) -> None:
    play = Play(bears(110, how), [*placebo(), *fault(20.0)]).until(22.0)
    (plan,) = play.events("surge_plan")
    assert (plan["rate"], plan["reached"]) == (50, 100)
    assert plan["visible_ms"] > 10
    assert ("failed" if how == "failed" else "the median answer took 60 ms") in plan["reason"]
    assert play.rate(19.1, 20.0, "burst") == pytest.approx(50, abs=3)
    assert not play.events("load_yielded")
    # what one step is too much for is taken back at once, not at the end of the placebo
    strained = plan["t"]
    assert play.rate(strained, 15.0, "burst") == 0


def test_an_exchange_that_does_not_bear_the_watch_gets_neither_that_nor_a_surge() -> None:
    play = Play(bears(35, "failed"), [*placebo(), *fault(20.0)]).until(22.0)
    (plan,) = play.events("surge_plan")
    assert (plan["rate"], plan["reached"], plan["visible_ms"]) == (0, 0, None)
    assert play.rate(0, 22, "burst") == 0
    assert "failed at the rate of a fault's watch" in plan["reason"]
    assert play.rate(plan["t"] + 0.03, 22) == pytest.approx(10, abs=1)
    assert not play.events("load_yielded")


def test_an_exchange_that_our_load_alone_brings_down_is_found_within_3_s_and_left_alone_within_one_more() -> (
    None
):
    play = Play(Metastable(140), placebo()).until(16.0)
    (plan,) = play.events("surge_plan")
    (yielded,) = play.events("load_yielded")
    (guard,) = play.events("load_guard")
    assert plan["t"] <= 10 + 3
    assert yielded["t"] <= plan["t"] + 1
    assert (yielded["level"], yielded["rate"]) == ("off", 0)
    assert yielded["reason"] == guard["reason"]
    assert play.rate(yielded["t"] + 0.04, 16.0) == 0


def test_a_surge_that_the_exchange_does_not_bear_this_time_is_given_up_before_the_kill() -> None:
    def answer(at: float, _before: list[float]) -> tuple[float, bool]:
        return at + (0.08 if at > 19.2 else 0.003), True

    play = Play(answer, [*placebo(), *fault(20.0)]).until(20.5)
    (guard,) = play.events("load_guard")
    assert 19.2 < guard["t"] < 19.9
    assert "before the fault" in guard["reason"]
    assert play.rate(guard["t"], 20.5, "burst") == 0
    assert play.rate(guard["t"], 20.4, "watch", "steady") == pytest.approx(50, abs=6)


def down(*stretches: tuple[float, float]) -> Exchange:
    """An exchange that fails every order in some stretches of time."""

    def answer(at: float, _before: list[float]) -> tuple[float, bool]:
        failed = any(start <= at < end for start, end in stretches)
        return at + (0.01 if failed else 0.003), not failed

    return answer


def levels(play: Play) -> list[tuple[str, str]]:
    return [(event["event"], event["level"]) for event in play.said if "level" in event]


def test_an_outage_that_ends_in_time_costs_no_load() -> None:
    """Orders that fail while the fault explains it are what is measured."""
    play = Play(down((20, 28)), [*fault(20.0), {"t": 32.0, "event": "steady", "fault": "crash"}]).until(40)
    assert levels(play) == []
    assert not play.events("load_guard")


def test_an_exchange_that_comes_back_only_without_load_is_given_that_and_then_asked_as_before() -> None:
    exchange = Metastable(120)

    def answer(at: float, before: list[float]) -> tuple[float, bool]:
        if 20 <= at < 21:
            exchange.free_at = at + 2.0  # the crash leaves a queue, and the queue keeps it down
        return exchange(at, before)

    spec = {**SPEC, "load": {**LOAD, "burst_rate": 0}}
    play = Play(answer, fault(20.0), spec).until(60.0)
    assert levels(play)[:2] == [("load_yielded", "floor"), ("load_yielded", "trickle")]
    first = play.events("load_yielded")[0]
    assert 30 <= first["t"] <= 34
    assert "of" in first["reason"]
    assert play.rate(first["t"] + 0.1, first["t"] + 5) == pytest.approx(5, abs=1)
    restored = play.events("load_restored")
    assert [event["level"] for event in restored] == ["floor", "full"]
    assert play.rate(55, 60) == pytest.approx(50, abs=2)
    assert not play.events("load_guard")


def test_a_held_fault_that_fails_everything_is_asked_less_after_20_s_and_as_before_once_undone() -> None:
    play = Play(down((20, 60)), fault(20.0, "outage", undone=55.0)).until(59.0)
    assert levels(play) == [("load_yielded", "floor"), ("load_yielded", "trickle"), ("load_restored", "full")]
    assert 40 <= play.events("load_yielded")[0]["t"] <= 43
    assert play.rate(55.1, 59.0) == pytest.approx(50, abs=2)


def test_a_held_fault_that_fails_half_of_the_orders_changes_nothing() -> None:
    def answer(at: float, before: list[float]) -> tuple[float, bool]:
        return at + 0.01, not (20 <= at < 50 and len(before) % 3)

    assert levels(Play(answer, fault(20.0, "outage", undone=50.0)).until(51.0)) == []


def test_errors_that_no_fault_explains_take_the_load_away_whatever_the_abort_conditions_say() -> None:
    play = Play(down((10, 30)), []).until(29.0)
    assert levels(play)[:2] == [("load_yielded", "floor"), ("load_yielded", "trickle")]
    assert len(play.events("load_guard")) == 1
    assert play.events("load_yielded")[0]["t"] <= 15


def test_a_load_that_breaks_the_exchange_each_time_it_returns_stays_at_the_floor() -> None:
    def answer(at: float, before: list[float]) -> tuple[float, bool]:
        return at + 0.003, sum(one > at - 1 for one in before) <= 7 or at < 5

    play = Play(answer, []).until(90.0)
    assert [event["level"] for event in play.events("load_restored")].count("full") == 3
    assert play.rate(80.0, 90.0) == pytest.approx(5, abs=0.5)
