# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes' grid: fixed instants, no bunches after a slow answer, dense while a fault lasts."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.addresses import (
    ServiceAddresses,
    first_known,
)
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.schedule import (
    Pace,
    Trouble,
    next_slot,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import KnownContainer


def test_a_fast_answer_keeps_the_grid() -> None:
    at = 100.0
    for k in range(1, 1000):
        at = next_slot(100.0, 0.01, at + 0.0012)
        assert at == pytest.approx(100 + k * 0.01)


def test_a_slow_answer_leaves_its_slots_empty_and_bunches_nothing() -> None:
    assert next_slot(100.0, 0.01, 101.0034) == pytest.approx(101.01)


def test_the_next_slot_is_never_now_or_past() -> None:
    for now in (100.0, 100.01, 100.0099999, 123.456):
        assert now < next_slot(100.0, 0.01, now) <= now + 0.010001


def test_probes_are_dense_from_the_announcement_until_steady() -> None:
    pace, probe = Pace(), {"rate": 10, "fault_rate": 100}
    assert pace.rate(probe) == 10
    assert pace.take_events([{"event": "fault_imminent"}])
    assert pace.rate(probe) == 100
    assert not pace.take_events([{"event": "fault_injected"}, {"event": "log"}])
    assert pace.rate(probe) == 100
    assert pace.take_events([{"event": "steady"}])
    assert pace.rate(probe) == 10


def test_a_probe_of_something_dear_is_dense_only_while_that_is_bad_around_a_fault() -> None:
    pace, trouble, probe = Pace(), Trouble(), {"rate": 10, "outage_rate": 50}
    trouble.take(1.0, ok=False)
    assert pace.rate(probe, troubled=trouble.lasts(1.1)) == 10, "no fault, so nobody asks for its edges"
    pace.take_events([{"event": "fault_imminent"}])
    assert pace.rate(probe, troubled=trouble.lasts(1.1)) == 50
    trouble.take(1.5, ok=True)
    assert pace.rate(probe, troubled=trouble.lasts(1.9)) == 50, "one good answer may be followed by a bad one"
    assert pace.rate(probe, troubled=trouble.lasts(2.1)) == 10


def test_a_probe_without_a_fault_rate_is_never_slowed() -> None:
    pace = Pace()
    pace.take_events([{"event": "fault_imminent"}])
    assert pace.rate({"rate": 10}) == 10
    assert pace.rate({"rate": 10, "fault_rate": 2}) == 10


def test_a_container_that_came_back_elsewhere_is_found_there() -> None:
    where = {"postgres": "10.0.0.2"}
    addresses = ServiceAddresses(lambda service: where[service], {"postgres": "10.0.0.2"}, ["postgres"])
    where["postgres"] = "10.0.0.9"
    addresses.refresh(["postgres"])
    assert addresses.get("postgres") == "10.0.0.9"


def test_a_container_that_is_down_or_unknown_keeps_its_last_address() -> None:
    def gone(service: str) -> str:
        raise ChaosError("no such container")

    for lookup in (gone, lambda service: ""):
        addresses = ServiceAddresses(lookup, {"postgres": "10.0.0.2"}, ["postgres"])
        addresses.refresh(["postgres"])
        assert addresses.get("postgres") == "10.0.0.2"


def test_first_addresses_come_from_the_specification() -> None:
    known = {name: KnownContainer(addresses=listed) for name, listed in (("a", ("", "10.0.0.2")), ("b", ()))}
    containers = {**{name: [one] for name, one in known.items()}, "c": []}
    assert first_known(containers) == {"a": "10.0.0.2"}
