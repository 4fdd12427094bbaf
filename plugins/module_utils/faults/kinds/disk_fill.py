# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full disk: the filesystem under a service's volume filled to its last block, held full, and given back.

Only where it holds nothing but that volume, unless the owner accepts others being hit; then a floor stays free for them
and for the host. The file that fills it has no name and goes with the process that holds it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common import clock
from ...common.errors import ChaosError, Unsupported
from ...common.json_files import write_json
from ...common.jsonl import read_lines
from ...common.schema import show_value
from ...common.shapes import FaultEntry, Line
from ...exchange import fault_entry
from ...host import disks
from ...host.docker_engine import Container
from ...run import processes
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import disk_filler

#: Megabytes that stay free on a filesystem that others use, too.
FLOOR_MB = 64
_MEGABYTE = 1024 * 1024
_FILL_S = 60.0
#: A sample speaks for so long at most, s.
_SPEAKS_S = 1.0
#: What a write of ours asks for, to see it refused: more than a full filesystem has between its blocks.
_TRIAL = 2 * disk_filler.FULL
#: What a log says when the kernel refused a write for want of space (errno 28).
_NO_SPACE = os.strerror(errno.ENOSPC)
KIND = Kind(
    arguments={
        "path": {"type": "str", "default": ""},
        "floor_mb": {"type": "int", "default": FLOOR_MB},
        "accept_shared_disk": {"type": "bool", "default": False},
    },
    required=(
        Required("full", "what is free on the filesystem (statvfs)"),
        Required("refused", "a write of the owner's on it"),
        Required("full_at_end", "what is free at the end of the window", at_end=True),
    ),
    waits_for_disk=True,
    needs_root="opens a file in another container's volume",
    process=Process(disk_filler.COMMAND, "mechanisms.disk_filler"),
)


@dataclass(frozen=True)
class FillPlan:
    """Which filesystem is filled, through ``folder`` of the host; ``floor``: bytes that stay free, ``owner``: a uid."""

    fault: str
    target: Container
    point: str
    folder: str
    device: int
    owner: int
    floor: int
    size: int

    @property
    def service(self) -> str:
        """Return the service whose volume it is."""
        return self.target.service

    def lines(self) -> list[str]:
        """Return the plan in words."""
        until = f"until {self.floor // _MEGABYTE} MB are free" if self.floor else "to its last block"
        where = f"{self.point} of {self.target.name} ({self.service}), {self.size // _MEGABYTE} MB"
        return [
            f"fill the filesystem under {where}, {until}, by a file without a name; undo: end the process that holds "
            "it, which gives every block back"
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "end_filler",
            "project": self.target.project,
            "service": self.service,
            "target": self.target.id,
            "point": self.point,
            "device": self.device,
            "floor": self.floor,
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    floor = FLOOR_MB if fault.get("floor_mb") is None else fault["floor_mb"]
    text = str(floor)
    if isinstance(floor, bool) or not (text.isascii() and text.isdecimal()) or int(text) < 1:
        return [
            f"The floor_mb of fault {fault.get('id')} is {show_value(floor)}; "
            "it must be a whole number of megabytes, 1 or more."
        ]
    return []


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """Make such a file of one block where it would be, and say what the filesystem holds."""
    planned = from_spec(fault, chosen, site)
    refused = _try_write(planned.folder, planned.owner, disk_filler.BLOCK)
    if refused:
        raise ChaosError(f"No file can be made in {planned.point} of {planned.target.name}: {refused}.")
    free = disk_filler.read_room(planned.folder).free // _MEGABYTE
    shared = f"; others use it, too, so {planned.floor // _MEGABYTE} MB stay free" if planned.floor else ""
    return f"ok: {free} of {planned.size // _MEGABYTE} MB are free{shared}"


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> FillPlan:
    """Plan it for the one running container.

    Raises Unsupported where the filesystem holds more than the volume and nobody accepted that.
    """
    if not chosen or not chosen[0].running or chosen[0].pid <= 0:
        what = f"{chosen[0].name} is {chosen[0].status}" if chosen else "there is no container"
        raise ChaosError(f"Only the disk of a running service can be filled; {what}.")
    container = chosen[0]
    path = str(fault.get("path") or "")
    mount = disks.find_volume(container, path)
    folder = f"/proc/{container.pid}/root{mount.point}"
    others = disks.find_others(container.pid, mount, path or disks.find_data_folder(container.pid))
    if others and not fault_entry.is_true(fault.get("accept_shared_disk")):
        raise Unsupported(
            f"The filesystem under {mount.point} of {container.name} holds more than this volume ({others}), and all "
            "of it would be full: give the volume a filesystem of its own, or set chaos_accept_shared_disk: true if "
            f"the others may be hit; then {_floor(fault) // _MEGABYTE} MB stay free."
        )
    status = os.stat(folder)
    return FillPlan(
        fault=str(fault["id"]),
        target=container,
        point=mount.point,
        folder=folder,
        device=status.st_dev,
        owner=status.st_uid,
        floor=_floor(fault) if others else 0,
        size=disk_filler.read_room(folder).size,
    )


def _floor(fault: FaultEntry) -> int:
    return int(FLOOR_MB if fault.get("floor_mb") is None else fault["floor_mb"]) * _MEGABYTE


def apply(change: FillPlan, entry: Entry, scene: Scene) -> Applied:
    """Start the process that fills it; see it full, and a write of the volume's owner refused."""
    run = scene.run
    if processes.living_process(run, disk_filler.COMMAND):
        raise ChaosError("Another fault of this run fills a disk already.")
    if os.stat(run.path).st_dev == change.device and not change.floor:
        raise ChaosError(
            f"The run's own folder {run.path} is on the filesystem that would be filled; set chaos_state_dir to "
            "another one."
        )
    run.file(disk_filler.SAMPLES).unlink(missing_ok=True)
    write_json(
        run.file(disk_filler.PARAMETERS),
        {
            "fault": change.fault,
            "at": None if scene.agreed is None else scene.agreed.at,
            "expires": entry.expires,
            "folder": change.folder,
            "device": change.device,
            "floor": change.floor,
        },
    )
    before = disk_filler.read_room(change.folder).free
    timeout = _FILL_S + (0.0 if scene.agreed is None else max(0.0, scene.agreed.seconds_left))
    ready = processes.start_process(run, disk_filler.COMMAND, timeout=timeout)
    free = disk_filler.read_room(change.folder).free
    fact = f"bytes free under {change.point} of {change.target.name}"
    proofs = [
        Proof("kernel", fact, f"{before} → {free}", clock.read(), _is_full(free, change.floor), name="full"),
        *_refusals(change),
    ]
    facts = {
        "engine": "a file without a name",
        "pids": [change.target.pid],
        "taken": ready["taken"],
        "free_before": before,
    }
    return Applied(float(ready["began"]), proofs, facts)


def _refusals(change: FillPlan) -> list[Proof]:
    """A write by the volume's owner; above a floor it is not refused, and the kernel's count must do."""
    said = _try_write(change.folder, change.owner, _TRIAL)
    fact = f"a write of {_TRIAL} bytes by the owner of {change.point}"
    if change.floor:
        room = said or "accepted: it fits under the floor, as meant"
        return [Proof("kernel", fact, room, clock.read(), not said, name="refused")]
    return [Proof("kernel", fact, said or "accepted", clock.read(), said == _NO_SPACE, name="refused")]


def _is_full(free: int, floor: int) -> bool:
    return free <= floor + disk_filler.FULL


def _try_write(folder: str, owner: int, size: int) -> str:
    """Allocate so many bytes in a file without a name, as the volume's owner; return why not, empty if it went well."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if os.geteuid() == 0 and owner:
                os.setgroups([])
                os.setresgid(owner, owner, owner)
                os.setresuid(owner, owner, owner)
            made = os.open(f"/proc/self/fd/{where}", os.O_TMPFILE | os.O_RDWR, 0o600)
            os.posix_fallocate(made, 0, size)
        except OSError as error:
            said = str(error.strerror)
        finally:
            os.write(writer, json.dumps(said).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return str(json.loads(text or '"the process that tried died"'))


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read how long it was full, from the samples, and whether it is now; and what the service's own log says of it."""
    now, wanted = clock.read(), entry.undo
    samples = read_lines(scene.run.file(disk_filler.SAMPLES))
    share = full_share(samples, entry.applied_at or entry.planned_at, now, int(wanted["floor"]))
    last = samples[-1] if samples else None
    said = int(last["free"]) if last is not None and now - float(last["t"]) <= _SPEAKS_S else None
    found = [
        Proof(
            "kernel",
            f"bytes free under {wanted['point']} at the end of the window",
            "nobody fills it any more" if said is None else said,
            now,
            said is not None and _is_full(said, int(wanted["floor"])),
            share,
            "full_at_end",
        )
    ]
    container = scene.engine.inspect(wanted["target"])
    if container is not None:
        since = scene.run.anchor.wall(entry.applied_at or entry.planned_at)
        lines = scene.engine.logs(container.id, tail="all", since=since).lines
        count = sum(_NO_SPACE in line for line in lines)
        fact = f"lines of {container.name}'s own log that say: {_NO_SPACE}"
        found.append(Proof("engine", fact, count, clock.read(), count > 0 or None))
    return found


def full_share(samples: Sequence[Line], start: float, end: float, floor: int) -> float:
    """Return the part (0..1) of [start, end] in which it was full; a sample counts until the next, a second at most."""
    if end <= start:
        return 0.0
    edges = [*(float(sample["t"]) for sample in samples), end]
    held = 0.0
    for sample, until in zip(samples, edges[1:]):
        if _is_full(int(sample["free"]), floor):
            # the first sample comes at once after the filesystem was full
            low = start if sample is samples[0] else float(sample["t"])
            held += max(0.0, min(until, float(sample["t"]) + _SPEAKS_S, end) - max(start, low))
    return min(1.0, held / (end - start))


def undo(entry: Entry, scene: Scene) -> str:
    """End the process that holds the file, and see that there is room again."""
    ended = processes.stop_process(scene.run, disk_filler.COMMAND)
    how = (
        "the process that held the file was ended"
        if ended
        else "the process that held the file had ended before"
    )
    container = scene.engine.inspect(entry.undo["target"])
    if container is None or container.pid <= 0:
        return f"{how}; every block it held is free"
    folder = Path(f"/proc/{container.pid}/root{entry.undo['point']}")
    try:
        if os.stat(folder).st_dev != entry.undo["device"]:
            return f"{how}; undone by replacement: {container.name} has another filesystem there"
        free = disk_filler.read_room(str(folder)).free
    except OSError:
        return f"{how}; every block it held is free"
    return f"{how}; {free // _MEGABYTE} MB are free"
