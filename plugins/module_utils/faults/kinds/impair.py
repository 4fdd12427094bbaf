# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An impaired path: packets from a service to a peer delayed, lost, duplicated, reordered, corrupted or slowed.

One way is impaired, from the target to the peer, so the delay asked for is what a round trip gets longer by. By netem
where the kernel has it (:mod:`..netem`), else by a process of ours behind a TUN device (:mod:`..impair`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from ...common import clock
from ...common.errors import ChaosError, Unsupported
from ...common.json_files import read_json, write_json
from ...common.schema import show_value
from ...exchange import fault_entry
from ...host import netns, nftables
from ...host.docker_engine import Container
from ...run import lease, processes
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import netem, network_path, relay, shaping, tun
from .partition import same_process

AUTO, NETEM, TUN = "auto", "netem", "tun"
ENGINES = (NETEM, TUN)
#: The measured rise of the round trip may be off by so much of what was asked for.
TOLERANCE = 0.1
_FLOW_S, _POLL_S = 5.0, 0.02
_PATIENCE_S = 3.0
_SILENT_TRIES = 2
#: A sign of life of the engine's process comes every second.
_SILENT_S = 3.0
_NOBODY = ("192.0.2.1",)
KIND = Kind(
    arguments={
        **network_path.ARGUMENTS,
        "both_ends": {"type": "bool", "default": False},
        "engine": {"type": "str", "choices": [AUTO, *ENGINES], "default": AUTO},
        **{name: {"type": "float", "default": 0} for name in shaping.NAMES},
    },
    required=(Required("impaired", "the path is impaired as asked, by the kernel's own measure or count"),),
    needs_root=network_path.NEEDS_ROOT,
    process=Process(relay.COMMAND, "mechanisms.relay"),
)


@dataclass(frozen=True)
class ImpairPlan:
    """What an impairment will do. ``port``: connected to for the measure; ``only``: the one port impaired, or all."""

    service: str
    project: str
    fault: str
    engine: str
    wanted: shaping.Impairment
    peer: network_path.Peer
    targets: Sequence[Container]
    ttl_s: float
    port: int | None = None
    only: int | None = None

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change; the journal keeps these very lines."""
        what = f"{self.peer}" + (f" TCP port {self.only}" if self.only else "")
        how = {
            NETEM: "by netem on the interface; the kernel ends it at the fault's ttl; undo: delete queue and table",
            TUN: "by a detour through a TUN device that goes with its process; undo: end it, delete table and rule",
        }
        return [
            f"{self.wanted.describe()} on packets from {container.name} ({container.service}) to {what}, in its "
            f"network namespace, {how[self.engine]}"
            for container in self.targets
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": self.engine,
            "project": self.project,
            "service": self.service,
            "fault": self.fault,
            "containers": [container.id for container in self.targets],
            "peer": self.peer.name,
            "peer_service": self.peer.name if self.peer.service else "",
            "addresses": list(self.peer.addresses),
            "port": self.port,
            "impairment": asdict(self.wanted),
            "held": True,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an impairment's own arguments."""
    found = network_path.check(fault)
    engine = fault.get("engine", AUTO)
    if engine not in (AUTO, *ENGINES):
        found.append(
            f"The engine of fault {fault.get('id')} is {show_value(engine)}; "
            f"it must be one of {AUTO}, {', '.join(ENGINES)}."
        )
    return found + shaping.find_problems(str(fault.get("id")), fault)


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Make what it takes in a throw-away namespace and say which engine it will be."""
    far = network_path.find_peer(fault, chosen, site)
    network_path.require_answer(fault, chosen, far)
    network_path.require_direct(fault, chosen, far, site)
    engine = _engine(fault)
    netns.call_in_throwaway(netem.try_queues if engine == NETEM else _try_tunnel)
    return f"ok: {engine}"


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> ImpairPlan:
    """Plan an impairment as a specification words it: peer or peer_addresses, port, engine, delay_ms and its like."""
    targets = network_path.require_running(chosen)
    return ImpairPlan(
        targets[0].service,
        targets[0].project,
        str(fault["id"]),
        _engine(fault) if site.root else TUN,
        shaping.read_impairment(fault),
        network_path.find_peer(fault, targets, site),
        targets,
        network_path.ttl_of(fault),
        # where the peers delay what they send as well, by clocks of their own, a round trip measures both
        None if fault_entry.is_true(fault.get("both_ends")) else fault_entry.port_of(fault),
        fault_entry.only_port(fault),
    )


def apply(change: ImpairPlan, entry: Entry, scene: Scene) -> Applied:
    """Impair the path; see the application's packets take it, then measure by how much a round trip got longer."""
    far = change.peer
    tried = network_path.reach_each(change, scene.run)
    base = {
        container.id: _round_trip(container, tried[container.id], change.port, 0.0)
        for container in change.targets
    }
    table = nftables.table_name(scene.run.path.name, change.fault)
    if change.engine == TUN:
        began, at = _start_process(change, scene, table)
    else:
        began = min(
            float(netns.call_inside(one.pid, _queue, change, table, scene.instant)) for one in change.targets
        )
        at = clock.read()
    packets, proofs = {}, []
    for container in change.targets:
        lease.renew_lease(scene.run, lease.LEASE_S)
        count = int(netns.call_inside(container.pid, _wait_for_flow, table))
        packets[container.id] = count
        timed = bool(tried[container.id] and change.port and change.wanted.delay_ms)
        measured = [
            _taken(container, far.name, "before our own connect", count, decides=not timed),
            *_rise(container, far.name, tried[container.id], change.port, change.wanted, base[container.id]),
        ]
        proofs += [replace(one, name="impaired" if one.source == "kernel" else "") for one in measured]
    facts = {
        "engine": change.engine,
        "namespaces": {container.id: netns.read_netns_number(container.pid) for container in change.targets},
        "packets": packets,
        "tried": tried,
        "base_ms": base,
        "pids": [container.pid for container in change.targets],
    }
    return Applied(at, proofs, facts, at - began)


def undo(entry: Entry, scene: Scene) -> str:
    """End the engine's process, and take away what is left in each container's namespace as it is now."""
    table = nftables.table_name(scene.run.path.name, entry.undo["fault"])
    if entry.undo["op"] == NETEM:
        return network_path.undo_each(entry, scene, netem.remove_leftovers, table)
    ended = _is_for(entry, scene) and processes.stop_process(scene.run, relay.COMMAND)
    said = f"detour ended{_packets_taken(scene)}; " if ended else ""
    return said + network_path.undo_each(entry, scene, tun.remove_leftovers, table)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Measure the round trip again, and read whether more packets took the impaired path than at the start."""
    proofs: list[Proof] = []
    still: dict[str, float] = {}
    wanted = shaping.read_impairment(entry.undo["impairment"])
    table = nftables.table_name(scene.run.path.name, entry.undo["fault"])
    for container in entry.undo["containers"]:
        target = scene.engine.inspect(container)
        if target is None or target.pid <= 0 or not network_path.same_namespace(entry, target):
            still[container] = min(_last_sign(entry, scene), network_path.namespace_ended_at(scene, target))
            continue
        state = netns.call_inside(target.pid, nftables.read_table, table)
        grown = int(state["packets"]) - int(entry.facts.get("packets", {}).get(container, 0))
        tried = (entry.facts.get("tried") or {}).get(container, "")
        timed = bool(tried and entry.undo["port"] and wanted.delay_ms)
        base = (entry.facts.get("base_ms") or {}).get(container)
        measured = _rise(target, entry.undo["peer"], tried, entry.undo["port"], wanted, base)
        proofs.append(_taken(target, entry.undo["peer"], "since then", grown, decides=not timed))
        proofs += [*measured, same_process(entry, target)]
        state = netns.call_inside(target.pid, nftables.read_table, table)
        there = bool(state["elements"]) and (not timed or any(one.holds for one in measured))
        still[container] = min(_last_sign(entry, scene), clock.read() if there else 0.0)
    moved = network_path.peer_moved_at(entry, scene)
    proofs += network_path.prove_same_peer(entry, moved)
    whole = network_path.share_in_force(
        entry, scene, {container: min(until, moved) for container, until in still.items()}
    )
    proofs.append(
        Proof("fault", "the path was impaired until the undo", f"{whole:.0%}", clock.read(), whole > 0, whole)
    )
    return proofs


def _engine(fault: Mapping[str, Any]) -> str:
    asked = str(fault.get("engine", AUTO))
    if asked != AUTO:
        return asked
    try:
        netns.call_in_throwaway(netem.try_queues)
    except Unsupported:
        return TUN
    return NETEM


def _try_tunnel() -> None:
    tun.try_detour(_NOBODY)


def _start_process(change: ImpairPlan, scene: Scene, table: str) -> tuple[float, float]:
    """Start the engine's process, which itself waits for an agreed instant; return when it began, and was through."""
    if processes.living_process(scene.run, relay.COMMAND):
        raise ChaosError("Another path is impaired by this run already; undo that fault first.")
    parameters = {
        "fault": change.fault,
        "impairment": asdict(change.wanted),
        "pids": [container.pid for container in change.targets],
        "addresses": list(change.peer.addresses),
        "table": table,
        "port": change.only,
        "expires": clock.read() + _ahead(scene) + change.ttl_s,
        "at": scene.agreed.at if scene.agreed else None,
    }
    scene.run.file(relay.STATISTICS).unlink(missing_ok=True)
    write_json(scene.run.file(relay.PARAMETERS), parameters)
    ready = processes.start_process(scene.run, relay.COMMAND)
    return float(ready["began"]), float(ready["ready_at"])


def _ahead(scene: Scene) -> float:
    """Return the seconds until the agreed instant, which are no part of the fault's time to live."""
    return max(0.0, scene.agreed.seconds_left) if scene.agreed is not None else 0.0


def _is_for(entry: Entry, scene: Scene) -> bool:
    parameters = read_json(scene.run.file(relay.PARAMETERS)) or {}
    return bool(parameters.get("fault") == entry.undo["fault"])


def _packets_taken(scene: Scene) -> str:
    """Say what the engine's process counted, for who reads how it was undone."""
    counted = read_json(scene.run.file(relay.STATISTICS)) or {}
    names = ("read", "lost", "duplicated", "corrupted", "full")
    said = ", ".join(f"{counted[name]} {name}" for name in names if counted.get(name))
    return f" (packets: {said}; at most {counted.get('late_ms', 0):g} ms late)" if said else ""


def _queue(
    change: ImpairPlan, table: str, instant: Callable[[], contextlib.AbstractContextManager[None]]
) -> float:
    """In the namespace: at the instant queue and rules; return when that began."""
    with instant():
        began = clock.read()
        netem.build(change.wanted, change.peer.addresses)
        nftables.install_table(netem.make_rules(table, change.peer.addresses, change.only, change.ttl_s))
    return began


def _wait_for_flow(table: str) -> int:
    """In the namespace: wait until the application sent a packet that way; return how many it sent."""
    until = clock.read() + _FLOW_S
    while True:
        packets = int(nftables.read_table(table)["packets"])
        if packets or clock.read() > until:
            return packets
        time.sleep(_POLL_S)


def _taken(container: Container, peer: str, when: str, count: int, *, decides: bool) -> Proof:
    """How many packets took the impaired path; where a delay can be measured this alone proves nothing."""
    fact = f"packets of {container.service} to {peer} that took the impaired path {when}"
    return Proof("kernel" if decides else "fault", fact, count, clock.read(), count > 0)


def _round_trip(
    container: Container, address: str, port: int | None, delay_ms: float
) -> dict[str, float] | None:
    """Return the median round trip of some connects from inside the namespace (ms): by our clock and the kernel's."""
    if not port or not address:
        return None
    tries = 5 if delay_ms <= 500 else 3 if delay_ms <= 1000 else 1
    timeout = delay_ms / 1000 + _PATIENCE_S
    good, silent = [], 0
    # each one without an answer takes all its time: two in a row say enough
    while tries and silent < _SILENT_TRIES:
        tries -= 1
        seen = netns.call_inside(container.pid, netns.connect_once, address, port, timeout)
        answered = seen["kernel_ms"] is not None
        silent = 0 if answered else silent + 1
        good += [seen] if answered else []
    if not good:
        return None
    return {
        "tcp": 1000 * median(one["seconds"] for one in good),
        "kernel": median(one["kernel_ms"] for one in good),
    }


def _rise(
    container: Container,
    peer: str,
    address: str,
    port: int | None,
    wanted: shaping.Impairment,
    base: Mapping[str, float] | None,
) -> list[Proof]:
    """By how much the round trip of a connect got longer: by our own clock, and by the kernel's (TCP_INFO)."""
    if not port or not address or not wanted.delay_ms:
        return []
    now = _round_trip(container, address, port, wanted.delay_ms)
    proofs = []
    for source, fact in (
        ("tcp", f"round trip of a connect from {container.service} to {peer}"),
        ("kernel", f"round trip from {container.service} to {peer} by the kernel's own measure (TCP_INFO)"),
    ):
        if now is None or base is None:
            proofs.append(Proof(source, fact, "no connect was answered", clock.read(), False))
            continue
        rise = now[source] - base[source]
        value = f"{rise:+.1f} ms of {wanted.rise_ms:g} asked ({base[source]:.1f} to {now[source]:.1f})"
        proofs.append(Proof(source, fact, value, clock.read(), is_wanted_rise(rise, wanted)))
    return proofs


def is_wanted_rise(rise_ms: float, wanted: shaping.Impairment) -> bool:
    """Return whether a measured rise is what was asked for, within the tolerance and the jitter."""
    return abs(rise_ms - wanted.rise_ms) <= TOLERANCE * wanted.rise_ms + wanted.jitter_ms


def _last_sign(entry: Entry, scene: Scene) -> float:
    """Return the boottime until which the engine surely worked: now for netem or while its process tells, else then."""
    if entry.undo["op"] != TUN:
        return clock.read()
    told = 0.0
    with contextlib.suppress(TypeError, KeyError):
        told = float(read_json(scene.run.file(relay.STATISTICS))["t"])
    lives = processes.living_process(scene.run, relay.COMMAND) is not None
    return clock.read() if lives and clock.read() - told <= _SILENT_S else told
