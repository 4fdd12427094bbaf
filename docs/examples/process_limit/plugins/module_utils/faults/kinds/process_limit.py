# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that can start no process any more: the limit of its cgroup is set to what it has.

What runs goes on; what has to be forked (a database's session, a worker, a health check) fails with EAGAIN. The limit
is ``pids.max`` in both versions (Documentation/admin-guide/cgroup-v1/pids, cgroup-v2); the kernel counts what it
refused in ``pids.events``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...host.cgroups import Cgroup
from ...host.docker_engine import Container
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required
from ..mechanisms import limits


def _as_entry(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"hold_s": 1}


KIND = Kind(
    arguments={"processes": {"type": "int"}},
    as_entry=_as_entry,
    required=(
        Required("limited", "the limit that the kernel keeps"),
        Required("refused", "a fork inside the cgroup"),
        Required("counted", "forks that the kernel refused meanwhile", at_end=True),
    ),
    needs_root="writes a container's limit of processes",
)
_LIMIT, _EVENTS = "pids.max", "pids.events"


@dataclass(frozen=True)
class ProcessLimitPlan:
    """The limits that are written."""

    service: str
    project: str
    changes: Sequence[limits.LimitChange]

    def lines(self) -> list[str]:
        """Return the plan in words, one line a container."""
        return [
            f"let {change.target.name} ({change.target.service}) start no more processes: {change.describe()}; "
            f"undo: {change.back()}"
            for change in self.changes
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "limits",
            "project": self.project,
            "service": self.service,
            "containers": [change.journal() for change in self.changes],
            "held": True,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    found, limit = [], fault.get("processes")
    if limit is not None and not str(limit).isdecimal():
        found.append(f"The processes of fault {fault.get('id')} are {limit!r}; they must be a number.")
    if float(fault.get("hold_s") or 0) <= 0:
        found.append(f"Fault {fault.get('id')} has no hold_s; it must be the seconds the limit is to last.")
    return found


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Write each limit as it stands."""
    from_spec(fault, chosen, site)
    versions = {limits.try_writing("pids", container, [_LIMIT]).version for container in chosen}
    return f"ok: cgroup v{max(versions)}"


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> ProcessLimitPlan:
    """Plan it for running containers. Raises ChaosError for one that has such a limit already."""
    if not chosen:
        raise ChaosError("A limit of processes needs at least one container.")
    limit = int(fault.get("processes") or 0)
    return ProcessLimitPlan(
        chosen[0].service, chosen[0].project, [_change(container, limit) for container in chosen]
    )


def _change(container: Container, limit: int) -> limits.LimitChange:
    cgroup = limits.cgroup_of("pids", container)
    before, wanted = cgroup.read(_LIMIT), limit or cgroup.read_number("pids.current")
    if before != "max" and int(before) <= wanted:
        raise ChaosError(f"{container.name} may have {before} processes already; {wanted} would be no less.")
    return limits.LimitChange(container, "pids", {_LIMIT: before}, {_LIMIT: str(wanted)})


def apply(change: ProcessLimitPlan, entry: Entry, scene: Scene) -> Applied:
    """Write the limits, read them back, and try to fork inside."""
    refused = {one.target.id: _refused(one.target) for one in change.changes}
    with scene.instant():
        at = clock.read()
        for one in change.changes:
            limits.apply_change(one)
        within = clock.read() - at
    proofs = [proof for one in change.changes for proof in _proofs(one)]
    return Applied(at, proofs, {"refused": refused}, within)


def _proofs(change: limits.LimitChange) -> list[Proof]:
    cgroup, name = limits.cgroup_of("pids", change.target), change.target.name
    kept, tried = cgroup.read(_LIMIT), _fork_inside(cgroup)
    wanted = change.after[_LIMIT]
    return [
        Proof("kernel", f"{_LIMIT} of {name}", kept, clock.read(), kept == wanted, name="limited"),
        Proof("kernel", f"a fork inside {name}", tried, clock.read(), tried == "EAGAIN", name="refused"),
    ]


def _fork_inside(cgroup: Cgroup) -> str:
    """Let a child of ours join the cgroup and fork there; returns the name of the kernel's error, or ``forked``."""
    child = os.fork()
    if child == 0:
        code = errno.ECHILD
        try:
            cgroup.join(os.getpid())
            if os.fork() == 0:
                os._exit(0)
            os.wait()
            code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return errno.errorcode.get(code, str(code)) if code else "forked"


def _refused(container: Container) -> int:
    return limits.cgroup_of("pids", container).read_table(_EVENTS).get("max", 0)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read, at the end of the window, how many forks the kernel refused in it."""
    proofs = []
    for one in entry.undo["containers"]:
        held = limits.share_in_force(one, entry.applied_at or entry.planned_at, scene.engine)
        fact = f"forks that the kernel refused {one['name']} meanwhile"
        container = scene.engine.inspect(one["id"])
        if container is None or not container.running or container.pid != one["pid"]:
            proofs.append(Proof("kernel", fact, "it was started anew", clock.read(), False, held, "counted"))
            continue
        grown = _refused(container) - int(entry.facts["refused"][one["id"]])
        proofs.append(Proof("kernel", fact, grown, clock.read(), grown > 0, held, "counted"))
    return proofs


def undo(entry: Entry, scene: Scene) -> str:
    """Write each limit back to the byte; say how."""
    wanted = entry.undo
    return "; ".join(
        limits.restore_limits(one, wanted["project"], wanted["service"], scene.engine)
        for one in wanted["containers"]
    )
