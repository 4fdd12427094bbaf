# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on paths to addresses that are no service of the project, in real namespaces: these are hit and no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair as impairing
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import partition
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns, nftables, routes

from tests.module import test_network_faults as faults
from tests.module.netns_support import OTHER, PEER, PEER6, PORT, TARGET, Net, net
from tests.module.test_network_faults import Stage, by

pytestmark = faults.pytestmark
#: More addresses of the peer's machine: PEER and NEAR are 10.99.1.2/31, BESIDE is not; NOBODY has none.
NEAR, BESIDE, NOBODY, PAIR = "10.99.1.3", "10.99.1.4", "10.99.1.9", "10.99.1.2/31"
CUT = {**faults.CUT, "peer": None, "peer_addresses": [PEER, PEER6]}
SLOW = {**faults.SLOW, "peer": None, "peer_addresses": [PEER, PEER6]}


@pytest.fixture(scope="module")
def spaces() -> Iterator[Net]:
    with net() as made:
        for address in (NEAR, BESIDE):
            made.peer.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        yield made


stage = faults.stage


def reached(stage: Stage, *addresses: str) -> list[float]:
    """Milliseconds of a connect to each address; all must succeed, and none may take the time of a lost packet."""
    found = [stage.spaces.target.middle(address, PORT, count=5) for address in addresses]
    print(dict(zip(addresses, (f"{one:.2f} ms" for one in found))))
    assert max(found) < 20
    return found


def silent(stage: Stage, *addresses: str) -> None:
    for address in addresses:
        assert stage.spaces.target.connects(address, PORT, timeout=0.5) == [None], address


def test_a_partition_from_addresses_drops_these_and_nothing_else(stage: Stage) -> None:
    here, peer = stage.spaces.target, stage.spaces.peer
    reached(stage, PEER, PEER6, NEAR, OTHER)
    done, entry = stage.apply(partition, CUT)
    kernel, (quiet, control) = by(done.proofs, "kernel"), by(done.proofs, "tcp")
    assert [proof.holds for proof in kernel] == [True]
    assert kernel[0].value > 0
    assert (quiet.holds, control.holds) == (True, True)
    assert quiet.fact == f"connect from api to {PEER}:{PORT}"
    silent(stage, PEER, PEER6)
    assert peer.connects(TARGET, PORT, timeout=0.5) == [None]
    reached(stage, NEAR, BESIDE, OTHER)
    before = here.udp()["NoPorts"]
    peer.datagrams(TARGET, 10)
    assert here.udp()["NoPorts"] == before, "what comes from the peer is dropped as well"
    whole = partition.in_force(entry, stage.scene)
    assert [proof.holds for proof in by(whole, "tcp")] == [True]
    assert by(whole, "fault")[-1].share == pytest.approx(1.0, abs=0.01)
    assert "deleted" in partition.undo(entry, stage.scene)
    reached(stage, PEER, PEER6, NEAR, OTHER)
    assert "nothing was left" in partition.undo(entry, stage.scene)


@pytest.mark.full
def test_a_partition_from_a_network_drops_all_of_it_and_not_its_neighbour(stage: Stage) -> None:
    begun = time.monotonic()
    done, entry = stage.apply(partition, CUT, peer_addresses=[PAIR], ttl=8.0)
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [True]
    # nobody knows who is there, so nothing of ours is sent to it: the control path alone is tried
    assert [proof.fact.startswith("control path") for proof in by(done.proofs, "tcp")] == [True]
    silent(stage, PEER, NEAR)
    reached(stage, BESIDE, PEER6, OTHER)
    state = netns.call_inside(
        stage.spaces.target.pid, nftables.read_table, nftables.table_name("exp-02-test", "cut")
    )
    assert (state["there"], state["elements"]) == (True, 1)
    # and the kernel ends it by itself, as it ends that of an address
    while stage.spaces.target.connects(NEAR, PORT, timeout=0.2) == [None]:
        assert time.monotonic() < begun + 15
    assert time.monotonic() > begun + 7
    assert netns.call_inside(stage.spaces.target.pid, nftables.read_table, state_of(stage))["elements"] == 0
    partition.undo(entry, stage.scene)


def state_of(stage: Stage) -> str:
    return nftables.table_name(stage.run.path.name, "cut")


def test_an_address_within_a_network_is_counted_once(stage: Stage) -> None:
    """A packet that two rules match would count twice, and prove a flow that is half of it."""
    _done, entry = stage.apply(partition, CUT, peer_addresses=[PEER, PAIR])
    assert entry.undo["addresses"] == [PAIR]
    before = netns.call_inside(stage.spaces.target.pid, nftables.read_table, state_of(stage))["packets"]
    stage.spaces.peer.datagrams(TARGET, 20)
    after = netns.call_inside(stage.spaces.target.pid, nftables.read_table, state_of(stage))["packets"]
    assert after - before == 20
    partition.undo(entry, stage.scene)


def test_the_peer_that_answered_before_is_the_one_that_must_be_silent(stage: Stage) -> None:
    done, entry = stage.apply(partition, CUT, peer_addresses=[NOBODY, PEER])
    assert by(done.proofs, "tcp")[0].fact == f"connect from api to {PEER}:{PORT}"
    assert entry.facts["tried"] == {stage.target.id: PEER}
    partition.undo(entry, stage.scene)


def test_peers_of_whom_nobody_answers_are_refused_before_anything_is_changed(stage: Stage) -> None:
    site, chosen = Site(stage.targets, True), [stage.target]
    for fault, spec in ((partition, CUT), (impairing, {**SLOW, "delay_ms": 50})):
        with pytest.raises(ChaosError, match=f"Nobody answers at {NOBODY} on port {PORT} from inside"):
            fault.trial({**spec, "peer_addresses": [NOBODY]}, chosen, site)
        assert str(fault.trial({**spec, "peer_addresses": [NOBODY, PEER]}, chosen, site)).startswith("ok")
        # without a port, or of a network, nothing can be known
        assert str(fault.trial({**spec, "peer_addresses": [PAIR]}, chosen, site)).startswith("ok")
        assert str(fault.trial({**spec, "peer_addresses": [NOBODY], "port": None}, chosen, site)).startswith(
            "ok"
        )


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize("given", [[PEER, PEER6], [PAIR, PEER6]])
def test_the_way_to_addresses_alone_gets_longer(stage: Stage, given: list[str]) -> None:
    here = stage.spaces.target
    base = here.middle()
    done, entry = stage.apply(impairing, SLOW, delay_ms=100, peer_addresses=given)
    for address in (PEER, PEER6):
        rise = here.middle(address) - base
        print(f"{address}: asked 100 ms, measured {rise:.1f} ms by the client")
        assert abs(rise - 100) <= 10
    reached(stage, BESIDE, OTHER)
    if PAIR in given:
        assert abs(here.middle(NEAR) - base - 100) <= 10
    else:
        reached(stage, NEAR)
    assert [proof.holds for proof in by(done.proofs, "kernel")] == [True], done.proofs
    assert by(impairing.in_force(entry, stage.scene), "fault")[-1].share == pytest.approx(1.0, abs=0.02)
    assert "detour ended" in impairing.undo(entry, stage.scene)
    reached(stage, PEER, PEER6, NEAR)


@pytest.mark.alone
def test_a_network_that_nobody_may_be_asked_in_is_impaired_and_its_packets_are_the_proof(
    stage: Stage,
) -> None:
    done, entry = stage.apply(impairing, SLOW, delay_ms=60, peer_addresses=[PAIR])
    assert by(done.proofs, "tcp") == []
    (taken,) = by(done.proofs, "kernel")
    assert taken.holds
    assert "took the impaired path" in taken.fact
    impairing.undo(entry, stage.scene)


def test_the_queues_of_netem_stand_where_parts_of_a_network_are(stage: Stage) -> None:
    """10.99.0.0/16 leads to both links of the target; its neighbour in name does not."""

    def ways(address: str) -> list[Any]:
        from pyroute2 import IPRoute

        with IPRoute() as ip:
            return sorted(
                ip.get_links(index)[0].get_attr("IFLA_IFNAME")
                for index in routes.find_interfaces(ip, address)
            )

    pid = stage.spaces.target.pid
    stage.spaces.target.run("ip", "route", "add", "default", "via", OTHER)
    try:
        assert netns.call_inside(pid, ways, "10.99.0.0/16") == ["other", "peer"]
        assert netns.call_inside(pid, ways, PAIR) == ["peer"]
        assert netns.call_inside(pid, ways, PEER6) == ["peer"]
        assert netns.call_inside(pid, ways, "10.98.0.0/16") == ["other"]
    finally:
        stage.spaces.target.run("ip", "route", "del", "default")
