# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path between a target's network namespace and a peer: what faults on it have in common.

The peer is a service of the project, or addresses and networks that are none (:mod:`.peers`).
A target is looked up again by its id whenever something is to be read or undone: a restarted container has another
network namespace, and what was in the old one is gone with it.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ...common import clock, peer_addresses
from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...exchange import fault_entry
from ...host import consent, netns
from ...host.docker_engine import Container, DockerEngine
from ...run import lease
from ...run.folder import RunDir
from ...run.journal import Entry
from ..contract import Proof, Scene, Site

#: The arguments of a fault on a path that say where it leads.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "peer": {"type": "str"},
    "peer_addresses": {"type": "list", "elements": "str", "default": []},
    "port": {"type": "int"},
    "only_port": {"type": "bool", "default": False},
}
NEEDS_ROOT = "works inside a container's network namespace"
#: A connect to see who of the peers is there waits so long (s).
_ANSWER_S = 1.0
#: How often connections are looked for once more, and how long apart (s).
_LOOKS, _APART_S = 3, 0.5


@dataclass(frozen=True)
class Peer:
    """The far end: how it is called, its addresses and networks, and whether it is a service of the project."""

    name: str
    addresses: Sequence[str]
    service: bool = True

    def __str__(self) -> str:
        """Name it with all its addresses, for a plan."""
        return f"{self.name} ({', '.join(self.addresses)})" if self.service else ", ".join(self.addresses)


class HasPath(Protocol):
    """A fault's plan, as far as its path is concerned."""

    @property
    def peer(self) -> Peer: ...

    @property
    def targets(self) -> Sequence[Container]: ...

    @property
    def port(self) -> int | None: ...


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a fault's peer and port."""
    name, found = fault.get("id"), []
    given = peer_addresses.list_addresses(fault.get("peer_addresses"))
    if fault.get("peer") and given:
        found.append(
            f"Fault {name} has the peer {fault['peer']} and peer_addresses ({peer_addresses.name_peers(given)}); "
            "give one of both."
        )
    elif given:
        found += peer_addresses.find_problems(f"Fault {name}", given)
    elif not fault.get("peer"):
        found.append(
            f"Fault {name} has no peer; it must be a service of the project, or give peer_addresses."
        )
    elif _is_address(str(fault["peer"])):
        found.append(
            f"Fault {name} has the peer {fault['peer']}, which is no service; give it as peer_addresses."
        )
    elif fault["peer"] == fault.get("target"):
        found.append(f"The peer of fault {name} is its target {fault['peer']}; it must be another service.")
    for key in ("port", "control_port"):
        if fault.get(key) and not peer_addresses.is_port(fault[key]):
            found.append(
                f"The {key} of fault {name} is {fault[key]!r}; it must be a number from 1 to {PORT_MAX}."
            )
    if fault_entry.is_true(fault.get("only_port")) and not fault.get("port"):
        found.append(f"Fault {name} is to hit only one port of its peer and names none; set its port.")
    return found


def find_peer(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> Peer:
    """Return the far end of a fault's path. Raises ChaosError when there is none, or it may not be hit."""
    for container in chosen:
        _refuse_host(container, site)
    given = peer_addresses.merge_peers(peer_addresses.list_addresses(fault.get("peer_addresses")))
    if not given:
        name = str(fault["peer"])
        return Peer(name, addresses_of(site, name, near=chosen))
    for container in chosen:
        _refuse_own(container, given)
    return Peer(peer_addresses.name_peers(given), given, service=False)


def _refuse_host(container: Container, site: Site) -> None:
    """Raise ChaosError for a network borrowed of a container that has the host's: a fault there may cut the host off.

    Preflight looks at the target alone, and takes the owner of its network for a container like any other.
    """
    known = {one.id: one for one in site.targets}
    kind, _colon, other = container.network_mode.partition(":")
    if kind == "container" and other in known:
        consent.refuse_shared(known[other], set(known))


def _refuse_own(container: Container, given: Sequence[str]) -> None:
    """Raise ChaosError for a peer that is the target itself, or a network that takes its way out along."""
    for own in (*container.addresses.values(), *container.addresses6.values()):
        hit = peer_addresses.find_peer(given, own) if own else ""
        if hit:
            raise ChaosError(
                f"The peer {hit} holds {own}, the own address of container {container.name}; "
                "name the hosts that are meant."
            )
    for gateway in container.gateways:
        hit = peer_addresses.find_peer(given, gateway)
        if hit and peer_addresses.is_network(hit):
            raise ChaosError(
                f"The network {hit} holds {gateway}, the gateway of container {container.name}; "
                "name the hosts that are meant, or the gateway by its address."
            )


def first_reached(container: Container, values: Sequence[str], port: int | None) -> str:
    """Return the first of the peers that answers on a port from inside the target's namespace, empty if none does.

    Without a port nothing can be tried, and it is the first.
    """
    candidates = peer_addresses.to_try(values)
    if port is None:
        return candidates[0] if candidates else ""
    there = (
        one
        for one in candidates
        if netns.call_inside(container.pid, netns.accepts_connect, one, port, _ANSWER_S)
    )
    return next(there, "")


def reach_each(change: HasPath, run: RunDir) -> dict[str, str]:
    """Return by container which address of the peer its target reaches; the run is kept meanwhile.

    Who of several answers must be known before: an address that was silent all along proves nothing.
    """
    tried = {}
    for container in change.targets:
        lease.renew_lease(run, lease.LEASE_S)
        tried[container.id] = first_reached(container, change.peer.addresses, change.port)
    lease.renew_lease(run, lease.LEASE_S)
    return tried


def require_answer(fault: Mapping[str, Any], chosen: Sequence[Container], far: Peer) -> None:
    """Raise ChaosError when no peer answers on the fault's port: that a cut path to it is silent would show nothing."""
    number = fault_entry.port_of(fault)
    if number is None or not peer_addresses.to_try(far.addresses):
        return
    for container in chosen:
        if container.running and not first_reached(container, far.addresses, number):
            shown = peer_addresses.name_peers(peer_addresses.to_try(far.addresses))
            remedy = (
                f"{container.service} takes another way to {far.name}: name its addresses (peer_addresses), or look at "
                "the port"
                if far.service
                else "check addresses and port"
            )
            raise ChaosError(
                f"Nobody answers at {shown} on port {number} from inside {container.name}, so a fault on that path "
                f"would show nothing; {remedy}."
            )


def require_direct(fault: Mapping[str, Any], chosen: Sequence[Container], far: Peer, site: Site) -> None:
    """Raise ChaosError when a target talks to a service by way of another one, such as a pooler.

    Only where it is seen: the target has no connection to the peer, but one to a service that has.
    """
    port = fault_entry.port_of(fault)
    if port is None or not far.service:
        return
    direct = {(address, port) for address in far.addresses}
    others = [one for one in site.targets if one.running and one.service != far.name and one not in chosen]
    between = [one for one in others if _talks_to(one, direct)]
    for container in chosen:
        if not container.running or _talks_to(container, direct):
            continue
        for one in between:
            own = {*one.addresses.values(), *one.addresses6.values()} - {""}
            talks = [address for address, _port in _remotes(container) if address in own]
            if talks and not _comes_to_talk(container, direct):
                raise ChaosError(
                    f"{container.name} has no connection to {far.name} on port {port}: it goes by way of {one.service} "
                    f"({talks[0]}), which has; a fault between {container.service} and {far.name} would show nothing. "
                    f"Name {one.service} as the near end (network_partition_target, network_latency_target), or the "
                    "addresses of another far end."
                )


def _comes_to_talk(container: Container, ends: set[tuple[str, int]]) -> bool:
    """Look a few times more: not everybody stays connected."""
    for _look in range(_LOOKS):
        clock.sleep(_APART_S)
        if _talks_to(container, ends):
            return True
    return False


def _talks_to(container: Container, ends: set[tuple[str, int]]) -> bool:
    return bool(_remotes(container) & ends)


def _remotes(container: Container) -> set[tuple[str, int]]:
    """Return the far ends of a container's connections, of those that ended a moment ago, too."""
    sockets = netns.read_sockets(container.pid)
    return {one.remote for one in sockets if one.state in (netns.ESTABLISHED, netns.TIME_WAIT)}


def addresses_of(site: Site, service: str, near: Sequence[Container] = ()) -> list[str]:
    """Return the addresses of a service's running containers, IPv4 first. Raises ChaosError when there are none.

    Those in a network that all of ``near`` are in, too, come first. An address stands for itself.
    """
    if _is_address(service):
        return [service]
    running = [container for container in site.targets if container.service == service and container.running]
    known = [pair for container in running for pair in container.addresses.items()]
    known += [pair for container in running for pair in container.addresses6.items()]
    shared = set.intersection(*(set(container.addresses) for container in near)) if near else set()
    found = [address for network, address in known if address and network in shared]
    found += [address for network, address in known if address and network not in shared]
    if not found:
        raise ChaosError(
            f"No container of service {service} runs with an address of its own; there is no path to it."
        )
    return found


def name_end(name: str, address: str, port: int) -> str:
    """Name the end of a connect: a service with its address, or an address alone."""
    where = peer_addresses.write_endpoint(address, port)
    return f"{name} {where}" if address not in name else where


def ttl_of(fault: Mapping[str, Any]) -> float:
    """Return the seconds a fault may live at most, as its module or the run's specification has them."""
    return float(fault.get("ttl") or fault.get("ttl_s") or float(fault.get("window_s") or 0) + 15)


def require_running(targets: Sequence[Container]) -> list[Container]:
    """Return the targets. Raises ChaosError when there is none or one does not run."""
    if not targets:
        raise ChaosError("A fault on a path needs at least one container.")
    for container in targets:
        if not container.running or container.pid <= 0:
            raise ChaosError(
                f"Container {container.name} of service {container.service} is {container.status}, not running."
            )
    return list(targets)


def undo_each(entry: Entry, scene: Scene, clean: Callable[..., str], *arguments: Any) -> str:
    """Call ``clean`` in the namespace of each of the entry's containers as it is now; say what became of each.

    ``clean`` returns what it took away in words, empty when there was nothing. Raises ChaosError when a container
    that runs cannot be cleaned.
    """
    how = [_undo_one(container, entry, scene, clean, arguments) for container in entry.undo["containers"]]
    return "; ".join(how)


def _undo_one(
    container: str, entry: Entry, scene: Scene, clean: Callable[..., str], arguments: tuple[Any, ...]
) -> str:
    before = 0
    while True:
        target = scene.engine.inspect(container)
        if target is None:
            return _gone(entry.undo, scene.engine)
        if target.pid <= 0:
            return (
                f"undone by replacement: {target.name} is {target.status}, its network namespace went with it"
            )
        try:
            done = str(netns.call_inside(target.pid, clean, *arguments))
        except ChaosError:
            # it may have restarted while we were on our way in
            if target.pid == before:
                raise
            before = target.pid
            continue
        if done:
            return f"{target.name}: {done}"
        if same_namespace(entry, target):
            return f"{target.name}: nothing was left of it"
        return f"undone by replacement: {target.name} has another network namespace since it was restarted"


def same_namespace(entry: Entry, container: Container) -> bool:
    """Return whether a container still has the namespace the fault was applied in."""
    noted = (entry.facts.get("namespaces") or {}).get(container.id)
    return noted is not None and noted == netns.read_netns_number(container.pid)


def peer_moved_at(entry: Entry, scene: Scene) -> float:
    """Return the boottime since which the peer, a service, may be reached at an address that is not hit.

    A container of its that was replaced, or one more, may have such an address. Infinity where there is none.
    """
    service, known = entry.undo.get("peer_service"), set(entry.undo.get("addresses") or [])
    since = math.inf
    for one in scene.engine.containers(entry.undo["project"], service) if service else []:
        own = {*one.addresses.values(), *one.addresses6.values()} - {""}
        if one.running and own - known:
            since = min(since, _boottime(scene, one.started_at))
    return since


def prove_same_peer(entry: Entry, since: float) -> list[Proof]:
    """Say that a peer has an address that is not hit, since a boottime (:func:`peer_moved_at`); else nothing."""
    if since == math.inf:
        return []
    fact = f"addresses of {entry.undo['peer']} are the ones that the fault hits"
    return [Proof("fault", fact, "it has another one since", since, False)]


def share_in_force(entry: Entry, scene: Scene, still: Mapping[str, float]) -> float:
    """Return the part of the time since it was applied in which the fault was in force on all its containers.

    ``still``: by container id, boottime until which it was in force in the namespace it was applied in.
    """
    now = clock.read()
    began = entry.applied_at if entry.applied_at is not None else now
    if now <= began:
        return 0.0
    until = min((still.get(container, began) for container in entry.undo["containers"]), default=began)
    return max(0.0, min(until, now) - began) / (now - began)


def namespace_ended_at(scene: Scene, container: Container | None) -> float:
    """Return the boottime at which a restarted container's old namespace went: its last end. 0 if nobody knows."""
    return 0.0 if container is None else _boottime(scene, container.finished_at)


def _boottime(scene: Scene, stamp: str) -> float:
    """Return the boottime of one of the engine's time stamps, 0 for one that names no time."""
    try:
        wall = datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp()
    except ValueError:
        return 0.0
    anchor = scene.run.anchor
    return anchor.boottime + (wall - anchor.realtime) if wall > 0 else 0.0


def _gone(undo: Mapping[str, Any], engine: DockerEngine) -> str:
    running = [
        container.name
        for container in engine.containers(undo["project"], undo["service"])
        if container.running
    ]
    what = f"{running[0]} runs in its stead" if running else f"no container of {undo['service']} runs"
    return f"undone by replacement: the container is gone and {what}"


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
