# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory running out: a service's limit lowered, memory charged to its cgroup until the kernel's OOM killer acts.

Version 1: ``memory.limit_in_bytes`` and with it ``memory.memsw.limit_in_bytes``; version 2: ``memory.max`` and
``memory.swap.max`` (Documentation/admin-guide/cgroup-v1/memory, cgroup-v2). A single blow: the restart policy acts, and
the engine gives the new process its own limits; the undo compares them all the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...common.json_files import read_json, write_json
from ...common.schema import show_value
from ...host.cgroups import Cgroup
from ...host.docker_engine import Container, DockerEngine
from ...run import processes, timeline
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import container_end, limits, memory_hog, memory_usage

MB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Above what the service uses, MB, where no limit is asked for; the sum is rounded up to a multiple of _STEP.
MARGIN_MB = 24
_STEP = 8 * MB
#: What is charged each second, MB: slow enough for the kernel to reclaim first, fast enough for the burst around it.
RATE_MB = 64
#: The limit must lie this much above what is used, or it would be refused.
_LEAST = 1.1
_KILL_S = 10.0
KIND = Kind(
    arguments={
        "limit_mb": {"type": "float"},
        "rate_mb": {"type": "float", "default": RATE_MB},
    },
    required=(
        Required("oom", "oom_kill counter of the cgroup"),
        Required("victim", "exit of a process of the target by it"),
    ),
    ends_target=True,
    waits_for_disk=True,
    needs_root="charges memory to a container's cgroup",
    process=Process("charge", "mechanisms.memory_hog"),
    sample=memory_usage.start_sampling,
)


@dataclass(frozen=True)
class MemoryPlan:
    """What an OOM will do: the container's limits, and what is charged per second (bytes)."""

    service: str
    project: str
    change: limits.LimitChange
    limit: int
    rate: float

    def lines(self) -> list[str]:
        """Return the plan in words."""
        one = self.change
        return [
            f"lower the memory of {one.target.name} ({one.target.service}) to {self.limit // MB} MB, swap with it: "
            f"{one.describe()}; undo: {one.back()}",
            f"charge {self.rate / MB:g} MB per second to its cgroup until the kernel kills a process of it; the "
            f"restart policy ({one.target.restart_policy}) starts it again; "
            "undo: give the memory back, see that it runs",
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "limits",
            "project": self.project,
            "service": self.service,
            "containers": [self.change.journal()],
            "held": False,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of an OOM."""
    found = []
    for key, least, most, what in (
        ("limit_mb", 6, 1_000_000, "a number of megabytes above what the service uses"),
        ("rate_mb", 1, 10_000, "megabytes per second"),
    ):
        given = fault.get(key)
        if given in (None, "", 0, "0") and key == "limit_mb":
            continue
        try:
            value = float(RATE_MB if given is None else given)
        except (TypeError, ValueError, OverflowError):
            value = 0.0
        if isinstance(given, bool) or not least <= value <= most:
            found.append(
                f"The {key} of fault {fault.get('id')} is {show_value(given)}; "
                f"it must be {what}, from {least} to {most}."
            )
    if str(fault.get("replicas", "one")) not in ("one", "1"):
        found.append(f"Fault {fault.get('id')} lets one container run out of memory; replicas must be one.")
    return found


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Write the limits as they stand, look for dd, and see that the limit asked for can be set."""
    memory_hog.find_dd()
    versions = set()
    for container in chosen:
        cgroup = limits.try_writing("memory", container, ("memory.limit_in_bytes", "memory.max"))
        versions.add(cgroup.version)
    planned = from_spec(fault, chosen, site)
    found = [f"ok: cgroup v{max(versions)}"]
    if not planned.change.target.restarts_itself:
        container = planned.change.target
        found.append(
            f"{container.name} has restart policy {container.restart_policy}, so nobody starts it before the undo"
        )
    return "; ".join(found)


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> MemoryPlan:
    """Plan an OOM: ``limit_mb`` (by default what is used, and a margin), ``rate_mb`` charged per second."""
    if not chosen:
        raise ChaosError("Running out of memory needs a container.")
    container = chosen[0]
    cgroup = limits.cgroup_of("memory", container)
    used = memory_hog.read_usage(cgroup)
    asked = float(fault.get("limit_mb") or 0)
    limit = int(asked * MB) if asked else -(-(used + MARGIN_MB * MB) // _STEP) * _STEP
    limit -= limit % _PAGE
    had = read_limit(cgroup)
    if limit < used * _LEAST:
        raise ChaosError(
            f"{container.name} uses {used / MB:.0f} MB; a limit of {limit / MB:.0f} MB would be refused: "
            f"limit_mb must be at least {used * _LEAST / MB:.0f}, or left out."
        )
    if had is not None and limit > had:
        raise ChaosError(
            f"{container.name} is limited to {had / MB:.0f} MB already; limit_mb must be below, it is {limit / MB:.0f}."
        )
    _room(container, limit - used)
    rate = float(fault.get("rate_mb") or RATE_MB) * MB
    return MemoryPlan(
        container.service, container.project, _change(container, cgroup, limit, used, had), limit, rate
    )


def _room(container: Container, needed: int) -> None:
    """Refuse what the host itself could not bear."""
    known = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(known["MemAvailable"].split()[0]) * 1024
    if needed > free / 2:
        raise ChaosError(
            f"{needed / MB:.0f} MB would be charged to {container.name}, more than half of the host's free "
            f"{free / MB:.0f} MB; set a lower limit_mb."
        )


def read_limit(cgroup: Cgroup) -> int | None:
    """Return the limit a cgroup has, bytes; None without one."""
    if cgroup.version == 2:
        text = cgroup.read("memory.max")
        return None if text == "max" else int(text)
    limit = cgroup.read_number("memory.limit_in_bytes")
    # version 1 says "none" by the largest number of pages there is
    return None if limit >= 1 << 60 else limit


def _change(
    container: Container, cgroup: Cgroup, limit: int, used: int, had: int | None
) -> limits.LimitChange:
    if cgroup.version == 1:
        after = {"memory.limit_in_bytes": str(limit), "memory.memsw.limit_in_bytes": str(limit)}
    else:
        after = {"memory.max": str(limit), "memory.swap.max": "0"}
    after = {name: text for name, text in after.items() if cgroup.offers(name)}
    before = {name: cgroup.read(name) for name in after}
    return limits.LimitChange(container, "memory", before, after, known={"used": used, "configured": had})


def apply(change: MemoryPlan, entry: Entry, scene: Scene) -> Applied:
    """Lower the limits, charge memory, and see the kernel kill; the fault is there from the victim's exit on."""
    run, one = scene.run, change.change
    until = clock.read() + _ahead(scene) + _KILL_S
    run.file(memory_hog.RESULT).unlink(missing_ok=True)
    write_json(
        run.file(memory_hog.PARAMETERS),
        {
            "container": one.target.id,
            "pid": one.target.pid,
            "limit": change.limit,
            "rate": change.rate,
            "until": min(until, entry.expires),
        },
    )
    with scene.instant():
        limits.apply_change(one)
        begun = clock.read()
    processes.start_process(run, "charge")
    found = _result(scene, until + container_end.EXIT_S)
    at = float(found.get("killed_at") or begun)
    run.write_event(
        timeline.MEASURED, fault=entry.fault, name="oom", value=_near_to_kill(found), target=one.target.pid,
        service=change.service, used=one.known["used"], configured=one.known["configured"], **found,
    )  # fmt: skip
    return Applied(at, _proofs(one.target, found, scene.engine), _facts(one.target, change, found))


def _ahead(scene: Scene) -> float:
    """Return the seconds until the agreed instant, 0 without one."""
    return max(0.0, scene.agreed.seconds_left) if scene.agreed is not None else 0.0


def _near_to_kill(found: Mapping[str, Any]) -> float | None:
    """Return the seconds from nine tenths of the limit to the kill."""
    if found.get("killed_at") is None or found.get("near_at") is None:
        return None
    return max(0.0, float(found["killed_at"]) - float(found["near_at"]))


def _result(scene: Scene, until: float) -> dict[str, Any]:
    while clock.read() < until:
        found = read_json(scene.run.file(memory_hog.RESULT))
        if found is not None:
            return dict(found)
        time.sleep(0.01)
    processes.stop_process(scene.run, "charge")
    return {"reason": "nothing came of it", "kills": 0, "victims": []}


def _facts(container: Container, change: MemoryPlan, found: Mapping[str, Any]) -> dict[str, Any]:
    """What journal and timeline keep. ``engine`` process: the kill was the host's, so the restart policy acts."""
    return {
        "pids": [container.pid],
        "engine": "process",
        "limit_bytes": change.limit,
        "victims": [victim["pid"] for victim in found["victims"]],
        "kills": found["kills"],
    }


def _proofs(container: Container, found: Mapping[str, Any], engine: DockerEngine) -> list[Proof]:
    kills, victims = int(found["kills"]), list(found["victims"])
    proofs = [
        Proof(
            "kernel",
            f"oom_kill counter of the cgroup of {container.name} grew by",
            kills,
            clock.read(),
            kills > 0,
            name="oom",
        )
    ]
    for victim in victims:
        fact = f"exit of process {victim['pid']} ({victim['comm']}) of {container.name}"
        proofs.append(Proof("kernel", fact, kills > 0, float(victim["t"]), kills > 0, name="victim"))
    if not victims:
        # what the kernel took was ours, which was there to fill the cgroup
        fact = f"exit of a process of {container.name} itself"
        proofs.append(Proof("kernel", fact, "none ended", clock.read(), False, name="victim"))
    proofs.append(container_end.prove_ended(container, engine, _cause))
    return proofs


def _cause(ended: Container) -> tuple[str, str, bool]:
    """Down with the code of a SIGKILL, or by the engine's own word for it."""
    value = f"exit code {ended.exit_code}, OOMKilled {str(ended.oom_killed).lower()}"
    return f"{ended.name} ended", value, ended.oom_killed or ended.exit_code == container_end.KILLED


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Return nothing: a single blow is not meant to hold."""
    return []


def undo(entry: Entry, scene: Scene) -> str:
    """Give the memory back, see that the container runs and has its limits to the byte; say how."""
    processes.stop_process(scene.run, "charge", timeout=2.0)
    wanted, engine = entry.undo, scene.engine
    how = []
    for one in wanted["containers"]:
        container, started = engine.inspect(one["id"]), ""
        if container is not None and not container.running:
            # between its end and the policy's start it is only down for a moment
            container = (
                container_end.wait_until_running(one["id"], engine)
                if container.restarts_itself
                else container
            )
        if container is not None and not container.running:
            engine.start(one["id"])
            container_end.wait_until_running(one["id"], engine)
            started = f"{one['name']} started through the engine; "
        how.append(started + limits.restore_limits(one, wanted["project"], wanted["service"], engine))
        _tell_limits(entry, one, scene)
    return "; ".join(how)


def _tell_limits(entry: Entry, one: Mapping[str, Any], scene: Scene) -> None:
    """Write down what the limits are now; a full disk must not keep the fault in force."""
    with contextlib.suppress(ChaosError):
        container = scene.engine.inspect(one["id"])
        if container is None or not container.running:
            return
        cgroup = limits.cgroup_of("memory", container)
        now = {name: cgroup.read(name) for name in one["before"]}
        scene.run.write_event(
            timeline.MEASURED, fault=entry.fault, name="memory_limits", value=now == one["before"],
            before=one["before"], after=now,
        )  # fmt: skip
