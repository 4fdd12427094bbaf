# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding a service to a fraction of one core: the kernel's bandwidth limit of its cgroup.

Version 1: ``cpu.cfs_quota_us`` of each ``cpu.cfs_period_us``; version 2: ``cpu.max`` (the kernel's sched-bwc and
cgroup-v2). Without root the engine's own update writes it, where the engine has a limit to return to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.errors import AS_ROOT, ChaosError, Unsupported
from ...common.schema import show_value
from ...host import cgroups
from ...host.cgroups import Cgroup
from ...host.docker_engine import Container
from ...run import timeline
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Required
from ..mechanisms import limits

#: The least quota the kernel takes, µs.
_LEAST_US = 1000
_NANO = 1_000_000_000
#: How long the first throttled period is waited for, seconds; an idle service has none.
_SHOWS_S = 1.5
#: The share that was used may lie this much above the quota, for the slices the kernel lends.
_TOLERANCE = 1.2
KIND = Kind(
    arguments={"cores": {"type": "float", "default": 0.1}},
    required=(
        Required("throttled", "throttled periods in the window", at_end=True),
        Required("used", "cores used, of those granted", at_end=True),
    ),
)


@dataclass(frozen=True)
class CpuPlan:
    """What a throttling will do: ``changes`` by cgroup files, or ``updates`` by the engine (container → settings)."""

    service: str
    project: str
    cores: float
    changes: Sequence[limits.LimitChange]
    through_engine: bool = False

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change."""
        how = " through the engine" if self.through_engine else ""
        return [
            f"hold {change.target.name} ({change.target.service}) to {self.cores:g} of one core{how}: "
            f"{change.describe()}; undo: {change.back()}"
            for change in self.changes
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "update" if self.through_engine else "limits",
            "project": self.project,
            "service": self.service,
            "containers": [change.journal() for change in self.changes],
            "cores": self.cores,
            "held": True,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of a throttling."""
    given = fault.get("cores", 0.1)
    try:
        cores = float(given)
    except (TypeError, ValueError, OverflowError):
        cores = 0.0
    if isinstance(given, bool) or not 0.01 <= cores <= 64:
        return [
            f"The cores of fault {fault.get('id')} are {show_value(given)}; they must be a number of cores "
            "from 0.01 to 64, such as 0.1."
        ]
    return []


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Write the limit as it stands; without root see that the engine has one to return to."""
    if not site.root:
        from_spec(fault, chosen, site)
        return "ok: through the engine"
    versions = {
        limits.try_writing("cpu", container, ("cpu.cfs_quota_us", "cpu.max")).version for container in chosen
    }
    return f"ok: cgroup v{max(versions)}"


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> CpuPlan:
    """Plan a throttling: ``cores`` is the fraction of one core, by default a tenth."""
    cores = float(fault.get("cores") or 0.1)
    if not chosen:
        raise ChaosError("A throttling needs at least one container.")
    make = _by_files if site.root else _by_engine
    changes = [make(container, cores) for container in chosen]
    return CpuPlan(chosen[0].service, chosen[0].project, cores, changes, through_engine=not site.root)


def _by_files(container: Container, cores: float) -> limits.LimitChange:
    cgroup = limits.cgroup_of("cpu", container)
    if cgroup.version == 1:
        period = cgroup.read_number("cpu.cfs_period_us")
        before = cgroup.read("cpu.cfs_quota_us")
        had, quota = int(before), _quota(cores, period)
        change = {"cpu.cfs_quota_us": str(quota)}, {"cpu.cfs_quota_us": before}
    else:
        before = cgroup.read("cpu.max")
        had_text, period_text = before.split()
        had, period = (-1 if had_text == "max" else int(had_text)), int(period_text)
        quota = _quota(cores, period)
        change = {"cpu.max": f"{quota} {period}"}, {"cpu.max": before}
    if 0 <= had <= quota:
        raise ChaosError(
            f"Container {container.name} is held to {had / period:g} of a core already; {cores:g} would be no less."
        )
    return limits.LimitChange(container, "cpu", change[1], change[0])


def _by_engine(container: Container, cores: float) -> limits.LimitChange:
    nano, quota = (int(container.host_config.get(key) or 0) for key in ("NanoCpus", "CpuQuota"))
    period = int(container.host_config.get("CpuPeriod") or 0) or 100_000
    if nano > 0:
        had, before, after = nano / _NANO, {"NanoCpus": str(nano)}, {"NanoCpus": str(int(cores * _NANO))}
    elif quota > 0:
        had, before, after = (
            quota / period,
            {"CpuQuota": str(quota)},
            {"CpuQuota": str(_quota(cores, period))},
        )
    else:
        raise Unsupported(
            "Without root only a limit that the engine knows can be lowered and put back, "
            f"and {container.name} has none: "
            f"{AS_ROOT}, or give the service a limit (cpus)."
        )
    if had <= cores:
        raise ChaosError(
            f"Container {container.name} is held to {had:g} of a core already; {cores:g} would be no less."
        )
    return limits.LimitChange(container, "cpu", before, after)


def _quota(cores: float, period: int) -> int:
    quota = round(cores * period)
    if quota < _LEAST_US:
        raise ChaosError(
            f"{cores:g} of a core are {quota} µs of each {period} µs; the kernel takes {_LEAST_US} µs at least."
        )
    return quota


def apply(change: CpuPlan, entry: Entry, scene: Scene) -> Applied:
    """Write the limits and wait for the first throttled period."""
    stats = {one.target.id: read_counters(one.target.pid, one.target.id) for one in change.changes}
    with scene.instant():
        at = clock.read()
        for one in change.changes:
            if change.through_engine:
                scene.engine.update(one.target.id, {key: int(value) for key, value in one.after.items()})
            else:
                limits.apply_change(one)
        within = clock.read() - at
    pids = [one.target.pid for one in change.changes]
    version = "engine" if change.through_engine else f"cgroup v{_version(change)}"
    proofs = [_throttled(one.target, stats[one.target.id]) for one in change.changes]
    return Applied(
        at, proofs, {"pids": pids, "engine": version, "cores": change.cores, "counters": stats}, within
    )


def _version(change: CpuPlan) -> int:
    return limits.cgroup_of("cpu", change.changes[0].target).version


def read_counters(pid: int, container_id: str) -> dict[str, float]:
    """Return what the kernel counted of a container: periods, throttled ones, throttled and used seconds; and when."""
    cpu = cgroups.find_cgroup("cpu", pid, container_id)
    stat = cpu.read_table("cpu.stat")
    return {
        "t": clock.read(),
        "periods": stat.get("nr_periods", 0),
        "throttled": stat.get("nr_throttled", 0),
        "throttled_s": stat["throttled_time"] / 1e9
        if "throttled_time" in stat
        else stat.get("throttled_usec", 0) / 1e6,
        "used_s": _used_s(cpu, stat, pid, container_id),
    }


def _used_s(cpu: Cgroup, stat: Mapping[str, int], pid: int, container_id: str) -> float:
    if cpu.version == 2:
        return stat.get("usage_usec", 0) / 1e6
    return cgroups.find_cgroup("cpuacct", pid, container_id).read_number("cpuacct.usage") / 1e9


def _throttled(container: Container, before: Mapping[str, float]) -> Proof:
    """Wait until a period of the container was throttled, for a moment."""
    until = clock.read() + _SHOWS_S
    grown = 0.0
    while clock.read() < until and not grown:
        clock.sleep(0.05)
        grown = read_counters(container.pid, container.id)["throttled"] - before["throttled"]
    return Proof("kernel", f"throttled periods of {container.name}", int(grown), clock.read(), grown > 0)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read at the end of the window what was throttled in it, and how much of the quota was used."""
    since, proofs = entry.applied_at or entry.planned_at, []
    for one in entry.undo["containers"]:
        held = _share(entry, one, since, scene)
        container = scene.engine.inspect(one["id"])
        before = (entry.facts.get("counters") or {}).get(one["id"])
        if container is None or not container.running or before is None or container.pid != one["pid"]:
            gone = f"{one['name']} was held to {entry.undo['cores']:g} of one core until it was started anew"
            proofs.append(Proof("kernel", gone, False, clock.read(), False, held, "throttled"))
            continue
        now = read_counters(container.pid, container.id)
        grown = {key: now[key] - before[key] for key in now}
        used = grown["used_s"] / grown["t"]
        scene.run.write_event(
            timeline.MEASURED, fault=entry.fault, name="cpu_used", value=used, quota=entry.undo["cores"],
            service=entry.undo["service"], seconds=grown["t"], periods=grown["periods"],
            throttled=grown["throttled"], throttled_s=grown["throttled_s"],
        )  # fmt: skip
        proofs += [
            Proof("kernel", f"throttled periods of {container.name} in the window", int(grown["throttled"]), now["t"],
                  grown["throttled"] > 0, held, "throttled"),
            Proof("kernel", f"throttled time of {container.name} in the window, s", round(grown["throttled_s"], 3),
                  now["t"], grown["throttled_s"] > 0, held),
            Proof("kernel", f"cores used by {container.name}, of {entry.undo['cores']:g} granted", round(used, 4),
                  now["t"], used <= entry.undo["cores"] * _TOLERANCE, held, "used"),
        ]  # fmt: skip
    return proofs


def _share(entry: Entry, one: Mapping[str, Any], since: float, scene: Scene) -> float:
    if entry.undo["op"] == "limits":
        return limits.share_in_force(one, since, scene.engine)
    container = scene.engine.inspect(one["id"])
    if container is None or not container.running:
        return 0.0
    return float(
        all(str(container.host_config.get(key) or 0) == value for key, value in one["after"].items())
    )


def undo(entry: Entry, scene: Scene) -> str:
    """Write back what was there, through the files or the engine; say how."""
    wanted, engine = entry.undo, scene.engine
    how = []
    for one in wanted["containers"]:
        if wanted["op"] == "limits":
            how.append(limits.restore_limits(one, wanted["project"], wanted["service"], engine))
            continue
        container = engine.inspect(one["id"])
        if container is None:
            how.append(f"undone by replacement: {one['name']} is gone, and its limits with it")
        elif all(str(container.host_config.get(key) or 0) == value for key, value in one["before"].items()):
            how.append(f"{one['name']} had its limits already")
        else:
            engine.update(one["id"], {key: int(value) for key, value in one["before"].items()})
            how.append(f"{one['name']} has its limits back")
    return "; ".join(how)
