# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables tables of ours: what is to happen to packets to or from some addresses, for a time the kernel keeps.

A table carries our mark and the run's id in its name. Its rules match sets of addresses whose elements have a timeout
(nft(8), *set*): when it is over, the kernel takes them out and the rules match nothing, with no process of ours alive.
A ruleset is pure data, and so are the messages it is made of; :func:`install` sends them where the caller is.
The elements come last, so that nothing happens to any packet until everything stands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.errors import ChaosError, Unsupported
from . import libraries

libraries.make_importable()
try:
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink import nftsocket
    from pyroute2.nftables.expressions import genex, verdict
    from pyroute2.nftables.main import NFTables
except ImportError:
    NFTables = None

#: How every table of ours begins.
MARK = "exchange-chaos-"
_INET, _IPV4, _IPV6, _TCP = 1, 2, 10, 6
_REGISTER = 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_META_MARK, _META_PRIORITY, _META_NFPROTO, _META_L4PROTO = 3, 2, 15, 16
_NF_DROP = 0
_SET_TIMEOUT, _SET_TIMEOUT_BIT = "NFT_SET_TIMEOUT", 1 << 4
#: (address family, name of its set, nft's key type, bytes, offset of source and destination in its header)
_FAMILIES = ((_IPV4, "peers4", 7, 4, 12, 16), (_IPV6, "peers6", 8, 16, 8, 24))
_BITS = 8

Message = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Chain:
    """A base chain with a rule per address family. ``towards``: packets to the addresses, else those from them.

    ``does`` is drop, ``mark`` (sets the packet's mark to ``value``; the route is looked up anew) or ``priority``
    (sets its class for a queue). A packet that carries a mark already is not marked.
    ``protocol``: of IP, if one alone is meant; ``spares``: the mark of packets to which nothing happens.
    """

    name: str
    hook: str
    towards: bool
    does: str
    value: int = 0
    protocol: int | None = None
    spares: int | None = None


@dataclass(frozen=True)
class Ruleset:
    """A table: packets between here and ``addresses`` (on TCP port ``port`` of theirs, if given), for ``ttl_s``.

    An address may be a network, as 10.0.0.0/24.
    """

    table: str
    addresses: Sequence[str]
    port: int | None
    ttl_s: float
    chains: Sequence[Chain]


@dataclass(frozen=True)
class _Set:
    """Peers of one family whose prefixes are equally long: a packet's address, cut to the prefix, is looked up."""

    family: int
    name: str
    key: int
    length: int
    source: int
    destination: int
    prefix: int
    elements: Sequence[bytes]


def table_name(run_id: str, fault: str) -> str:
    """Return the name of a fault's table."""
    return f"{MARK}{run_id}-{fault}"


def build_messages(rules: Ruleset) -> list[Message]:
    """Return what is to be sent, in order: (kind, fields). Elements come last; nothing matches before."""
    found: list[Message] = [("table", {"name": rules.table})]
    sets = _sets(rules.addresses)
    for one in sets:
        found.append(
            (
                "set",
                {
                    "table": rules.table,
                    "name": one.name,
                    "key_type": one.key,
                    "key_len": one.length,
                    "id": 1,
                    "NFTA_SET_FLAGS": {_SET_TIMEOUT},
                },
            )
        )
    for chain in rules.chains:
        kind = "route" if chain.does == "mark" else "filter"
        hook = {"table": rules.table, "name": chain.name, "hook": chain.hook, "type": kind}
        found.append(("chain", hook))
        for one in sets:
            expressions = [*_matches(rules, chain, one), *_act(chain)]
            found.append(("rule", {"table": rules.table, "chain": chain.name, "expressions": (expressions,)}))
    for one in sets:
        elements = [_element(key, rules.ttl_s) for key in one.elements]
        found.append(("elements", {"table": rules.table, "set": one.name, "elements": elements}))
    return found


def install_table(rules: Ruleset) -> None:
    """Make a table where this process is; one of that name is replaced. Raises ChaosError for a foreign one of ours.

    What was made of it is taken away again when the kernel refuses the rest.
    """
    with _socket() as nft:
        others = [name for name in _ours(nft) if name != rules.table]
        if others:
            raise ChaosError(
                f"Table {others[0]} of another experiment is in force there already; end that run first (halt.yml)."
            )
        if rules.table in _ours(nft):
            nft.table("del", name=rules.table)
        try:
            for message in build_messages(rules):
                _send(nft, message)
        except Exception as error:
            if rules.table in _ours(nft):
                nft.table("del", name=rules.table)
            raise Unsupported(f"nftables refused the rules of this fault ({error}).") from error


def remove_table(table: str) -> bool:
    """Delete a table of ours where this process is and see it gone; returns whether it was there."""
    if not table.startswith(MARK):
        raise ChaosError(f"Table {table} is none of ours and is not touched.")
    with _socket() as nft:
        if table not in _ours(nft):
            return False
        nft.table("del", name=table)
        if table in _ours(nft):
            raise ChaosError(f"Table {table} was deleted and is still there.")
    return True


def read_table(table: str) -> dict[str, Any]:
    """Return {there, packets, elements, expires_s} of a table where this process is.

    ``packets``: what its rules counted; ``elements``: addresses that have not expired; ``expires_s``: seconds until
    the first of them does.
    """
    with _socket() as nft:
        if table not in _ours(nft):
            return {"there": False, "packets": 0, "elements": 0, "expires_s": 0.0}
        packets = sum(_counted(rule) for rule in nft.get_rules() if rule.get_attr("NFTA_RULE_TABLE") == table)
        names = [
            item.get_attr("NFTA_SET_NAME")
            for item in nft.get_sets()
            if item.get_attr("NFTA_SET_TABLE") == table
        ]
        left = [seconds for name in names for seconds in _expirations(nft, table, name)]
    return {"there": True, "packets": packets, "elements": len(left), "expires_s": min(left, default=0.0)}


def require_nftables() -> None:
    """Raise Unsupported without the library."""
    if NFTables is None:
        raise Unsupported(libraries.explain_missing("The Python library pyroute2"))


def _socket() -> Any:
    require_nftables()
    return NFTables(nfgen_family=_INET)


def _ours(nft: Any) -> list[str]:
    """Return the names of all our tables there; of every family, should a name be used in another one."""
    names = (item.get_attr("NFTA_TABLE_NAME") for item in nft.get_tables())
    return sorted(name for name in names if name.startswith(MARK))


def _send(nft: Any, message: Message) -> None:
    """Send one message. Sets go by the common function; pyroute2 0.7, Debian's, has no other for them.

    There flags are a number, later a set of names.
    """
    kind, fields = message
    if "NFTA_SET_FLAGS" in fields and "encode" not in vars(nftsocket.nft_flags_be32):
        fields = {**fields, "NFTA_SET_FLAGS": _SET_TIMEOUT_BIT}
    if kind in ("table", "chain", "rule"):
        getattr(nft, kind)("add", **fields)
    elif kind == "set":
        nft._command(nftsocket.nft_set_msg, {"add": nftsocket.NFT_MSG_NEWSET}, "add", dict(fields))
    else:
        nft._command(
            nftsocket.nft_set_elem_list_msg, {"add": nftsocket.NFT_MSG_NEWSETELEM}, "add", dict(fields)
        )


def _sets(addresses: Sequence[str]) -> list[_Set]:
    """Part the peers by family and length of prefix; whole addresses come first in each family."""
    networks = [ipaddress.ip_network(address) for address in dict.fromkeys(addresses)]
    found = []
    for family, name, key, length, source, destination in _FAMILIES:
        own = [one for one in networks if one.version == (4 if family == _IPV4 else 6)]
        for prefix in sorted({one.prefixlen for one in own}, reverse=True):
            named = name if prefix == length * _BITS else f"{name}-{prefix}"
            elements = [one.network_address.packed for one in own if one.prefixlen == prefix]
            found.append(_Set(family, named, key, length, source, destination, prefix, elements))
    return found


def _matches(rules: Ruleset, chain: Chain, peers: _Set) -> list[Any]:
    """Match the family, the TCP port if there is one, an unmarked packet where it will be marked, the address."""
    found = [*_equals(_meta(_META_NFPROTO), bytes([peers.family]))]
    if rules.port is not None:
        found += _equals(_meta(_META_L4PROTO), bytes([_TCP]))
        offset = 2 if chain.towards else 0
        found += _equals(_payload(_TRANSPORT_HEADER, offset, 2), rules.port.to_bytes(2, "big"))
    if chain.protocol is not None:
        found += _equals(_meta(_META_L4PROTO), bytes([chain.protocol]))
    if chain.does == "mark":
        found += _equals(_meta(_META_MARK), bytes(4))
    if chain.spares is not None:
        found += _differs(_meta(_META_MARK), chain.spares.to_bytes(4, "little"))
    found.append(
        _payload(_NETWORK_HEADER, peers.destination if chain.towards else peers.source, peers.length)
    )
    if peers.prefix < peers.length * _BITS:
        found.append(_cut(peers.length, peers.prefix))
    return [*found, genex("lookup", {"set": peers.name, "sreg": _REGISTER})]


def _act(chain: Chain) -> list[Any]:
    counted = [genex("counter", {"bytes": 0, "packets": 0})]
    if chain.does == "drop":
        return [*counted, *verdict(_NF_DROP)]
    key = _META_MARK if chain.does == "mark" else _META_PRIORITY
    # a register holds such numbers in the machine's own order, as the kernel keeps them
    value = {"attrs": [("NFTA_DATA_VALUE", chain.value.to_bytes(4, "little"))]}
    return [
        *counted,
        genex("immediate", {"dreg": _REGISTER, "data": value}),
        genex("meta", {"key": key, "sreg": _REGISTER}),
    ]


def _meta(key: int) -> Any:
    return genex("meta", {"key": key, "dreg": _REGISTER})


def _payload(base: int, offset: int, length: int) -> Any:
    return genex("payload", {"dreg": _REGISTER, "base": base, "offset": offset, "len": length})


def _equals(loaded: Any, value: bytes) -> list[Any]:
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return [loaded, genex("cmp", {"sreg": _REGISTER, "op": 0, "data": data})]


def _differs(loaded: Any, value: bytes) -> list[Any]:
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return [loaded, genex("cmp", {"sreg": _REGISTER, "op": 1, "data": data})]


def _cut(length: int, prefix: int) -> Any:
    """Keep the first ``prefix`` bits of an address in the register."""
    whole = length * _BITS
    mask = ((1 << whole) - (1 << (whole - prefix))).to_bytes(length, "big")
    fields = {
        "sreg": _REGISTER,
        "dreg": _REGISTER,
        "len": length,
        "mask": {"attrs": [("NFTA_DATA_VALUE", mask)]},
        "xor": {"attrs": [("NFTA_DATA_VALUE", bytes(length))]},
    }
    return genex("bitwise", fields)


def _element(packed: bytes, ttl_s: float) -> Mapping[str, Any]:
    key = {"attrs": [("NFTA_DATA_VALUE", packed)]}
    return {
        "attrs": [("NFTA_SET_ELEM_KEY", key), ("NFTA_SET_ELEM_TIMEOUT", max(1, round(ttl_s * 1000)))],
    }


def _counted(rule: Any) -> int:
    for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS") or []:
        if expression.get_attr("NFTA_EXPR_NAME") == "counter":
            return int(expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS") or 0)
    return 0


def _expirations(nft: Any, table: str, name: str) -> list[float]:
    """Return the seconds left to each element of a set."""
    message = nftsocket.nft_set_elem_list_msg()
    message["attrs"] = [("NFTA_SET_ELEM_LIST_TABLE", table), ("NFTA_SET_ELEM_LIST_SET", name)]
    try:
        lists = list(nft.request_get(message, nftsocket.NFT_MSG_GETSETELEM))
    except NetlinkError:
        return []
    return [
        (element.get_attr("NFTA_SET_ELEM_EXPIRATION") or 0) / 1000
        for found in lists
        for element in found.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS") or []
    ]
