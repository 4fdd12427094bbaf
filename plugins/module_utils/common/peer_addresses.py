# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end of a path when it is no service of the project: addresses, networks and ports, IPv4 and IPv6. Pure.

An address is text such as ``10.0.0.5`` or ``fd00::5``, a network such as ``10.0.0.0/24``; a network of one address is
that address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any, Union

from .bounds import PORT_MAX

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

#: A wider network than this is no peer but everybody (bits of its prefix, by IP version).
WIDEST = {4: 8, 6: 16}
#: So many peers are tried by a connect of our own; all of them are cut or impaired.
TRIED = 3
_WHOLE = {4: 32, 6: 128}
_DIGITS = re.compile(r"[0-9]{1,5}")


def list_addresses(value: Any) -> list[str]:
    """Return the addresses that an argument names: a list, one alone, or none; what is no text is none of any host."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    return [str(one).strip() for one in (value if isinstance(value, (list, tuple)) else [value])]


def find_problems(what: str, values: Iterable[str]) -> list[str]:
    """Return one sentence for each peer that is none, or is not to be hit; ``what`` begins it, as `Fault cut`."""
    return [found for value in values for found in [_problem(what, value)] if found]


def write_host(address: str) -> str:
    """Return an address as it stands in a URL: one of IPv6 in brackets (RFC 3986, 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def write_endpoint(address: str, port: int) -> str:
    """Return an address with a port as text."""
    return f"{write_host(address)}:{port}"


def is_port(value: Any) -> bool:
    """Return whether a value is a TCP port: a number, or its digits as text, as Ansible's ``-e`` gives them."""
    if isinstance(value, str):
        return _DIGITS.fullmatch(value) is not None and is_port(int(value))
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= PORT_MAX


def _problem(what: str, value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"{what} names the peer {value!r}; it must be an IPv4 or IPv6 address, or a network as 10.0.0.0/24."
    first = network.network_address
    if "/" in value and ipaddress.ip_interface(value).ip != first:
        return f"{what} names the network {value}, which begins at {first}; write {network}, or one address alone."
    if network.prefixlen < WIDEST[network.version]:
        return f"{what} names the network {network}, which is too wide to be a peer; name the hosts that are meant."
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped:
        return f"{what} names {value}, an IPv4 address in IPv6 clothes; write {first.ipv4_mapped}."
    for kind, word in (
        ("is_loopback", "a loopback address"),
        ("is_unspecified", "no address of anybody"),
        ("is_multicast", "a multicast address"),
        ("is_link_local", "a link-local address"),
    ):
        if getattr(first, kind):
            return f"{what} names {value}, which is {word} and no peer on a network."
    return ""


def merge_peers(values: Iterable[str]) -> list[str]:
    """Return peers in short form, IPv4 first, each once, without those that another one covers.

    Neighbours stay apart: an address is tried by a connect, a network is not.
    """
    found = list(dict.fromkeys(ipaddress.ip_network(value) for value in values))
    kept = [one for one in found if not any(one != other and _within(one, other) for other in found)]
    return [_text(one) for one in sorted(kept, key=lambda one: one.version)]


def _within(one: Network, other: Network) -> bool:
    return (
        one.version == other.version
        and int(other.network_address) <= int(one.network_address)
        and (int(one.broadcast_address) <= int(other.broadcast_address))
    )


def parse_network(value: str) -> Network:
    """Return a peer as a network; an address is a network of one."""
    return ipaddress.ip_network(value)


def is_network(value: str) -> bool:
    """Return whether a peer is more than one address."""
    found = parse_network(value)
    return found.prefixlen < _WHOLE[found.version]


def to_try(values: Iterable[str]) -> list[str]:
    """Return the addresses among peers that a connect of ours may go to: of a network, nobody knows who is there."""
    return [value for value in values if not is_network(value)][:TRIED]


def pick_address(value: str) -> str:
    """Return an address by which to ask for the route to a peer: its own, or the first of a network."""
    found = parse_network(value)
    return str(found.network_address + 1) if is_network(value) else str(found.network_address)


def find_peer(values: Iterable[str], address: str) -> str:
    """Return the peer that an address belongs to, empty if none."""
    one = ipaddress.ip_address(address)
    return next((value for value in values if one in parse_network(value)), "")


def name_peers(values: Sequence[str]) -> str:
    """Return peers for a sentence: all of a few, else the first ones and how many more there are."""
    more = f" and {len(values) - TRIED} more" if len(values) > TRIED else ""
    return ", ".join(values[:TRIED]) + more


class Known:
    """Whether a packet's destination is one of the peers, asked for every packet."""

    def __init__(self, values: Iterable[str]) -> None:
        """Take addresses and networks."""
        found = [parse_network(value) for value in values]
        self._addresses = {
            one.network_address.packed for one in found if one.prefixlen == _WHOLE[one.version]
        }
        self._networks = [
            (one.version, int(one.netmask), int(one.network_address))
            for one in found
            if one.prefixlen < _WHOLE[one.version]
        ]

    def __contains__(self, address: bytes) -> bool:
        """Return whether an address as in a packet (4 or 16 bytes) is a peer's."""
        if address in self._addresses:
            return True
        version, number = (4 if len(address) == 4 else 6), int.from_bytes(address, "big")
        return any(version == of and number & mask == begin for of, mask, begin in self._networks)


def _text(found: Network) -> str:
    return str(found.network_address if found.prefixlen == _WHOLE[found.version] else found)
