# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that are no service of the project: which may be hit, what a plan says of them, what the kernel is told."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, peer_addresses
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair, partition
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import network_path
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns, nftables

from tests.unit.containers import target
from tests.unit.faults.test_network_faults import CUT, SLOW, networks

FAR = ["10.0.0.5", "fd00::5", "10.1.0.0/24"]


def api(address: str = "172.18.0.5", gateway: str = "172.18.0.1") -> Any:
    known = networks(address, "fd01::5")
    known["Networks"]["lab_default"].update({"Gateway": gateway, "IPv6Gateway": "fd01::1"})
    return target("trading-api", network=known)


def plan(kind: Any, given: list[str], **changes: Any) -> Any:
    spec = {**(CUT if kind is partition else SLOW), "peer": None, "control": None, "peer_addresses": given}
    chosen = [api()]
    return kind.from_spec({**spec, **changes}, chosen, Site(chosen, True))


@pytest.mark.parametrize("kind", [partition, impair])
def test_exactly_one_of_peer_and_addresses(kind: Any) -> None:
    good = CUT if kind is partition else SLOW
    (found,) = kind.check({**good, "peer_addresses": FAR})
    assert "one of both" in found
    (found,) = kind.check({**good, "peer": "", "peer_addresses": []})
    assert "peer_addresses" in found
    assert kind.check({**good, "peer": "", "peer_addresses": FAR}) == []
    assert kind.check({**good, "peer": None, "peer_addresses": "10.0.0.5"}) == []


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("127.0.0.0/8", "loopback"),
        ("0.0.0.0/0", "too wide"),
        ("::/0", "too wide"),
        ("10.0.0.0/7", "too wide"),
        ("fd00::/8", "too wide"),
        ("0.0.0.0", "no address of anybody"),
        ("::", "no address of anybody"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "link-local"),
        ("::ffff:10.0.0.5", "write 10.0.0.5"),
        ("10.0.0.5/24", "write 10.0.0.0/24"),
        ("db.example", "must be an IPv4 or IPv6 address"),
        ("10.0.0.300", "must be an IPv4 or IPv6 address"),
        ("", "must be an IPv4 or IPv6 address"),
    ],
)
def test_what_is_no_peer_is_one_sentence(value: str, wanted: str) -> None:
    (found,) = partition.check({**CUT, "peer": None, "peer_addresses": ["10.0.0.5", value]})
    assert wanted in found
    assert found.startswith("Fault cut names ")
    assert found.endswith(".")


def test_the_plan_names_all_addresses_and_the_journal_keeps_them() -> None:
    made = plan(partition, ["fd00::5", *FAR, "10.0.0.05".replace("05", "5")])
    (line,) = made.lines()
    assert "between lab-trading-api-1 (trading-api) and 10.0.0.5, 10.1.0.0/24, fd00::5, both ways" in line
    undo = json.loads(json.dumps(made.undo()))
    assert undo["addresses"] == ["10.0.0.5", "10.1.0.0/24", "fd00::5"]
    (line,) = plan(impair, FAR, only_port=True).lines()
    assert "to 10.0.0.5, 10.1.0.0/24, fd00::5 TCP port 5432, in its" in line


@pytest.mark.parametrize("kind", [partition, impair])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["172.18.0.5"], "own address"),
        (["172.16.0.0/12"], "own address"),
        (["fd01::5"], "own address"),
        (["172.18.0.0/30"], "gateway"),
        (["fd01::/126"], "gateway"),
    ],
)
def test_the_target_itself_and_its_way_out_are_refused(kind: Any, given: list[str], wanted: str) -> None:
    with pytest.raises(ChaosError, match=wanted):
        plan(kind, given)


def test_where_the_peers_delay_as_well_no_round_trip_is_measured() -> None:
    assert plan(impair, FAR).port == 5432
    both = plan(impair, FAR, both_ends=True, only_port=True)
    assert (both.port, both.only) == (None, 5432)


def test_a_gateway_that_is_named_is_meant() -> None:
    assert plan(partition, ["172.18.0.1"]).peer.addresses == ["172.18.0.1"]


def test_peers_once_each_and_neighbours_stay_apart() -> None:
    given = ["fd00::5", "10.0.0.4", "10.0.0.5", "10.0.0.4/32", "10.1.0.7", "10.1.0.0/24", "fd00:0::5"]
    assert peer_addresses.merge_peers(given) == ["10.0.0.4", "10.0.0.5", "10.1.0.0/24", "fd00::5"]


def test_a_network_is_never_connected_to() -> None:
    assert peer_addresses.to_try(["10.1.0.0/24", "10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3"]) == [
        "10.0.0.1",
        "10.0.0.2",
        "fd00::1",
    ]
    assert (peer_addresses.pick_address("10.1.0.0/24"), peer_addresses.pick_address("fd00::5")) == (
        "10.1.0.1",
        "fd00::5",
    )
    assert network_path.first_reached(api(), ["10.1.0.0/24"], None) == ""


def test_many_peers_are_counted_in_a_sentence() -> None:
    assert (
        peer_addresses.name_peers([f"10.0.0.{n}" for n in range(1, 6)])
        == "10.0.0.1, 10.0.0.2, 10.0.0.3 and 2 more"
    )


def test_a_packet_belongs_to_an_address_or_a_network() -> None:
    known = peer_addresses.Known(FAR)
    inside = ["10.0.0.5", "10.1.0.0", "10.1.0.255"]
    outside = ["10.0.0.4", "10.1.1.0", "10.0.255.255"]
    assert [socket.inet_aton(one) in known for one in inside + outside] == [True] * 3 + [False] * 3
    assert socket.inet_pton(socket.AF_INET6, "fd00::5") in known
    assert socket.inet_pton(socket.AF_INET6, "fd00::6") not in known
    six = peer_addresses.Known(["fd00:1::/32"])
    assert socket.inet_pton(socket.AF_INET6, "fd00:1:ffff::9") in six
    # the same bits in the other family are somebody else's
    assert socket.inet_aton("253.0.0.1") not in six


def test_the_end_of_a_connect_is_named_once() -> None:
    assert network_path.name_end("postgres", "172.18.0.3", 5432) == "postgres 172.18.0.3:5432"
    assert network_path.name_end("10.0.0.5, fd00::5", "fd00::5", 5432) == "[fd00::5]:5432"


# ---- what the kernel is told


def bitwise(rule: dict[str, Any]) -> list[tuple[int, bytes, bytes]]:
    found = []
    for expression in rule["expressions"][0]:
        parts = dict(expression["attrs"])
        if parts["NFTA_EXPR_NAME"] == "bitwise":
            data = dict(parts["NFTA_EXPR_DATA"]["attrs"])
            mask, xor = (data[f"NFTA_BITWISE_{key}"]["attrs"][0][1] for key in ("MASK", "XOR"))
            found.append((data["NFTA_BITWISE_LEN"], mask, xor))
    return found


def test_a_network_is_a_set_of_its_own_looked_up_by_its_prefix() -> None:
    given = ["10.1.0.0/24", "10.0.0.5", "10.2.0.0/24", "fd00:1::/33"]
    sent = nftables.build_messages(
        nftables.Ruleset("exchange-chaos-a", given, None, 5, partition._CHAINS[:1])
    )
    assert [fields["name"] for kind, fields in sent if kind == "set"] == ["peers4", "peers4-24", "peers6-33"]
    masks = [bitwise(fields) for kind, fields in sent if kind == "rule"]
    assert masks == [
        [],
        [(4, bytes([255, 255, 255, 0]), bytes(4))],
        [(16, bytes([255, 255, 255, 255, 128]) + bytes(11), bytes(16))],
    ]
    elements = {fields["set"]: fields["elements"] for kind, fields in sent if kind == "elements"}
    keys = [dict(one["attrs"])["NFTA_SET_ELEM_KEY"]["attrs"][0][1] for one in elements["peers4-24"]]
    assert keys == [socket.inet_aton("10.1.0.0"), socket.inet_aton("10.2.0.0")]
    assert [kind for kind, _ in sent][-3:] == ["elements"] * 3


def test_a_path_that_leads_by_way_of_another_service_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pooler: the target talks to it, and it to the peer. Who talks to the peer, or to nobody, is not refused."""
    near, pool, far = (
        target(name, network=networks(f"172.18.0.{number}", ""), state={"Pid": number})
        for name, number in (("trading-api", 5), ("pool", 6), ("postgres", 7))
    )
    ends: dict[int, list[tuple[str, int]]] = {5: [("172.18.0.6", 6432)], 6: [("172.18.0.7", 5432)], 7: []}

    def read(pid: int) -> list[netns.Socket]:
        return [netns.Socket(("172.18.0.9", 40000), end, netns.ESTABLISHED, 1) for end in ends[pid]]

    monkeypatch.setattr(netns, "read_sockets", read)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    site = Site([near, pool, far], True)
    peer = network_path.Peer("postgres", ["172.18.0.7"])
    asked = {"id": "cut", "port": 5432}
    with pytest.raises(
        ChaosError, match=r"goes by way of pool \(172\.18\.0\.6\), which has.*Name pool as the near end"
    ):
        network_path.require_direct(asked, [near], peer, site)
    network_path.require_direct(asked, [pool], peer, site)
    ends[5] = []
    network_path.require_direct(asked, [near], peer, site)
    ends[5] = [("172.18.0.6", 6432), ("172.18.0.7", 5432)]
    network_path.require_direct(asked, [near], peer, site)
    # one that connects for each order does so while it is looked at
    ends[5] = [("172.18.0.6", 6432)]
    monkeypatch.setattr(clock, "sleep", lambda _seconds: ends[5].append(("172.18.0.7", 5432)))
    network_path.require_direct(asked, [near], peer, site)
