# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the host is used, and by whom: pressure, processors, processes. What a kernel does not tell is None.

Sources: proc(5); the kernel's Documentation/accounting/psi.rst and scheduler/sched-stats.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import ChaosError
from .cgroups import PROC, Cgroup

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PRESSURES = ("cpu", "io", "memory")
#: The place of ``run_delay`` (nanoseconds that runnable threads waited) in a line of /proc/schedstat.
_RUN_DELAY = 8
_NS = 1e9


@dataclass(frozen=True)
class Processors:
    """Processor seconds of the whole host since boot: at work (interrupts included), and taken by the hypervisor."""

    busy: float
    steal: float


def read_stalled(what: str, proc: Path = PROC) -> float | None:
    """Return for how long in all (s) at least one task has waited for ``what`` (cpu, io or memory)."""
    try:
        lines = (proc / "pressure" / what).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        kind, *pairs = line.split()
        total = dict(pair.split("=", 1) for pair in pairs if "=" in pair).get("total", "")
        if kind == "some" and total.isdigit():
            return int(total) / 1e6
    return None


def read_waited(proc: Path = PROC) -> float | None:
    """Return for how long (s, summed over all threads) runnable threads have waited for a processor."""
    try:
        lines = (proc / "schedstat").read_text().splitlines()
    except OSError:
        return None
    words = [line.split() for line in lines if line.startswith("cpu")]
    delays = [
        int(line[_RUN_DELAY]) for line in words if len(line) > _RUN_DELAY and line[_RUN_DELAY].isdigit()
    ]
    return sum(delays) / _NS if delays else None


def read_processors(proc: Path = PROC) -> Processors:
    """Return what the host's processors have done since boot. Raises ChaosError when the kernel does not tell."""
    try:
        words = (proc / "stat").read_text().split("\n", 1)[0].split()
        user, nice, system, _idle, _waiting, irq, soft, steal = (int(word) for word in words[1:9])
    except (OSError, ValueError) as error:
        raise ChaosError(f"{proc / 'stat'} does not tell what the processors do ({error}).") from None
    return Processors((user + nice + system + irq + soft) / TICKS_PER_S, steal / TICKS_PER_S)


def of_cgroup(cgroup: Cgroup) -> float:
    """Return the processor seconds of a container (controller cpuacct). Raises ChaosError when it is gone."""
    if cgroup.version == 1:
        return cgroup.read_number("cpuacct.usage") / _NS
    return cgroup.read_table("cpu.stat").get("usage_usec", 0) / 1e6


def of_process(pid: int, proc: Path = PROC) -> tuple[str, float] | None:
    """Return command and processor seconds of a process, those of its children that it has waited for left out."""
    try:
        # a plain path: this is read of every process of a host
        with open(f"{proc}/{pid}/stat", errors="replace") as stream:
            stat = stream.read()
    except OSError:
        return None
    name, rest = stat[stat.find("(") + 1 : stat.rfind(")")], stat[stat.rfind(")") + 2 :].split()
    return name, (int(rest[11]) + int(rest[12])) / TICKS_PER_S


def parent_of(pid: int, proc: Path = PROC) -> int:
    """Return the process that started a process, 0 if either is gone (proc(5), stat field 4)."""
    try:
        with open(f"{proc}/{pid}/stat", errors="replace") as stream:
            stat = stream.read()
    except OSError:
        return 0
    return int(stat[stat.rfind(")") + 2 :].split()[1])


def list_processes(proc: Path = PROC) -> Iterable[int]:
    """Yield the number of every process there is."""
    for name in os.listdir(proc):
        if name.isdigit():
            yield int(name)


def cgroup_of(pid: int, proc: Path = PROC) -> str:
    """Return the cgroup of a process as the kernel names it (that of the cpuacct or the only hierarchy), "" if none."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    found = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    best = [path for _n, names, path in found if "cpuacct" in names.split(",") or not names]
    return best[0] if best else ""


def command_line(pid: int, proc: Path = PROC) -> str:
    """Return the words a process was started with, "" for a thread of the kernel or one that is gone."""
    try:
        with (proc / str(pid) / "cmdline").open("rb") as stream:
            return stream.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
