# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of containers, changed and put back: what the faults on processor, memory and disk have in common.

What was there is remembered as text and written back to the byte. A container that was started anew meanwhile has its
limits from the engine, which was never told of ours; they are compared all the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...host import cgroups
from ...host.cgroups import Cgroup
from ...host.docker_engine import Container, DockerEngine
from ...run.folder import process_start

_TRIES = 5
_PAUSE_S = 0.2


@dataclass(frozen=True)
class LimitChange:
    """Limit files of one container: their text ``before`` and ``after``; of ``device`` alone where one is named."""

    target: Container
    controller: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    device: str = ""
    #: What the kernel counted when it was planned; for people and for proofs.
    known: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """Return the change in words: each file with its old and new text."""
        return ", ".join(f"{name} {self.before[name]} → {text}" for name, text in self.after.items())

    def back(self) -> str:
        """Return the undo in words."""
        return "write back " + ", ".join(f"{name} {text}" for name, text in self.before.items())

    def journal(self) -> dict[str, Any]:
        """Return what an undo must know, as JSON."""
        return {
            "id": self.target.id,
            "name": self.target.name,
            "pid": self.target.pid,
            "controller": self.controller,
            "device": self.device,
            "before": dict(self.before),
            "after": dict(self.after),
        }


def cgroup_of(controller: str, container: Container) -> Cgroup:
    """Return a running container's cgroup. Raises ChaosError when it does not run."""
    if not container.running or container.pid <= 0:
        raise ChaosError(
            f"Container {container.name} of service {container.service} is {container.status}, not running."
        )
    return cgroups.find_cgroup(controller, container.pid, container.id)


def read_limit(cgroup: Cgroup, name: str, device: str = "") -> str:
    """Return a limit as it stands: the whole file, or the line of one device."""
    return cgroups.device_line(cgroup, name, device) if device else cgroup.read(name)


def write_limits(cgroup: Cgroup, wanted: Mapping[str, str], device: str = "") -> bool:
    """Write what differs and see that it holds; returns whether anything differed.

    Twice through: version 1 wants memory's limit below that of memory and swap at every moment, so that lowering goes
    one way and raising the other. Raises ChaosError when the kernel refuses or keeps something else.
    """
    differed = False
    for last in (False, True):
        for name, value in wanted.items():
            if read_limit(cgroup, name, device) == value:
                continue
            differed = True
            try:
                cgroup.write(name, value)
            except ChaosError:
                if last:
                    raise
    for name, value in wanted.items():
        kept = read_limit(cgroup, name, device)
        if kept != value:
            raise ChaosError(f"{cgroup.path / name} was to hold {value!r}, but holds {kept!r}.")
    return differed


def apply_change(change: LimitChange) -> None:
    """Write a change's limits. Raises ChaosError when the container is not the one that was planned."""
    write_limits(cgroup_of(change.controller, change.target), change.after, change.device)


def try_writing(controller: str, container: Container, names: Sequence[str]) -> Cgroup:
    """Write limits as they stand, which changes nothing, and return the cgroup. Raises ChaosError when refused."""
    cgroup = cgroup_of(controller, container)
    for name in names:
        if cgroup.offers(name):
            cgroup.write(name, cgroup.read(name))
    return cgroup


def restore_limits(entry: Mapping[str, Any], project: str, service: str, engine: DockerEngine) -> str:
    """See that a container has the limits it had, and say how; ``entry`` as :meth:`Change.journal` wrote it."""
    for attempt in range(_TRIES):
        container = engine.inspect(entry["id"])
        if container is None:
            return _replaced(entry["name"], project, service, engine)
        if not container.running or container.pid <= 0:
            return f"{container.name} does not run; the engine gives it its own limits at its next start"
        try:
            cgroup = cgroup_of(entry["controller"], container)
            differed = write_limits(cgroup, entry["before"], entry["device"])
        except ChaosError:
            # it may have ended between two steps: then it is looked up again
            now = engine.inspect(entry["id"])
            # the engine may hear of it later than the kernel: the process itself is asked
            same = now is not None and now.pid == container.pid and process_start(container.pid) is not None
            if attempt == _TRIES - 1 or same:
                raise
            time.sleep(_PAUSE_S)
            continue
        if container.pid != entry["pid"] and not differed:
            return f"undone by restart: {container.name} was started anew with its own limits"
        return (
            f"{container.name} has its limits back"
            if differed
            else f"{container.name} had its limits already"
        )
    raise ChaosError(f"Container {entry['name']} starts over and over; its limits could not be looked at.")


def _replaced(name: str, project: str, service: str, engine: DockerEngine) -> str:
    running = [container.name for container in engine.containers(project, service) if container.running]
    instead = f", {running[0]} runs in its stead" if running else ""
    return f"undone by replacement: {name} is gone, and its limits with it{instead}"


def share_in_force(entry: Mapping[str, Any], since: float, engine: DockerEngine) -> float:
    """Return the part (0..1) of the time since ``since`` (boottime) in which a container had our limits.

    All of it if it has them still. If it was started anew, until then. If somebody else wrote them, none, since nobody
    knows when.
    """
    now, container = clock.read(), engine.inspect(entry["id"])
    if container is None or not container.running or now <= since:
        return 0.0
    if container.pid != entry["pid"]:
        started = (process_start(container.pid) or 0) / os.sysconf("SC_CLK_TCK")
        return max(0.0, min(1.0, (started - since) / (now - since)))
    cgroup = cgroup_of(entry["controller"], container)
    ours = all(read_limit(cgroup, name, entry["device"]) == value for name, value in entry["after"].items())
    return 1.0 if ours else 0.0
