# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A detour for packets to a peer: out of the kernel through a TUN device, and back into it by a raw socket.

nftables marks the packets that an application sends to the peer, a policy rule sends what is marked to a routing table
of our own, whose one route is the device. What is sent again carries another mark, so it goes the usual way. The
device is not persistent: when the process that holds it dies, the kernel removes it and its route, the rule finds an
empty table, and packets go the usual way. The kernel's own checksums and segments are done before the device, which
offers neither (Documentation/networking/tuntap.rst).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...common.errors import ChaosError, Unsupported
from ...host import libraries, nftables, routes

libraries.make_importable()
try:
    from pyroute2 import IPRoute
except ImportError:
    IPRoute = None

DEVICE = "exchaos0"
#: Marks of packets that take the detour, and of those that come from it; the table's number and the rule's priority.
TAKEN, RETURNED, TABLE, PRIORITY = 0x7C40, 0x7C41, 31808, 7240
_TUN, _NO_PI, _SET_NAME = 0x0001, 0x1000, 0x400454CA
_HEADER_INCLUDED_6 = 36
_QUEUE = 1000


@dataclass(frozen=True)
class Tunnel:
    """The device's descriptor, to be read for packets, and the sockets that send them on, by IP version."""

    device: int
    sockets: dict[int, socket.socket]

    def send(self, version: int, packet: bytes, address: bytes) -> None:
        """Send a packet to an address; what the kernel refuses is lost, as on any network."""
        name = socket.inet_ntop(socket.AF_INET if version == 4 else socket.AF_INET6, address)
        with contextlib.suppress(OSError):
            self.sockets[version].sendto(packet, (name, 0))

    def close(self) -> None:
        """Close everything; the kernel takes device and route away."""
        for one in self.sockets.values():
            one.close()
        os.close(self.device)


def make_rules(table: str, addresses: Sequence[str], port: int | None, ttl_s: float) -> nftables.Ruleset:
    """Return the rules that mark the packets to be taken."""
    chain = nftables.Chain("taken", "output", towards=True, does="mark", value=TAKEN)
    return nftables.Ruleset(table, addresses, port, ttl_s, (chain,))


def build(addresses: Sequence[str]) -> Tunnel:
    """Make device, route and rule where this process is; no packet takes them before something marks it.

    Raises Unsupported where the kernel has no TUN, ChaosError when somebody else uses our table or device.
    """
    nftables.require_nftables()
    with IPRoute() as ip:
        # the kernel takes no route of a family that is switched off there, and nothing of it could take the detour
        reached = [address for address in addresses if routes.find_interfaces(ip, address)]
        versions = sorted({6 if ":" in address else 4 for address in reached or addresses})
        _refuse_foreign(ip)
        mtu = _mtu(ip, addresses)
        device = _device()
        try:
            index = ip.link_lookup(ifname=DEVICE)[0]
            ip.link("set", index=index, mtu=mtu, txqlen=_QUEUE, state="up")
            for version in versions:
                family = socket.AF_INET if version == 4 else socket.AF_INET6
                ip.route("add", family=family, dst="default", oif=index, table=TABLE)
                ip.rule("add", family=family, priority=PRIORITY, table=TABLE, fwmark=TAKEN)
            return Tunnel(device, {version: _raw(version) for version in versions})
        except Exception:
            os.close(device)
            drop_rules()
            raise


def drop_rules() -> bool:
    """Delete our policy rules where this process is, and return whether there were any."""
    found = False
    with IPRoute() as ip:
        for family in (socket.AF_INET, socket.AF_INET6):
            for rule in ip.get_rules(family=family):
                if _is_ours(rule):
                    ip.rule("del", family=family, priority=PRIORITY, table=TABLE, fwmark=TAKEN)
                    found = True
    return found


def remove_leftovers(table: str) -> str:
    """Take away what is left of a detour where this process is, and say what it was; empty if nothing was."""
    done = [f"nftables table {table} deleted"] if nftables.remove_table(table) else []
    if count_packets() is not None:
        # a device means a process that holds it: with our table it is ours, without it another run's and none of ours
        if done:
            raise ChaosError(f"Device {DEVICE} is still there; the process that holds it lives on.")
        return ""
    if drop_rules():
        done.append("policy rule deleted")
    return ", ".join(done)


def count_packets() -> int | None:
    """Return how many packets the device took (its transmitted ones), None where there is no such device."""
    with IPRoute() as ip:
        for index in ip.link_lookup(ifname=DEVICE):
            for link in ip.get_links(index):
                stats = link.get_attr("IFLA_STATS64") or {}
                return int(stats.get("tx_packets") or 0)
    return None


def try_detour(addresses: Sequence[str]) -> None:
    """Make a whole detour in a throw-away namespace. Raises Unsupported."""
    nftables.require_nftables()
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
    tunnel = build([address for address in addresses if ":" not in address])
    nftables.install_table(make_rules(nftables.table_name("trial", "detour"), addresses, None, 5.0))
    tunnel.close()


def _device() -> int:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Unsupported(f"This host has no TUN device ({error.strerror} on /dev/net/tun).") from error
    try:
        fcntl.ioctl(device, _SET_NAME, struct.pack("16sH22x", DEVICE.encode(), _TUN | _NO_PI))
    except OSError as error:
        os.close(device)
        raise Unsupported(f"The kernel made no TUN device ({error.strerror}).") from error
    return device


def _raw(version: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, RETURNED)
    if version == 6:
        made.setsockopt(socket.IPPROTO_IPV6, _HEADER_INCLUDED_6, 1)
    made.setblocking(False)
    return made


def _refuse_foreign(ip: Any) -> None:
    if ip.link_lookup(ifname=DEVICE):
        raise ChaosError(
            f"There is a device {DEVICE} already; another run impairs this path, end it first (halt.yml)."
        )
    for family in (socket.AF_INET, socket.AF_INET6):
        for rule in ip.get_rules(family=family):
            if rule.get_attr("FRA_TABLE") == TABLE and not _is_ours(rule):
                raise ChaosError(f"Routing table {TABLE} is in use there already and is not touched.")
    # a rule that a run left behind, its device being gone, leads nowhere
    drop_rules()


def _is_ours(rule: Any) -> bool:
    return bool(
        rule.get_attr("FRA_TABLE") == TABLE
        and rule.get_attr("FRA_FWMARK") == TAKEN
        and rule.get_attr("FRA_PRIORITY") == PRIORITY
    )


def _mtu(ip: Any, addresses: Sequence[str]) -> int:
    """Return the smallest packet size on the usual ways to the addresses, so that what comes back fits."""
    links = {index for address in addresses for index in routes.find_interfaces(ip, address)}
    found = [int(link.get_attr("IFLA_MTU")) for index in links for link in ip.get_links(index)]
    return min([1500, *(mtu for mtu in found if mtu >= 576)])
