# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network partition: all packets between a service and a peer are dropped, both ways, in the service's namespace.

The peer is another service of the project, or addresses and networks anywhere.

By a table of nftables of ours (:mod:`..nft`), whose sets of addresses the kernel empties by itself at the fault's time
to live. Nothing else of the namespace is touched; the control path, if one is named, shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from ...common import clock, peer_addresses
from ...common.errors import ChaosError
from ...exchange import fault_entry
from ...host import netns, nftables
from ...host.docker_engine import Container
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required
from ..mechanisms import network_path

#: The application must use the path within this many seconds, or nothing shows that the drop hits it.
_FLOW_S = 5.0
_CONNECT_S = 1.0
_POLL_S = 0.02
#: Addresses nobody has (RFC 5737, RFC 3849), for the trial.
_NOBODY = ("192.0.2.1", "2001:db8::1")
KIND = Kind(
    arguments={
        **network_path.ARGUMENTS,
        "control": {"type": "str"},
        "control_port": {"type": "int"},
    },
    required=(
        Required("dropped", "the application's own packets dropped"),
        Required("silent", "a connect over the path is not answered", "tcp"),
        Required("dropping", "more of them dropped at the end of the window", at_end=True),
    ),
    needs_root=network_path.NEEDS_ROOT,
)
_CHAINS = (nftables.Chain("out", "output", True, "drop"), nftables.Chain("in", "input", False, "drop"))


@dataclass(frozen=True)
class PartitionPlan:
    """What a partition will do. ``port``: tried as a proof; ``only``: the one port that is cut, None for all."""

    service: str
    project: str
    fault: str
    peer: network_path.Peer
    targets: Sequence[Container]
    ttl_s: float
    port: int | None = None
    only: int | None = None
    control: tuple[str, Sequence[str], int] | None = None

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change; the journal keeps these very lines."""
        what = f"{self.peer}" + (f" TCP port {self.only}" if self.only else "")
        return [
            f"drop all packets between {container.name} ({container.service}) and {what}, both ways, by nftables in "
            "its network namespace; the kernel ends it at the fault's ttl; undo: delete the table there"
            for container in self.targets
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "nft_table",
            "project": self.project,
            "service": self.service,
            "fault": self.fault,
            "containers": [container.id for container in self.targets],
            "peer": self.peer.name,
            "peer_service": self.peer.name if self.peer.service else "",
            "addresses": list(self.peer.addresses),
            "port": self.port,
            "held": True,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a partition's own arguments."""
    found = network_path.check(fault)
    if fault.get("control") and not fault.get("control_port"):
        found.append(
            f"Fault {fault.get('id')} has a control path to {fault['control']} without a control_port."
        )
    return found


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Make such a table in a throw-away namespace and see that it counts and drops."""
    nftables.require_nftables()
    far = network_path.find_peer(fault, chosen, site)
    _control(fault, far, site, chosen)
    network_path.require_answer(fault, chosen, far)
    network_path.require_direct(fault, chosen, far, site)
    netns.call_in_throwaway(
        nftables.install_table,
        nftables.Ruleset(nftables.table_name("trial", "cut"), _NOBODY, None, 5.0, _CHAINS),
    )
    return "ok"


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> PartitionPlan:
    """Plan a partition as a specification words it: peer or peer_addresses, port, only_port, control, control_port."""
    targets = network_path.require_running(chosen)
    far = network_path.find_peer(fault, targets, site)
    return PartitionPlan(
        targets[0].service,
        targets[0].project,
        str(fault["id"]),
        far,
        targets,
        network_path.ttl_of(fault),
        fault_entry.port_of(fault),
        fault_entry.only_port(fault),
        _control(fault, far, site, targets),
    )


def _control(
    fault: Mapping[str, Any], far: network_path.Peer, site: Site, near: Sequence[Container]
) -> tuple[str, Sequence[str], int] | None:
    """Return name, addresses and port of the control path, None where there is none.

    Raises ChaosError when it leads to the peer: it would be cut along, and nobody told.
    """
    if not fault.get("control"):
        return None
    name, port = str(fault["control"]), int(fault["control_port"])
    addresses = network_path.addresses_of(site, name, near=near)
    address = next((one for one in addresses if peer_addresses.find_peer(far.addresses, one)), addresses[0])
    hit = peer_addresses.find_peer(far.addresses, address)
    if hit and fault_entry.only_port(fault) in (None, port):
        raise ChaosError(
            f"Fault {fault['id']} would cut {network_path.name_end(name, address, port)} along, which must stay in "
            f"reach, since {hit} is its peer; cut one port of the peer only (only_port), or name the hosts that are "
            "meant."
        )
    return name, addresses, port


def apply(change: PartitionPlan, entry: Entry, scene: Scene) -> Applied:
    """Cut the path in each target's namespace; see the application's own packets dropped before we send any."""
    table = nftables.table_name(scene.run.path.name, change.fault)
    far = change.peer
    rules = nftables.Ruleset(table, far.addresses, change.only, change.ttl_s, _CHAINS)
    namespaces = {container.id: netns.read_netns_number(container.pid) for container in change.targets}
    tried = network_path.reach_each(change, scene.run)
    began, within, counted, proofs = [], [], {}, []
    for container in change.targets:
        seen = netns.call_inside(container.pid, _cut, rules, scene.instant)
        began.append(float(seen["at"]))
        within.append(float(seen["within"]))
        counted[container.id] = int(seen["packets"])
        proofs.append(
            Proof(
                "kernel",
                f"packets of {container.service} to or from {far.name} dropped before our own connect",
                seen["packets"],
                float(seen["t"]),
                seen["packets"] > 0,
                name="dropped",
            )
        )
        proofs += _connects(container, change, tried[container.id])
    facts = {
        "engine": "nftables",
        "namespaces": namespaces,
        "packets": counted,
        "tried": tried,
        "pids": _pids(change.targets),
    }
    return Applied(min(began), proofs, facts, within[0])


def undo(entry: Entry, scene: Scene) -> str:
    """Delete the table in each container's namespace as it is now."""
    return network_path.undo_each(entry, scene, _heal, _table(entry, scene))


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read whether the kernel still drops: table and elements there, more packets counted than at the start."""
    proofs: list[Proof] = []
    still: dict[str, float] = {}
    for container in entry.undo["containers"]:
        target = scene.engine.inspect(container)
        if target is None or target.pid <= 0 or not network_path.same_namespace(entry, target):
            still[container] = network_path.namespace_ended_at(scene, target)
            continue
        found = netns.call_inside(target.pid, nftables.read_table, _table(entry, scene))
        grown = int(found["packets"]) - int(entry.facts.get("packets", {}).get(container, 0))
        proofs.append(
            Proof(
                "kernel",
                f"packets of {target.service} to or from {entry.undo['peer']} dropped since then",
                grown,
                clock.read(),
                grown > 0 and found["elements"] > 0,
                name="dropping",
            )
        )
        if entry.undo["port"]:
            tried = (entry.facts.get("tried") or {}).get(container, "")
            proofs += _silent(target, entry.undo["peer"], tried, entry.undo["port"])
        proofs.append(same_process(entry, target))
        found = netns.call_inside(target.pid, nftables.read_table, _table(entry, scene))
        if found["there"]:
            still[container] = clock.read() if found["elements"] else min(clock.read(), entry.expires)
    moved = network_path.peer_moved_at(entry, scene)
    proofs += network_path.prove_same_peer(entry, moved)
    whole = network_path.share_in_force(
        entry, scene, {container: min(until, moved) for container, until in still.items()}
    )
    proofs.append(
        Proof("fault", "packets were dropped until the undo", f"{whole:.0%}", clock.read(), whole > 0, whole)
    )
    return proofs


def same_process(entry: Entry, container: Container) -> Proof:
    """Say whether a container's main process is the one it was when the fault was applied."""
    same = container.pid in (entry.facts.get("pids") or [])
    return Proof(
        "fault", f"main process of {container.service} is the one it was", container.pid, clock.read(), same
    )


def _cut(rules: nftables.Ruleset, instant: Callable[[], AbstractContextManager[None]]) -> dict[str, Any]:
    """In the namespace: install the rules at the instant, then wait for a packet of the application's."""
    with instant():
        began = clock.read()
        nftables.install_table(rules)
        at = clock.read()
    while True:
        packets = nftables.read_table(rules.table)["packets"]
        if packets or clock.read() > at + _FLOW_S:
            return {"at": at, "within": at - began, "t": clock.read(), "packets": packets}
        time.sleep(_POLL_S)


def _heal(table: str) -> str:
    return f"nftables table {table} deleted" if nftables.remove_table(table) else ""


def _connects(container: Container, change: PartitionPlan, tried: str) -> list[Proof]:
    proofs = []
    if change.port:
        proofs += [
            replace(proof, name="silent")
            for proof in _silent(container, change.peer.name, tried, change.port)
        ]
    if change.control:
        name, addresses, port = change.control
        address = network_path.first_reached(container, addresses, port) or addresses[0]
        seen = netns.call_inside(container.pid, netns.connect_once, address, port, _CONNECT_S)
        reached = seen["kernel_ms"] is not None
        fact = (
            f"control path: connect from {container.service} to {network_path.name_end(name, address, port)}"
        )
        proofs.append(Proof("tcp", fact, _words(seen), clock.read(), reached))
    return proofs


def _silent(container: Container, peer: str, address: str, port: int) -> list[Proof]:
    """Connect from inside the namespace: a cut path answers nothing at all, not even a refusal.

    Nothing is tried where nobody answered before.
    """
    if not address:
        return []
    seen = netns.call_inside(container.pid, netns.connect_once, address, port, _CONNECT_S)
    fact = f"connect from {container.service} to {network_path.name_end(peer, address, port)}"
    return [Proof("tcp", fact, _words(seen), clock.read(), bool(seen["timed_out"]))]


def _words(seen: Mapping[str, Any]) -> str:
    if seen["timed_out"]:
        return f"no answer in {seen['seconds']:.1f} s"
    return f"errno {seen['errno']}" if seen["errno"] else f"connected in {1000 * seen['seconds']:.1f} ms"


def _table(entry: Entry, scene: Scene) -> str:
    return nftables.table_name(scene.run.path.name, entry.undo["fault"])


def _pids(targets: Sequence[Container]) -> list[int]:
    return [container.pid for container in targets]
