# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a fault's path leads, resolved on the controller: groups, hosts, addresses, services that live elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import fault_path

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"a2.example": ["10.1.0.2", "fd01::2"], "b2": ["10.2.0.2"], "here": ["127.0.1.1"]}
HOSTS: dict[str, dict[str, Any]] = {
    "a1": {"ansible_host": "10.1.0.1"},
    "a2": {"ansible_host": "a2.example"},
    "b1": {"ansible_host": "192.0.2.1", "chaos_address": ["10.2.0.1", "fd02::1"]},
    "b2": {},
    "c1": {"ansible_host": "10.3.0.1"},
    "gone": {},
    "here": {},
}
GROUPS = {
    "all": list(HOSTS), "ungrouped": ["gone", "here"], "exchange": ["a1", "a2", "b1", "b2"],
    "zone_a": ["a1", "a2"], "zone_b": ["b1", "b2"], "zone_c": ["c1"], "empty": [], "odd": ["b2", "c1"],
}  # fmt: skip


def resolver(name: str) -> Sequence[str]:
    if name not in NAMES:
        raise OSError(-2, "Name or service not known")
    return NAMES[name]


def path(host: str = "a1", hosts: Sequence[str] = ("a1", "a2", "b1", "b2"), **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"service": "postgres", "port": 5432, "words": "database|5432", **changes}
    return fault_path.find_path(HOSTS, host=host, hosts=hosts, groups=GROUPS, resolver=resolver, **given)


def test_the_path_leads_to_the_service_unless_something_else_is_asked() -> None:
    assert path() == {
        "peer": "postgres", "peer_addresses": [], "port": 5432, "log_words": "database|5432", "called": "",
        "both_ends": False,
    }  # fmt: skip


def test_a_service_that_lives_elsewhere_is_its_address_and_keeps_its_words() -> None:
    found = path(address="10.0.0.9", port=5433)
    assert (found["peer"], found["peer_addresses"], found["port"]) == ("", ["10.0.0.9"], 5433)
    assert found["log_words"] == "database|5432"
    # whichever of its addresses the API takes, it is the same path
    assert path(address="b1")["peer_addresses"] == ["10.2.0.1", "fd02::1"]
    assert path(address="a2.example")["peer_addresses"] == ["10.1.0.2", "fd01::2"]


def test_the_stores_are_of_the_project_unless_they_live_elsewhere() -> None:
    ports = {"database": 5432, "cache": 6379, "api": 8080}

    def stores(**external: Any) -> dict[str, Any]:
        return fault_path.find_stores(external, HOSTS, ports, resolver)

    assert stores() == {"database": {"address": "", "port": 5432}, "cache": {"address": "", "port": 6379}}
    found = stores(database={"address": "10.0.0.9", "port": 5433}, cache={"address": "b1"})
    assert found == {
        "database": {"address": "10.0.0.9", "port": 5433},
        "cache": {"address": "10.2.0.1", "port": 6379},
    }
    for wrong, wanted in (
        ({"proxy": {"address": "10.0.0.9"}}, "only database and cache"),
        ({"cache": {"port": 6379}}, "must have an address"),
        ({"cache": {"address": "nobody.example"}}, "no address that the controller knows"),
        ({"cache": {"address": "127.0.0.1"}}, "only it can reach itself"),
    ):
        with pytest.raises(fault_path.PathError, match=wanted):
            stores(**wrong)


def test_between_groups_each_side_gets_all_addresses_of_the_other() -> None:
    pair = ["zone_a", "zone_b"]
    for host in ("a1", "a2"):
        found = path(host, between_groups=pair)
        assert found["peer_addresses"] == ["10.2.0.1", "fd02::1", "10.2.0.2"], "chaos_address goes before"
        assert (found["peer"], found["called"], found["port"]) == ("", "zone_b", 0)
        assert found["both_ends"] is True
    for host in ("b1", "b2"):
        found = path(host, between_groups=pair, peer_port=5432)
        assert found["peer_addresses"] == ["10.1.0.1", "10.1.0.2", "fd01::2"]
        assert (found["called"], found["port"]) == ("zone_a", 5432)
    # the order in which they are named says nothing
    assert path("a1", between_groups=["zone_b", "zone_a"]) == path("a1", between_groups=pair)
    words = re.compile(path("b1", between_groups=pair, peer_port=5432)["log_words"])
    for text in ("connect to 10.1.0.1 timed out", "a2: no route", "port 5432"):
        assert words.search(text)
    assert not words.search("10x1x0x1"), "an address is no pattern"
    for text in ("connect to 10.1.0.12 timed out", "110.1.0.1", "port 54321", "a22: no route"):
        assert not words.search(text), "somebody else"


def test_hosts_of_a_group_that_are_not_in_the_run_are_on_the_other_side_all_the_same() -> None:
    assert path("a1", hosts=["a1"], between_groups=["zone_a", "zone_b"])["peer_addresses"]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"between_groups": ["zone_a"]}, "needs two of them"),
        ({"between_groups": ["zone_a", "zone_a"]}, "needs two of them"),
        ({"between_groups": ["zone_a", "zone_b", "zone_c"]}, "needs two of them"),
        ({"between_groups": ["zone_a", "zone_x"]}, "no hosts in a group zone_x"),
        ({"between_groups": ["zone_a", "empty"]}, "no hosts in a group empty"),
        ({"between_groups": ["zone_b", "odd"]}, "Host b2 is in both groups"),
        ({"between_groups": ["zone_a", "zone_c"]}, "Host b1 is in neither of the groups zone_a and zone_c"),
        ({"between_groups": ["zone_a", "zone_b"], "peer_host": "c1"}, "between and peer_host"),
        ({"peer_addresses": ["10.0.0.1"], "peer_host": "c1"}, "peer_host and peer_addresses"),
        ({"peer_host": "gone"}, "Host gone has no address that the controller knows"),
        ({"peer_host": "here"}, "Host here has the address 127.0.1.1"),
    ],
)
def test_what_is_no_path_is_one_sentence(changes: dict[str, Any], wanted: str) -> None:
    with pytest.raises(fault_path.PathError, match=re.escape(wanted)) as caught:
        path(**changes)
    assert str(caught.value).endswith(".")


def test_a_host_that_only_it_knows_by_name_has_a_path_all_the_same() -> None:
    """The controller itself, in a group: the other side's run, not its own, needs its address."""
    groups = {"near": ["here"], "far": ["b1"]}
    given: dict[str, Any] = {"service": "s", "port": 1, "words": "", "between_groups": ["near", "far"]}
    found = fault_path.find_path(
        HOSTS, host="here", hosts=["here"], groups=groups, resolver=resolver, **given
    )
    assert found["peer_addresses"] == ["10.2.0.1", "fd02::1"]
    with pytest.raises(fault_path.PathError, match="only it can reach itself"):
        fault_path.find_path(HOSTS, host="b1", hosts=["b1"], groups=groups, resolver=resolver, **given)


def test_hosts_behind_one_address_have_no_path_between_them() -> None:
    hosts = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.1"}}
    with pytest.raises(fault_path.PathError, match=r"the same address 10\.0\.0\.1"):
        fault_path.find_path(
            hosts, host="a", hosts=["a", "b"], groups={"za": ["a"], "zb": ["b"]}, service="s", port=1, words="",
            between_groups=["za", "zb"], resolver=resolver,
        )  # fmt: skip


def test_a_peer_is_a_host_of_the_inventory_or_a_name_or_an_address() -> None:
    assert path(peer_host="b1")["peer_addresses"] == ["10.2.0.1", "fd02::1"]
    assert path(peer_host="a2.example", peer_port=80)["peer_addresses"] == ["10.1.0.2", "fd01::2"]
    found = path(peer_addresses=["10.9.0.0/24", "fd00:0::5"])
    assert found["peer_addresses"] == ["10.9.0.0/24", "fd00::5"]
    assert found["called"] == "10.9.0.0/24, fd00:0::5"
    # a network written wrongly is the fault's to refuse, in its own sentence
    assert path(peer_addresses=["10.9.0.5/24"])["peer_addresses"] == ["10.9.0.5/24"]


def test_a_list_may_come_as_words_between_commas() -> None:
    """As -e network_partition_peer_addresses=10.0.0.5 gives it."""
    assert path(peer_addresses="10.9.0.5")["peer_addresses"] == ["10.9.0.5"]
    assert path(peer_addresses="10.9.0.5, fd00::5")["peer_addresses"] == ["10.9.0.5", "fd00::5"]
    assert path(between_groups="zone_a,zone_b") == path(between_groups=["zone_a", "zone_b"])
    with pytest.raises(fault_path.PathError, match=r"it has \['zone_a'\]"):
        path(between_groups="zone_a")
    assert path(peer_addresses="", between_groups=" ") == path()
    with pytest.raises(fault_path.PathError, match="no address"):  # a slip is not the way to the database
        path(peer_addresses=[""])


def test_a_names_addresses_stand_in_an_order_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planned, cut and judged by is asked for one after the other, and must be one and the same."""
    known = [
        (fault_path.socket.AF_INET6, 1, 6, "", ("fd00::5", 0, 0, 0)),
        *((fault_path.socket.AF_INET, 1, 6, "", (address, 0)) for address in ("10.0.0.7", "10.0.0.5")),
    ]
    for dealt in (known, known[::-1]):
        monkeypatch.setattr(
            fault_path.socket, "getaddrinfo", lambda *_a, _found=tuple(dealt), **_k: list(_found)
        )
        assert fault_path.resolve_name("db.example") == ["10.0.0.5", "10.0.0.7", "fd00::5"]


@pytest.mark.parametrize("name", ["10.0.0..1", "a" * 64 + ".example"])
def test_what_can_be_no_name_is_one_sentence_too(name: str) -> None:
    with pytest.raises(
        fault_path.PathError, match=r"Host b1 \(.*\) has no address that the controller knows"
    ):
        fault_path.find_addresses("b1", {"b1": {"chaos_address": name}})


def test_a_scope_is_no_part_of_an_address() -> None:
    assert fault_path.find_addresses("x", {}, lambda name: ["fd00::1%eth0"]) == ["fd00::1"]


@pytest.mark.parametrize("told", [5, True, {"v4": "10.0.0.1"}, ["10.0.0.1", 6], [["10.0.0.1"]]])
def test_an_address_that_is_none_is_told_with_its_host(told: Any) -> None:
    with pytest.raises(
        fault_path.PathError, match=r"The address of host b1 \(its chaos_address, else ansible"
    ):
        fault_path.find_addresses("b1", {"b1": {"chaos_address": told}})


@pytest.mark.parametrize("name", ["10.0.0..1", "a\0b", "x" * 300, "\ud800"])
def test_what_cannot_be_a_name_is_told_and_not_asked_for(name: str) -> None:
    with pytest.raises(fault_path.PathError, match="has no address that the controller knows"):
        fault_path.find_addresses("b1", {"b1": {"chaos_address": name}})
