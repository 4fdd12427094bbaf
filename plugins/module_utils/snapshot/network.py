# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a snapshot that lie in network namespaces: nftables, qdiscs, routes, policy rules.

A forked child enters one namespace after the other (setns(2)), so that this process never leaves its own.
Docker numbers some rules and names some interfaces anew at each start; what is compared is what stays equal
then: how many rules each chain has, which kinds of qdisc an interface has, and routes without our own address.

On the host other projects' containers come and go while we run. Left out there: the chains Docker writes, plain
qdiscs and routes of veth pairs and of bridges that are not the project's. A queue on any of them still shows.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import ChaosError
from ..host import libraries
from .host import HOST

_CLONE_NEWNET = 0x40000000
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_LOCAL_TABLE = 255
#: What an interface has when nobody gave it a queue of its own.
_PLAIN = ("noqueue", "pfifo_fast", "mq", "fq_codel", "noop")
_DOCKER_TABLES = ("nat", "filter", "raw", "mangle")
_DOCKER_CHAINS = ("FORWARD", "POSTROUTING", "PREROUTING", "OUTPUT")


def load_netlink() -> tuple[Any, Any]:
    """Return pyroute2's IPRoute and NFTables, loaded by the first call: half a second that only who looks should spend.

    Raises ChaosError when this Python has none.
    """
    libraries.make_importable()
    try:
        from pyroute2 import IPRoute
        from pyroute2.nftables.main import NFTables
    except ImportError as error:
        raise ChaosError("pyroute2 is missing (playbooks/setup-hosts.yml brings it)") from error
    return IPRoute, NFTables


def read_networks(pids: Mapping[str, int], bridges: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return {nft, qdisc, route, rule: {"<label> …": value}} of the namespaces of the given processes.

    ``bridges`` are the project's own interfaces on the host. Raises ChaosError without pyroute2 or root.
    """
    load_netlink()  # here, not in the child, which may be in another network by then
    if os.geteuid() != 0:
        raise ChaosError("reading them needs root")
    answer = _in_child(dict(pids), set(bridges))
    if "error" in answer:
        raise ChaosError(str(answer["error"]))
    return {kind: dict(part) for kind, part in answer.items()}


def _in_child(pids: dict[str, int], bridges: set[str]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            try:
                answer: dict[str, Any] = _read_all(pids, bridges)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            with os.fdopen(writer, "w") as stream:
                json.dump(answer, stream)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return dict(json.loads(text or '{"error": "the reading child died"}'))


def _read_all(pids: dict[str, int], bridges: set[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"nft": {}, "qdisc": {}, "route": {}, "rule": {}}
    libc = ctypes.CDLL(None, use_errno=True)
    for label, pid in pids.items():
        with open(f"/proc/{pid}/ns/net") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"entering the network namespace of {label}")
        for kind, part in _read_one(bridges if label == HOST else None).items():
            found[kind].update({f"{label} {what}": value for what, value in part.items()})
    return found


def _read_one(bridges: set[str] | None) -> dict[str, dict[str, str]]:
    """Read the namespace this process is in; ``bridges`` is given on the host, where others' are left out."""
    ip_route, _nftables = load_netlink()
    with ip_route() as ip:
        links = {link["index"]: _stable(link.get_attr("IFLA_IFNAME")) for link in ip.get_links()}
        foreign = {name for name in links.values() if bridges is not None and _foreign(name, bridges)}
        qdiscs = Counter(
            f"{links.get(q['index'], '?')} {q.get_attr('TCA_KIND')}"
            for q in ip.get_qdiscs()
            if links.get(q["index"]) not in foreign or q.get_attr("TCA_KIND") not in _PLAIN
        )
        routes = Counter(
            _route(route, links)
            for route in ip.get_routes()
            if route.get_attr("RTA_TABLE") != _LOCAL_TABLE
            and links.get(route.get_attr("RTA_OIF")) not in foreign
        )
        rules = Counter(_rule(rule) for family in (2, 10) for rule in ip.get_rules(family=family))
    counted = {"qdisc": qdiscs, "route": routes, "rule": rules, "nft": _nft(host=bridges is not None)}
    return {kind: {what: str(number) for what, number in part.items()} for kind, part in counted.items()}


def _foreign(interface: str, bridges: set[str]) -> bool:
    return interface == "veth" or (interface.startswith("br-") and interface not in bridges)


def _nft(*, host: bool) -> Counter[str]:
    """Count tables, chains, sets and the rules of each chain, of every family (0 asks for all of them)."""
    _ip_route, nftables = load_netlink()
    with nftables(nfgen_family=0) as nft:
        found = Counter(f"{_family(item)} {item.get_attr('NFTA_TABLE_NAME')}" for item in nft.get_tables())
        for get, name in ((nft.get_chains, "NFTA_CHAIN"), (nft.get_sets, "NFTA_SET")):
            found.update(
                f"{_family(i)} {i.get_attr(f'{name}_TABLE')} {i.get_attr(f'{name}_NAME')}" for i in get()
            )
        for rule in nft.get_rules():
            table, chain = rule.get_attr("NFTA_RULE_TABLE"), rule.get_attr("NFTA_RULE_CHAIN")
            if not (
                host and table in _DOCKER_TABLES and (chain.startswith("DOCKER") or chain in _DOCKER_CHAINS)
            ):
                found[f"rules of {_family(rule)} {table} {chain}"] += 1
    return found


def _family(item: Any) -> str:
    return _FAMILIES.get(item["nfgen_family"], str(item["nfgen_family"]))


def _stable(name: str) -> str:
    """Return an interface's name without the part the kernel or Docker makes up at each start."""
    return "veth" if name.startswith("veth") else name.split("@")[0]


def _route(route: Any, links: Mapping[int, str]) -> str:
    where = f"{route.get_attr('RTA_DST') or 'default'}/{route['dst_len']}"
    via = route.get_attr("RTA_GATEWAY")
    link = links.get(route.get_attr("RTA_OIF"), "none")
    return f"{where}{f' via {via}' if via else ''} dev {link} table {route.get_attr('RTA_TABLE')}"


def _rule(rule: Any) -> str:
    words = [
        str(rule["family"]),
        f"priority {rule.get_attr('FRA_PRIORITY') or 0}",
        f"table {rule.get_attr('FRA_TABLE')}",
    ]
    for attribute, word in (
        ("FRA_SRC", "from"),
        ("FRA_DST", "to"),
        ("FRA_FWMARK", "fwmark"),
        ("FRA_IIFNAME", "iif"),
    ):
        value = rule.get_attr(attribute)
        if value is not None:
            words.append(f"{word} {value}")
    return " ".join(words)
