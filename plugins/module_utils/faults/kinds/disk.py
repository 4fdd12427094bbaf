# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A starved disk: a service's reads and writes held to a small rate on the disk under its volume.

Version 1: ``blkio.throttle.{read,write}_bps_device``, which holds direct and synchronous I/O, such as a database's log;
version 2: ``io.max``. Mode ``contention`` saturates that disk instead, which its other users feel as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...common.json_files import write_json
from ...common.schema import show_value
from ...common.stats import find_median
from ...host import cgroups, disks
from ...host.cgroups import Cgroup
from ...host.docker_engine import Container
from ...run import processes, timeline
from ...run.folder import RunDir
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import disk_hog, limits

MODES = ("limit", "contention")
#: Bytes per second, unless asked otherwise.
RATE = 128 * 1024
#: An fsync inside the limit takes at least so many times what it took before.
SLOWER = 10.0
#: Contention shows if the disk had something to do for this share of the time; its writers wait for each other, too.
_BUSY = 0.5
_BEFORE, _INSIDE = 7, 3
#: So many fsyncs pass at once under a fresh limit: the kernel grants a slice of the rate ahead (blk-throttle).
_CREDIT = 4
_PATIENCE_S = 4.0
#: The bytes passed may lie this much above the rate, for what was under way.
_TOLERANCE = 1.25
KIND = Kind(
    arguments={
        "mode": {"type": "str", "choices": list(MODES), "default": MODES[0]},
        "write_bps": {"type": "int", "default": RATE},
        "read_bps": {"type": "int", "default": RATE},
        "path": {"type": "str", "default": ""},
        "accept_shared_disk": {"type": "bool", "default": False},
    },
    required=(
        Required("slower", "an fsync inside the cgroup is slower"),
        Required("passed", "what passed to the disk in the window", at_end=True),
    ),
    waits_for_disk=True,
    needs_root="limits a disk by cgroup files",
    process=Process("contend", "mechanisms.disk_hog"),
)


@dataclass(frozen=True)
class DiskPlan:
    """What a starvation will do: limit files of ``changes``, or a tool that saturates ``device``."""

    service: str
    project: str
    mode: str
    device: str
    mount: disks.Mount
    target: Container
    changes: Sequence[limits.LimitChange] = ()
    tool: str = ""

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change."""
        where = f"disk {disks.name_disk(self.device)} ({self.device}) under {self.mount.point}"
        if self.mode == "contention":
            return [
                f"saturate {where} of {self.target.name} ({self.service}) with {self.tool}, which all users of the "
                "disk feel; undo: end it and remove its files"
            ]
        return [
            f"hold {change.target.name} ({self.service}) on {where}: {change.describe()}; undo: {change.back()}"
            for change in self.changes
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": self.mode,
            "project": self.project,
            "service": self.service,
            "containers": [change.journal() for change in self.changes],
            "target": self.target.id,
            "pid": self.target.pid,
            "device": self.device,
            "path": self.mount.point,
            "held": True,
        }


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of a starvation."""
    found = []
    mode = str(fault.get("mode") or "limit")
    if mode not in MODES:
        found.append(
            f"The mode of fault {fault.get('id')} is {show_value(mode)}; it must be one of {', '.join(MODES)}."
        )
    if mode == "contention" and fault.get("accept_shared_disk") is not True:
        found.append(
            f"Fault {fault.get('id')} saturates a disk that others may use: "
            "set chaos_accept_shared_disk: true if they may be hit."
        )
    for key in ("write_bps", "read_bps"):
        given = fault.get(key)
        try:
            value = float(RATE if given is None else given)
        except (TypeError, ValueError, OverflowError):
            value = 0.0
        if isinstance(given, bool) or not 4096 <= value <= 1 << 40:
            found.append(
                f"The {key} of fault {fault.get('id')} is {show_value(given)}; "
                "it must be bytes per second, 4096 or more."
            )
    return found


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Write the limit as it stands and time an fsync inside the cgroup; or look for the tool that saturates."""
    planned = from_spec(fault, chosen, site)
    for change in planned.changes:
        for name, text in change.before.items():
            limits.cgroup_of("blkio", change.target).write(name, text)
    cgroup = limits.cgroup_of("blkio", planned.target)
    if planned.mode == "contention":
        return f"ok: {planned.tool}; others that use disk {disks.name_disk(planned.device)} will feel it too"
    return f"ok: cgroup v{cgroup.version}, disk {disks.name_disk(planned.device)}"


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> DiskPlan:
    """Plan a starvation: ``mode``, ``write_bps``, ``read_bps``, ``path`` (a folder in the container)."""
    mode = str(fault.get("mode") or "limit")
    if not chosen:
        raise ChaosError("Starving a disk needs at least one container.")
    found: dict[str, tuple[disks.Mount, str]] = {}
    for container in chosen:
        if not container.running:
            raise ChaosError(
                f"Container {container.name} of service {container.service} is {container.status}, not running."
            )
        mount = disks.find_volume(container, str(fault.get("path") or ""))
        found[container.id] = mount, disks.find_disk(mount)
    first = chosen[0]
    mount, device = found[first.id]
    if mode == "contention":
        if fault.get("accept_shared_disk") is not True:
            raise ChaosError(check(fault)[0])
        return DiskPlan(first.service, first.project, mode, device, mount, first, tool=disk_hog.find_tool())
    rates = {key: int(float(fault.get(key) or RATE)) for key in ("read_bps", "write_bps")}
    changes = [_change(container, found[container.id][1], rates) for container in chosen]
    return DiskPlan(first.service, first.project, mode, device, mount, first, changes)


def _change(container: Container, device: str, rates: Mapping[str, int]) -> limits.LimitChange:
    cgroup = limits.cgroup_of("blkio", container)
    if cgroup.version == 1:
        names = {f"blkio.throttle.{key}_device": rate for key, rate in rates.items()}
        before = {name: cgroups.device_line(cgroup, name, device) for name in names}
        after = {name: f"{device} {rate}" for name, rate in names.items()}
        known = {name: int(before[name].split()[1]) or None for name in names}
    else:
        before = {"io.max": cgroups.device_line(cgroup, "io.max", device)}
        wanted = {"rbps": rates["read_bps"], "wbps": rates["write_bps"]}
        after = {
            "io.max": cgroups.device_limits(
                device, {key: str(rate) for key, rate in wanted.items()}, before["io.max"]
            )
        }
        had = dict(word.split("=", 1) for word in before["io.max"].split()[1:])
        names = wanted
        known = {key: None if had[key] == "max" else int(had[key]) for key in wanted}
    for name, rate in names.items():
        was = known[name]
        if was is not None and was <= rate:
            raise ChaosError(
                f"{container.name} is held to {was} bytes per second on {device} already ({name}); "
                f"{rate} would be no less."
            )
    return limits.LimitChange(container, "blkio", before, after, device)


def apply(change: DiskPlan, entry: Entry, scene: Scene) -> Applied:
    """Time fsyncs as they are, starve the disk, time them again."""
    run = scene.run
    cgroup = limits.cgroup_of("blkio", change.target)
    folder = disks.folder_for(change.target, change.mount, change.device, run.path)
    before = disks.time_fsyncs(cgroup, folder, _BEFORE, _PATIENCE_S)
    bytes_before, busy_before = disks.count_bytes(cgroup, change.device), disks.busy_s(change.device)
    with scene.instant():
        at = clock.read()
        for one in change.changes:
            limits.apply_change(one)
    if change.mode == "contention":
        _saturate(change, entry, run)
    within = clock.read() - at
    inside = _inside(cgroup, folder)
    _tell(run, entry.fault, "before", before)
    _tell(run, entry.fault, "begin", inside)
    facts = {
        "pids": [change.target.pid],
        "engine": f"cgroup v{cgroup.version}" if change.mode == "limit" else change.tool,
        "device": change.device,
        "fsync_before_s": find_median(before),
        "bytes_before": bytes_before,
        "busy_before_s": busy_before,
        "counted_at": at,
    }
    return Applied(at, [replace(_slower(change.mode, before, inside), name="slower")], facts, within)


def _saturate(change: DiskPlan, entry: Entry, run: RunDir) -> None:
    if disks.disk_of(run.path) != change.device:
        raise ChaosError(
            f"The run's folder {run.path} is not on disk {disks.name_disk(change.device)}, "
            "and no other disk is touched: set chaos_state_dir to a folder on it."
        )
    write_json(
        run.file(disk_hog.PARAMETERS),
        {
            "tool": change.tool,
            "until": entry.expires,
            "lock_folder": str(run.path.parent),
        },
    )
    processes.start_process(run, "contend")


def _inside(cgroup: Cgroup, folder: Path) -> list[float]:
    """Return the seconds of some fsyncs inside the limit, once what the kernel grants for a start is used up."""
    return disks.time_fsyncs(cgroup, folder, _CREDIT + _INSIDE, _PATIENCE_S)[-_INSIDE:]


def _tell(run: RunDir, fault: str, moment: str, seconds: Sequence[float]) -> None:
    run.write_event(
        timeline.MEASURED, fault=fault, name="fsync", moment=moment, value=find_median(seconds),
        trials=[round(one, 6) for one in seconds],
    )  # fmt: skip


def _slower(mode: str, before: Sequence[float], inside: Sequence[float]) -> Proof:
    """The system call's own time, by a process of ours in the service's cgroup."""
    was, now = find_median(before) or 0.0, find_median(inside) or 0.0
    ratio = now / was if was else 0.0
    wanted = SLOWER if mode == "limit" else 1.5
    value = f"{1000 * was:.2f} ms → {1000 * now:.1f} ms ({ratio:.0f} times)"
    return Proof("kernel", "fdatasync of 16 KiB inside the cgroup", value, clock.read(), ratio >= wanted)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read at the end of the window what passed to the disk in it, and how long an fsync takes."""
    container = scene.engine.inspect(entry.undo["target"])
    since = entry.applied_at or entry.planned_at
    if entry.undo["op"] == "contention":
        held = 1.0 if disk_hog.is_saturating(scene.run) else 0.0
    else:
        held = min(limits.share_in_force(one, since, scene.engine) for one in entry.undo["containers"])
    if container is None or not container.running or container.pid != entry.undo["pid"] or not entry.facts:
        gone = "limits were in force until the restart"
        return [Proof("kernel", gone, held, clock.read(), False, held, "passed")]
    cgroup = limits.cgroup_of("blkio", container)
    return [_passed(entry, cgroup, held, scene), _again(entry, container, cgroup, held, scene)]


def _passed(entry: Entry, cgroup: Cgroup, held: float, scene: Scene) -> Proof:
    """What the kernel's counters say: bytes within the rate, or a disk that was busy."""
    device, facts = str(entry.undo["device"]), entry.facts
    seconds = clock.read() - float(facts["counted_at"])
    now = disks.count_bytes(cgroup, device)
    rates = {key: (now[key] - facts["bytes_before"][key]) / seconds for key in now}
    busy = (disks.busy_s(device) - float(facts["busy_before_s"])) / seconds
    scene.run.write_event(
        timeline.MEASURED, fault=entry.fault, name="disk_bytes_per_s", value=rates["write"], read=rates["read"],
        busy=busy, seconds=seconds,
    )  # fmt: skip
    if entry.undo["op"] == "contention":
        return Proof(
            "kernel", f"share of the window in which {disks.name_disk(device)} was busy", round(busy, 3), clock.read(),
            busy >= _BUSY, held, "passed",
        )  # fmt: skip
    rate = _write_rate(entry.undo["containers"][0]["after"])
    holds = 0 < rates["write"] <= rate * _TOLERANCE
    fact = f"bytes per second written on {disks.name_disk(device)}, of {rate} granted"
    return Proof("kernel", fact, int(rates["write"]), clock.read(), holds, held, "passed")


def _write_rate(after: Mapping[str, str]) -> int:
    """Return the bytes per second a journaled limit grants for writing."""
    if "io.max" in after:
        return int(dict(word.split("=", 1) for word in after["io.max"].split()[1:])["wbps"])
    return int(after["blkio.throttle.write_bps_device"].split()[1])


def _again(entry: Entry, container: Container, cgroup: Cgroup, held: float, scene: Scene) -> Proof:
    mount = disks.find_volume(container, entry.undo["path"])
    folder = disks.folder_for(container, mount, entry.undo["device"], scene.run.path)
    inside = _inside(cgroup, folder)
    _tell(scene.run, entry.fault, "end", inside)
    found = _slower(entry.undo["op"], [float(entry.facts["fsync_before_s"])], inside)
    return Proof(found.source, f"{found.fact} at the end", found.value, found.t, found.holds, held)


def undo(entry: Entry, scene: Scene) -> str:
    """Write the limits back, or end what saturates the disk; say how."""
    wanted = entry.undo
    if wanted["op"] == "contention":
        was = disk_hog.end_saturation(scene.run)
        return "the tool was ended and its files removed" if was else "the tool had ended already"
    return "; ".join(
        limits.restore_limits(one, wanted["project"], wanted["service"], scene.engine)
        for one in wanted["containers"]
    )
