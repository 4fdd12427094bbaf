# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An impaired path by the kernel's own netem(8), where the kernel has it.

On each interface that leads to the peer: an HTB root of ours whose packets go straight through, but for one class that
ends in netem. nftables puts the packets to the peer in that class (``meta priority``), and no others; when the kernel
has taken the addresses out of its sets, none are. What qdiscs are made of is pure data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common import peer_addresses
from ...common.errors import ChaosError, Unsupported
from ...host import libraries, nftables, routes
from .shaping import LIMIT, Impairment

libraries.make_importable()
try:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError
except ImportError:
    IPRoute = None

#: Our root, its class, and the netem in it (major:minor in two halves); no queue of ours has another handle.
ROOT, CLASS, LEAF = 0x7C400000, 0x7C400001, 0x7C410000
#: What an interface has when nobody gave it a queue of its own; the kernel's own ones have handle 0.
_PLAIN = ("noqueue", "pfifo_fast", "mq", "fq_codel", "noop")
_LOOPBACK = 1
#: Faster than any link, so that the class itself holds nothing up.
_RATE, _BURST = "32gbit", 1 << 20

Command = tuple[str, dict[str, Any]]


def list_queues(wanted: Impairment, index: int) -> list[Command]:
    """Return the queues of one interface, in order: (pyroute2's tc command, arguments)."""
    netem: dict[str, Any] = {
        "kind": "netem",
        "index": index,
        "handle": LEAF,
        "parent": CLASS,
        "limit": LIMIT,
        "delay": round(wanted.delay_ms * 1000),
        "jitter": round(wanted.jitter_ms * 1000),
        "loss": wanted.loss_pct,
        "duplicate": wanted.duplicate_pct,
    }
    if wanted.reorder_pct:
        netem["prob_reorder"] = wanted.reorder_pct
    if wanted.corrupt_pct:
        netem["prob_corrupt"] = wanted.corrupt_pct
    if wanted.rate_kbit:
        netem["rate"] = f"{wanted.rate_kbit:g}kbit"
    return [
        ("add", {"kind": "htb", "index": index, "handle": ROOT, "default": 0}),
        (
            "add-class",
            {
                "kind": "htb",
                "index": index,
                "handle": CLASS,
                "parent": ROOT,
                "rate": _RATE,
                "ceil": _RATE,
                "burst": _BURST,
                "cburst": _BURST,
            },
        ),
        ("add", netem),
    ]


def make_rules(table: str, addresses: Sequence[str], port: int | None, ttl_s: float) -> nftables.Ruleset:
    """Return the rules that put packets to the addresses in our class."""
    chain = nftables.Chain("taken", "output", towards=True, does="priority", value=CLASS)
    return nftables.Ruleset(table, addresses, port, ttl_s, (chain,))


def build(wanted: Impairment, addresses: Sequence[str]) -> list[int]:
    """Make the queues where this process is and return the interfaces' indices; no packet is in our class yet.

    An address to which no interface leads needs no queue. Raises ChaosError where none leads to any of them, or an
    interface has a queue of somebody else's, Unsupported where there is no netem.
    """
    with IPRoute() as ip:
        links = sorted({index for address in addresses for index in routes.find_interfaces(ip, address)})
        if not links:
            raise ChaosError(f"No interface leads to {peer_addresses.name_peers(addresses)} there.")
        for index in links:
            _refuse_foreign(ip, index)
        try:
            for index in links:
                send(ip, list_queues(wanted, index))
        except NetlinkError as error:
            _remove(ip)
            raise Unsupported(f"The kernel has no netem ({error}).") from error
    return links


def send(ip: Any, commands: Sequence[Command]) -> None:
    """Send queues to the kernel."""
    for command, arguments in commands:
        ip.tc(command, **arguments)


def remove_leftovers(table: str) -> str:
    """Take away what is left of it where this process is, and say what it was; empty if nothing was."""
    done = [f"nftables table {table} deleted"] if nftables.remove_table(table) else []
    with IPRoute() as ip:
        if _remove(ip):
            done.append("queue deleted")
        if _ours(ip):
            raise ChaosError("Our queue was deleted and is still there.")
    return ", ".join(done)


def count_passed() -> int | None:
    """Return how many packets our class let through where this process is, None where there is none of ours."""
    with IPRoute() as ip:
        counts = [
            int((found.get_attr("TCA_STATS2").get_attr("TCA_STATS_BASIC") or {}).get("packets", 0))
            for index in _ours(ip)
            for found in ip.get_classes(index=index)
            if found["handle"] == CLASS
        ]
    return sum(counts) if counts else None


def try_queues() -> None:
    """Make the queues in a throw-away namespace. Raises Unsupported without netem."""
    nftables.require_nftables()
    with IPRoute() as ip:
        ip.link("set", index=_LOOPBACK, state="up")
        try:
            send(ip, list_queues(Impairment(delay_ms=1.0), _LOOPBACK))
        except NetlinkError as error:
            raise Unsupported(f"The kernel has no netem ({error}).") from error


def _refuse_foreign(ip: Any, index: int) -> None:
    for queue in ip.get_qdiscs(index=index):
        if queue.get_attr("TCA_KIND") not in _PLAIN or queue["handle"]:
            raise ChaosError(
                f"Interface {index} has a queue {queue.get_attr('TCA_KIND')} of somebody else's; it is not touched."
            )


def _ours(ip: Any) -> list[int]:
    return sorted({int(queue["index"]) for queue in ip.get_qdiscs() if queue["handle"] == ROOT})


def _remove(ip: Any) -> bool:
    links = _ours(ip)
    for index in links:
        ip.tc("del", kind="htb", index=index, handle=ROOT)
    return bool(links)
