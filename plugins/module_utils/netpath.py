# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path between a target's network namespace and a peer service: what faults on it have in common.

A target is looked up again by its id whenever something is to be read or undone: a restarted container has another
network namespace, and what was in the old one is gone with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from . import clock, netns
from .engine import Engine, Target
from .errors import ChaosError, Unsupported
from .faults import Scene, Site
from .journal import Entry

_PORT_MAX = 65535


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a fault's peer and port."""
    name, found = fault.get("id"), []
    if not fault.get("peer"):
        found.append(f"Fault {name} has no peer; it must be a service of the project.")
    elif fault["peer"] == fault.get("target"):
        found.append(f"The peer of fault {name} is its target {fault['peer']}; it must be another service.")
    for key in ("port", "control_port"):
        if fault.get(key) and not _is_port(fault[key]):
            found.append(
                f"The {key} of fault {name} is {fault[key]!r}; it must be a number from 1 to {_PORT_MAX}."
            )
    if _yes(fault.get("only_port")) and not fault.get("port"):
        found.append(
            f"Fault {name} is to hit only one port of {fault.get('peer')} and names none; set its port."
        )
    return found


def require_root(fault: Mapping[str, Any], site: Site) -> None:
    """Raise Unsupported without root."""
    if not site.root:
        raise Unsupported(
            f"Fault {fault['id']} works inside a container's network namespace, which needs root: "
            "run it with become: true."
        )


def addresses(site: Site, service: str) -> list[str]:
    """Return the addresses of a service's running containers, IPv4 first. Raises ChaosError when there are none."""
    running = [target for target in site.targets if target.service == service and target.running]
    found = [address for target in running for address in target.addresses.values() if address]
    found += [address for target in running for address in target.addresses6.values() if address]
    if not found:
        raise ChaosError(
            f"No container of service {service} runs with an address of its own; there is no path to it."
        )
    return found


def port(fault: Mapping[str, Any], key: str = "port") -> int | None:
    """Return a port of a fault, None where it names none."""
    return int(fault[key]) if fault.get(key) else None


def only_port(fault: Mapping[str, Any]) -> int | None:
    """Return the port that alone is to be hit, None for all of the peer."""
    return port(fault) if _yes(fault.get("only_port")) else None


def ttl(fault: Mapping[str, Any]) -> float:
    """Return the seconds a fault may live at most, as its module or the run's specification has them."""
    return float(fault.get("ttl") or fault.get("ttl_s") or float(fault.get("window_s") or 0) + 15)


def up(targets: Sequence[Target]) -> list[Target]:
    """Return the targets. Raises ChaosError when there is none or one does not run."""
    if not targets:
        raise ChaosError("A fault on a path needs at least one container.")
    for target in targets:
        if not target.running or target.pid <= 0:
            raise ChaosError(
                f"Container {target.name} of service {target.service} is {target.status}, not running."
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
            done = str(netns.inside(target.pid, clean, *arguments))
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


def same_namespace(entry: Entry, target: Target) -> bool:
    """Return whether a container still has the namespace the fault was applied in."""
    noted = (entry.facts.get("namespaces") or {}).get(target.id)
    return noted is not None and noted == netns.identity(target.pid)


def share(entry: Entry, scene: Scene, still: Mapping[str, float]) -> float:
    """Return the part of the time since it was applied in which the fault was in force on all its containers.

    ``still``: by container id, boottime until which it was in force in the namespace it was applied in.
    """
    now = clock.now()
    began = entry.applied_at if entry.applied_at is not None else now
    if now <= began:
        return 0.0
    until = min((still.get(container, began) for container in entry.undo["containers"]), default=began)
    return max(0.0, min(until, now) - began) / (now - began)


def left(scene: Scene, target: Target | None) -> float:
    """Return the boottime at which a restarted container's old namespace went: its last end. 0 if nobody knows."""
    try:
        stamp = "" if target is None else target.finished_at
        wall = datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp()
    except ValueError:
        return 0.0
    anchor = scene.run.anchor
    return anchor.boottime + (wall - anchor.realtime) if wall > 0 else 0.0


def _gone(undo: Mapping[str, Any], engine: Engine) -> str:
    running = [
        target.name for target in engine.containers(undo["project"], undo["service"]) if target.running
    ]
    what = f"{running[0]} runs in its stead" if running else f"no container of {undo['service']} runs"
    return f"undone by replacement: the container is gone and {what}"


def _is_port(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 < int(value) <= _PORT_MAX
    except (TypeError, ValueError):
        return False


def _yes(value: Any) -> bool:
    return str(value).lower() in ("true", "yes", "1")
