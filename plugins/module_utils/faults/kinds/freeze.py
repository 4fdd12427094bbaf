# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that hangs: the kernel stops every process of its cgroup, and lets them go on at the undo.

Its connections stay open and its port still takes new ones, but nobody answers: what a stalled disk, a stop-the-world
pause or a stuck hypervisor looks like. Version 1: ``freezer.state``; version 2: ``cgroup.freeze``
(Documentation/admin-guide/cgroup-v1/freezer-subsystem, cgroup-v2). A frozen process knows nothing of it.

Of a PostgreSQL, ``port`` has it asked: its kernel takes the connection, and no byte comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...common.peer_addresses import is_port
from ...common.schema import show_value
from ...common.shapes import Arguments, FaultEntry
from ...host import cgroups, netns
from ...host.docker_engine import Container
from ...host.postgres.wire import hear_first_byte
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required
from ..mechanisms import limits


def _as_entry(parameters: FaultEntry) -> Arguments:
    return {"hold_s": 1}


KIND = Kind(
    arguments={"port": {"type": "int"}},
    as_entry=_as_entry,
    required=(
        Required("frozen", "every process of the cgroup is frozen"),
        Required("silent", "a connect to its port succeeds, and nobody answers", "tcp"),
        Required("still", "processor time used while it was frozen", at_end=True),
        Required("silent_at_end", "nobody answers at the end of the window", "tcp", at_end=True),
    ),
    needs_root="writes a container's freezer",
)
#: The file to write, and its words for a running and a frozen cgroup, by version.
_WORDS = {1: ("freezer.state", "THAWED", "FROZEN"), 2: ("cgroup.freeze", "0", "1")}
#: A process in the kernel is frozen when it comes out of it.
_FREEZES_S = 2.0
#: Where it listens inside its network namespace; a server that lives answers at once, a frozen one not in this time.
_PATIENCE_S = 1.0
#: Processor time that may be used before the last of its processes stood still, seconds.
_USED_S = 0.1


@dataclass(frozen=True)
class FreezePlan:
    """The freezers that are written."""

    service: str
    project: str
    changes: Sequence[limits.LimitChange]
    port: int | None = None

    def lines(self) -> list[str]:
        """Return the plan in words, one line a container."""
        return [
            f"freeze {change.target.name} ({change.target.service}): {change.describe()}; undo: {change.back()}"
            for change in self.changes
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "limits",
            "project": self.project,
            "service": self.service,
            "containers": [change.journal() for change in self.changes],
            "port": self.port,
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with a freeze's own arguments; it must be held."""
    found, identity, port = [], fault.get("id"), fault.get("port")
    if float(fault.get("hold_s") or 0) <= 0:
        found.append(
            f"Fault {identity} freezes nothing without a hold_s; it must be the seconds it is to last."
        )
    if port is not None and not is_port(port):
        found.append(f"The port of fault {identity} is {show_value(port)}; it must be from 1 to {PORT_MAX}.")
    return found


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """Write each freezer as it stands, and see that somebody answers at the port."""
    plan = from_spec(fault, chosen, site)
    names = [name for name, _running, _frozen in _WORDS.values()]
    versions = {limits.try_writing("freezer", container, names).version for container in chosen}
    for container in chosen if plan.port else ():
        if _ask(container, plan.port)["answer"] not in ("S", "N"):
            raise ChaosError(
                f"No PostgreSQL answers at port {plan.port} inside {container.name}, so its silence would show "
                "nothing; name the port it listens on there, or none."
            )
    return f"ok: cgroup v{max(versions)}"


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> FreezePlan:
    """Plan a freeze of running containers. Raises ChaosError for one that is frozen already."""
    if not chosen:
        raise ChaosError("A freeze needs at least one container.")
    changes = [_change(container) for container in chosen]
    port = int(fault["port"]) if fault.get("port") else None
    return FreezePlan(chosen[0].service, chosen[0].project, changes, port)


def _change(container: Container) -> limits.LimitChange:
    cgroup = limits.cgroup_of("freezer", container)
    name, running, frozen = _WORDS[cgroup.version]
    if cgroup.read(name) != running:
        raise ChaosError(
            f"Container {container.name} is frozen already; thaw it with: docker unpause {container.name}"
        )
    return limits.LimitChange(container, "freezer", {name: running}, {name: frozen})


def apply(change: FreezePlan, entry: Entry, scene: Scene) -> Applied:
    """Freeze, wait until the kernel says that every process stands still, and ask whether anybody answers."""
    answered = {one.target.id: _answers(one.target, change.port) for one in change.changes}
    with scene.instant():
        at = clock.read()
        for one in change.changes:
            for name, text in one.after.items():
                limits.cgroup_of("freezer", one.target).write(name, text)
        within = clock.read() - at
    proofs = [_frozen(one.target) for one in change.changes]
    for one in change.changes if change.port else ():
        proofs.append(_silent(one.target, change.port, answered[one.target.id]))
    facts = {
        "engine": f"cgroup v{limits.cgroup_of('freezer', change.changes[0].target).version}",
        "pids": [one.target.pid for one in change.changes],
        "answered": answered,
        "used_s": {one.target.id: _used_s(one.target) for one in change.changes},
    }
    return Applied(at, proofs, facts, within)


def _frozen(container: Container) -> Proof:
    cgroup, until = limits.cgroup_of("freezer", container), clock.read() + _FREEZES_S
    while True:
        if cgroup.version == 1:
            seen = cgroup.read("freezer.state")
        else:
            seen = "FROZEN" if cgroup.read_table("cgroup.events").get("frozen") else "THAWED"
        if seen == "FROZEN" or clock.read() >= until:
            break
        clock.sleep(0.01)
    return Proof(
        "kernel", f"freezer of {container.name}", seen, clock.read(), seen == "FROZEN", name="frozen"
    )


def _ask(container: Container, port: int | None) -> dict[str, Any]:
    """Ask the target at its port, from inside its network namespace; see :func:`hear_first_byte`."""
    address = netns.find_listening(container.pid, int(port or 0))
    asked = netns.call_inside(container.pid, hear_first_byte, address, port, _PATIENCE_S)
    return dict(asked)


def _answers(container: Container, port: int | None) -> bool:
    """Return whether it answers now, which a silence is told against."""
    return port is not None and _ask(container, port)["answer"] in ("S", "N")


def _silent(container: Container, port: int | None, answered: bool, *, at_end: bool = False) -> Proof:
    """No byte in its time from who answered before. It must have taken the connection; in the end its queue of those
    that wait to be taken may be full.
    """
    heard = _ask(container, port)
    taken = "connected" if heard["connected"] else "not connected"
    said = f"{taken}, " + (f"then {heard['answer']}" if heard["answer"] else f"no byte in {_PATIENCE_S:g} s")
    silent = not heard["answer"] and (at_end or heard["connected"])
    fact = f"port {port} of {container.name}" + (" at the end of the window" if at_end else "")
    name = "silent_at_end" if at_end else "silent"
    if not answered:
        return Proof("tcp", fact, f"{said}; before it did not answer either", clock.read(), None, name=name)
    return Proof("tcp", fact, said, clock.read(), silent, name=name)


def _used_s(container: Container) -> float:
    """Return the processor time a container has used, seconds, as the kernel counts it."""
    cgroup = cgroups.find_cgroup("cpuacct", container.pid, container.id)
    if cgroup.version == 1:
        return cgroup.read_number("cpuacct.usage") / 1e9
    return cgroup.read_table("cpu.stat")["usage_usec"] / 1e6


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read at the end of the window that nothing ran in it, by the kernel's count of the target itself."""
    proofs = []
    for one in entry.undo["containers"]:
        held = limits.share_in_force(one, entry.applied_at or entry.planned_at, scene.engine)
        container = scene.engine.inspect(one["id"])
        fact = f"processor time that {one['name']} used while it was frozen, s"
        if container is None or not container.running or container.pid != one["pid"]:
            proofs.append(Proof("kernel", fact, "it was started anew", clock.read(), False, held, "still"))
            continue
        used = _used_s(container) - float(entry.facts["used_s"][one["id"]])
        proofs.append(Proof("kernel", fact, round(used, 3), clock.read(), used <= _USED_S, held, "still"))
        port = entry.undo.get("port")
        if port:
            proofs.append(_silent(container, port, entry.facts["answered"][one["id"]], at_end=True))
    return proofs


def undo(entry: Entry, scene: Scene) -> str:
    """Thaw each container, and see that its freezer says so; say how."""
    wanted = entry.undo
    return "; ".join(
        limits.restore_limits(one, wanted["project"], wanted["service"], scene.engine)
        for one in wanted["containers"]
    )
