# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the path that a fault hits leads: to a service, to a host, to addresses, or to the other one of two groups.

Pure but for the resolver, which turns a name into addresses as the controller knows them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Turns a name into its addresses; raises OSError for one that has none.
Resolver = Callable[[str], Sequence[str]]
_NAMED = 3
#: What of an exchange may live on another host than its API.
STORES = ("database", "cache")


class PathError(Exception):
    """There is no such path; the message is one sentence for people."""


def resolve_name(name: str) -> list[str]:
    """Return the addresses of a name as this machine knows them, IPv4 first. Raises OSError when it has none.

    In an order of their own: Ansible asks anew for each task, and a name server deals them out in another one then.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except ValueError as error:
        # what cannot be a name at all, as 10.0.0..1, is not even asked for
        raise OSError(f"{name!r} is no name of a host") from error
    return [
        str(entry[4][0]) for entry in sorted(found, key=lambda entry: (entry[0] != socket.AF_INET, entry[4]))
    ]


def find_addresses(
    name: str, hostvars: Mapping[str, Mapping[str, Any]], resolver: Resolver = resolve_name
) -> list[str]:
    """Return the addresses of a host of the inventory, of a name, or an address or network as it is.

    Of a host: its ``chaos_address`` (one or several) if set, else ``ansible_host``, else its name.
    Raises PathError for what has none, or one at which only it can reach itself.
    """
    # hostvars is strict: it has no default for a host that it does not know
    known = hostvars[name] if name in hostvars else {}  # noqa: SIM401
    told = known.get("chaos_address") or known.get("ansible_host") or name
    given = [told] if isinstance(told, str) else told
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
        raise PathError(
            f"The address of host {name} (its chaos_address, else ansible_host) must be an address or a name, or a "
            "list of them."
        )
    found = [address for one in given for address in _resolved(name, str(one), resolver)]
    for address in found:
        if ipaddress.ip_network(address, strict=False).is_loopback:
            raise PathError(
                f"Host {name} has the address {address}, at which only it can reach itself; set its chaos_address to "
                "the one the others use."
            )
    return list(dict.fromkeys(found))


def find_stores(
    external: Mapping[str, Any],
    hostvars: Mapping[str, Mapping[str, Any]],
    ports: Mapping[str, Any],
    resolver: Resolver = resolve_name,
) -> dict[str, dict[str, Any]]:
    """Return {database: {address, port}, cache: {…}}, where the stores answer; the address of one here is empty.

    ``external`` has those that live on another host, by an address, a name or a host of the inventory; where it names
    no port it is that of ``ports``. Raises PathError.
    """
    other = sorted(set(external) - set(STORES))
    if other:
        raise PathError(
            f"chaos_external names {other[0]}; only {' and '.join(STORES)} may live on another host."
        )
    found = {}
    for role in STORES:
        where = external.get(role) or {}
        if where and not where.get("address"):
            raise PathError(f"chaos_external.{role} must have an address.")
        known = find_addresses(str(where["address"]), hostvars, resolver) if where else [""]
        found[role] = {"address": known[0], "port": int(where.get("port") or ports.get(role) or 0)}
    return found


def find_other_side(
    pair: Sequence[str], host: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> tuple[str, list[str]]:
    """Return the group at the other side of a host, and its hosts.

    ``hosts``: all of the run; each must be in exactly one of both groups. Raises PathError.
    """
    if len(pair) != 2 or len({str(one) for one in pair}) != 2:
        raise PathError(
            f"A path between groups needs two of them, such as [zone_a, zone_b]; it has {list(pair)}."
        )
    for name in pair:
        if not groups.get(name):
            known = ", ".join(sorted(set(groups) - {"all", "ungrouped"})) or "none"
            raise PathError(f"The inventory has no hosts in a group {name} (its groups: {known}).")
    first, second = (list(groups[name]) for name in pair)
    both = sorted(set(first) & set(second))
    if both:
        raise PathError(
            f"Host {both[0]} is in both groups, {pair[0]} and {pair[1]}; there is no path between them."
        )
    neither = sorted(set(hosts) - {*first, *second})
    if neither:
        raise PathError(
            f"Host {neither[0]} is in neither of the groups {pair[0]} and {pair[1]}; leave it out of chaos_targets, "
            "or put it into one of them."
        )
    return (str(pair[1]), second) if host in first else (str(pair[0]), first)


def find_path(
    hostvars: Mapping[str, Mapping[str, Any]],
    *,
    host: str,
    hosts: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    service: str,
    port: int,
    words: str,
    address: str = "",
    between_groups: Sequence[str] | str = (),
    peer_host: str = "",
    peer_addresses: Sequence[str] | str = (),
    peer_port: int = 0,
    resolver: Resolver = resolve_name,
) -> dict[str, Any]:
    """Return {peer, peer_addresses, port, log_words, called, both_ends} of a fault's path, for the host ``host``.

    By default it leads to ``service`` on ``port`` (to all addresses of ``address``, a host, a name or an address, if it
    lives elsewhere), and ``words`` is how a log names it.
    One of ``between_groups``, ``peer_host`` and ``peer_addresses`` makes it another, on
    ``peer_port`` (0: none named). Raises PathError.
    """
    between_groups, peer_addresses = _listed(between_groups), _listed(peer_addresses)
    asked = {"between": between_groups, "peer_host": peer_host, "peer_addresses": peer_addresses}
    given = [name for name, value in asked.items() if value]
    if len(given) > 1:
        raise PathError(f"A path has one far end; it is named by {' and '.join(given)}: give one of them.")
    if not given:
        return {
            "peer": "" if address else service,
            "peer_addresses": find_addresses(address, hostvars, resolver) if address else [],
            "port": port,
            "log_words": words,
            "called": "",
            "both_ends": False,
        }
    if between_groups:
        called, names = find_other_side(between_groups, host, hosts, groups)
    else:
        names = [peer_host] if peer_host else peer_addresses
        called = ", ".join(names[:_NAMED]) + (
            f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        )
    far = list(
        dict.fromkeys(address for name in names for address in find_addresses(name, hostvars, resolver))
    )
    own: list[str] = []
    # whether its own address is known matters to the others alone
    with contextlib.suppress(PathError):
        own = [address for address in find_addresses(host, hostvars, resolver) if address in far]
    if between_groups and own:
        raise PathError(
            f"Host {host} and a host of {called} have the same address {own[0]}; set their chaos_address."
        )
    spoken = [*names, *far, *([str(peer_port)] if peer_port else [])]
    return {
        "peer": "",
        "peer_addresses": far,
        "port": int(peer_port),
        # each as a word of its own: 10.0.2.1 is not named by 10.0.2.12
        "log_words": rf"(?<!\w)(?:{'|'.join(re.escape(one) for one in dict.fromkeys(spoken))})(?!\w)",
        "called": called,
        "both_ends": bool(between_groups),
    }


def _listed(value: Sequence[str] | str) -> list[str]:
    """Return a list, also of one that -e gave as words between commas, as Ansible's own type list takes it."""
    if isinstance(value, str):
        value = value.split(",") if value.strip() else []
    return [str(one).strip() for one in value]


def _resolved(host: str, value: str, resolver: Resolver) -> list[str]:
    try:
        return [_text(ipaddress.ip_network(value, strict=False), value)]
    except ValueError:
        pass
    try:
        return [str(one).partition("%")[0] for one in resolver(value)]
    except OSError as error:
        what = f"Host {host}" if host == value else f"Host {host} ({value})"
        raise PathError(
            f"{what} has no address that the controller knows ({error}); set its chaos_address."
        ) from error


def _text(network: Any, value: str) -> str:
    """An address in short form; a network as it was written, for the fault itself to judge."""
    return value if "/" in value else str(network.network_address)
