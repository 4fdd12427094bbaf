# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rush rises, stays and decays; every order of it has one instant, and its stream ends by itself."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.rush import STREAM, Rush
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.schedule import Schedule
from hypothesis import given
from hypothesis import strategies as st

RUSH = Rush(rate=100.0, seconds=20.0, clients=8, proxy="http://127.0.0.1:80", proxy_clients=4)


def test_it_has_the_shape_of_an_opening() -> None:
    times = [RUSH.due_at(number) for number in range(RUSH.orders)]
    in_second = [sum(second <= at < second + 1 for at in times) for second in range(20)]
    assert in_second[0] < 40 < in_second[1], "a steep rise"
    assert in_second[3:7] == [100] * 4, "its height"
    assert in_second[8:] == sorted(in_second[8:], reverse=True), "a long decay"
    assert in_second[-1] < 10
    assert RUSH.orders == pytest.approx(100 * 20 * 0.65, abs=2)


@given(rate=st.floats(1, 2000), seconds=st.floats(1, 120))
def test_each_order_is_due_once_and_in_order(rate: float, seconds: float) -> None:
    rush = Rush(rate, seconds)
    times = [rush.due_at(number) for number in range(rush.orders)]
    assert times == sorted(times)
    assert all(0 < at <= seconds for at in times)
    assert math.isinf(rush.due_at(rush.orders + 1))
    for number in range(0, rush.orders, max(1, rush.orders // 7)):
        assert rush.planned_until(times[number]) == pytest.approx(number + 1, rel=1e-6, abs=1e-3)


def test_it_is_read_as_it_is_written() -> None:
    assert Rush.from_data(asdict(RUSH)) == RUSH


def schedule() -> Schedule:
    return Schedule({"rate": 10.0, "watch_rate": 0.0, "burst_rate": 0.0, "burst_s": 0.0}, 0.0)


def injected(at: float) -> dict[str, object]:
    return {"event": "fault_injected", "fault": "rush", "t": at, "orders": asdict(RUSH)}


def test_the_load_sends_it_on_top_and_it_ends_by_itself() -> None:
    made = schedule()
    made.take_events([injected(100.0)])
    due = [stream for _at, stream in made.due(130.0)]
    assert due.count(STREAM) == pytest.approx(RUSH.orders, abs=1), "one may be due at its very end"
    assert due.count("steady") == 1301
    assert STREAM not in [stream for _at, stream in made.due(200.0)]


def test_the_undo_ends_it_and_so_does_a_load_that_yields() -> None:
    for end in ("undone", "yields"):
        made = schedule()
        made.take_events([injected(0.0)])
        made.due(5.0)
        if end == "undone":
            made.take_events([{"event": "fault_undone", "fault": "rush", "t": 5.0}])
        else:
            made.hold_to(5.0, 5.0)
        assert STREAM not in [stream for _at, stream in made.due(20.0)], end
    held = schedule()
    held.hold_to(5.0, 0.0)
    held.take_events([injected(1.0)])
    assert STREAM not in [stream for _at, stream in held.due(20.0)], "a load that yields begins none"
