# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The open loop's instants: exactly as many as the rates say, wherever the loop looks, and dense around a kill."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.schedule import (
    Schedule,
    most_outstanding,
)

LOAD = {"rate": 10, "watch_rate": 40, "burst_rate": 200, "burst_s": 2.0, "timeout_s": 3}


def play(marks: list[dict[str, Any]], until: float, *, step: float = 0.004) -> list[tuple[float, str]]:
    """Run a schedule from 0 to ``until``, the marks arriving up to 30 ms late, as they do."""
    schedule, found, now = Schedule(LOAD, 0.0), [], 0.0
    waiting = list(marks)
    while now < until:
        now += step
        arrived = [mark for mark in waiting if mark["t"] + 0.03 <= now]
        waiting = waiting[len(arrived) :]
        schedule.take_events(arrived)
        found += schedule.due(now)
    return found


def kill(at: float, steady: float | None = None, *, announced: float = 1.0) -> list[dict[str, Any]]:
    marks = [
        {
            "t": at - announced,
            "event": "fault_imminent",
            "fault": "crash",
            "kind": "kill",
            "ends_target": True,
        },
        {"t": at, "event": "fault_injected", "fault": "crash"},
    ]
    return marks + ([{"t": steady, "event": "steady", "fault": "crash"}] if steady else [])


def test_a_calm_run_sends_at_its_rate() -> None:
    found = play([], 10.0)
    assert len(found) == pytest.approx(100, abs=1)
    assert {name for _, name in found} == {"steady"}


@pytest.mark.parametrize("step", [0.001, 0.05, 0.7])
def test_no_instant_is_lost_or_doubled_however_late_the_loop_comes(step: float) -> None:
    """A loop that was not run for 0.7 s owes what was due meanwhile, at the instants it was due."""
    found = play([], 5.0, step=step)
    instants = [at for at, _ in found]
    assert instants == sorted(set(instants))
    assert instants[:50] == pytest.approx([k / 10 for k in range(50)])


def test_the_burst_leads_up_to_a_kill_and_ends_just_after_it() -> None:
    """What is sent to a dead service queues up, and its answers would crowd the recovery."""
    found = play(kill(5.0, steady=9.0), 12.0)
    before = [at for at, _ in found if 4.1 <= at < 5.0]
    after = [at for at, _ in found if 5.2 <= at < 6.1]
    assert len(before) == pytest.approx(0.9 * 250, abs=4)
    assert len(after) == pytest.approx(0.9 * 50, abs=4)
    streams = Counter(name for _, name in found)
    assert streams["burst"] == pytest.approx(220, abs=3)
    assert streams["watch"] == pytest.approx(40 * 5, abs=2)
    assert not [at for at, name in found if name == "burst" and not 4.0 <= at <= 5.15]
    assert not [at for at, name in found if name == "watch" and not 4.0 <= at <= 9.05]


def test_a_kill_that_comes_late_still_finds_its_burst() -> None:
    found = play(kill(5.0, announced=1.8), 12.0)
    burst = [at for at, name in found if name == "burst"]
    assert min(burst) == pytest.approx(3.2)
    assert max(burst) == pytest.approx(5.1, abs=0.01)


def test_a_kill_that_never_comes_does_not_keep_the_burst() -> None:
    found = play(kill(5.0)[:1], 20.0)
    assert max(at for at, name in found if name == "burst") <= 6.05


def test_a_fault_that_kills_nothing_has_no_burst() -> None:
    marks = [{**mark, "ends_target": False} for mark in kill(5.0)]
    assert not [name for _, name in play(marks, 8.0) if name == "burst"]


def test_a_second_fault_begins_anew() -> None:
    found = play([*kill(3.0, steady=6.0), *kill(9.0, steady=12.0)], 15.0)
    streams = Counter(name for _, name in found)
    assert streams["burst"] == pytest.approx(440, abs=6)
    assert streams["watch"] == pytest.approx(320, abs=4)


def test_two_announcements_do_not_double_the_rate() -> None:
    marks = [
        {"t": t, "event": "fault_imminent", "fault": f, "kind": "kill", "ends_target": True}
        for t, f in ((2.0, "a"), (2.1, "b"))
    ]
    found = play(marks, 4.0)
    assert len([at for at, _ in found if 3.0 <= at < 4.0]) == pytest.approx(250, abs=3)


def test_the_schedule_knows_when_it_is_wanted_next() -> None:
    dice, schedule = random.Random(1), Schedule(LOAD, 0.0)
    now = 0.0
    while now < 5:
        assert schedule.due(schedule.next - 1e-9) == []
        now = schedule.next + dice.random() * 0.3
        assert schedule.due(now)


def test_the_pool_is_large_enough_for_requests_that_all_hang() -> None:
    assert most_outstanding(LOAD) >= (10 + 40) * 3 + 200 * 2
