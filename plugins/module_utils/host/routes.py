# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces lead to a peer, where this process is; none where the kernel knows no way.

A host has addresses of both families and a container's network often only one of them, so no way to one address of a
peer is no fault: no packet can go there.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ..common import peer_addresses
from . import libraries

libraries.make_importable()
try:
    from pyroute2.netlink.exceptions import NetlinkError
except ImportError:
    NetlinkError = OSError

_LOOPBACK = 1
_MAIN, _INET, _INET6 = 254, 2, 10


def find_interface(ip: Any, address: str) -> set[int]:
    """Return the interface that leads to one address, by its index; empty where none but the loopback does."""
    try:
        found = [route.get_attr("RTA_OIF") for route in ip.route("get", dst=address)]
    except NetlinkError:
        return set()
    return {int(index) for index in found if index and index != _LOOPBACK}


def find_interfaces(ip: Any, far_end: str) -> set[int]:
    """Return the interfaces that lead to an address, or to any part of a network: its parts may go different ways."""
    found = find_interface(ip, peer_addresses.pick_address(far_end))
    if peer_addresses.is_network(far_end):
        wanted = peer_addresses.parse_network(far_end)
        for route in ip.get_routes(family=_INET if wanted.version == 4 else _INET6, table=_MAIN):
            dst, index = route.get_attr("RTA_DST"), route.get_attr("RTA_OIF")
            if dst and index and index != _LOOPBACK:
                part = ipaddress.ip_network(f"{dst}/{route['dst_len']}", strict=False)
                if part.version == wanted.version and part.overlaps(wanted):
                    found.add(int(index))
    return found
