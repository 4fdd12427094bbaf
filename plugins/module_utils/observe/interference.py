# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interference observer: what the host does besides the experiment, ten times a second.

Runs as ``chaos.pyz interference <run folder>`` and writes ``interference.jsonl``, a line each 0.1 s::

    t             boottime, s
    psi_cpu, psi_io, psi_mem   share of the interval in which some task waited for it, 0 to 1; null: no PSI here
    waiting       threads that were ready and waited for a processor, on average; null: no schedstat here
    steal         cores that the hypervisor gave to others
    cpu_exchange  cores used by the project's containers and the engine, over the last half second, as the next two
    cpu_ours      cores used by this run: observers, watchdogs, capture, modules
    cpu_others    cores used by everybody else
    run_delay_ms  how late this very process was woken: so late others of ours may be, too
    top           {command, cgroup, cores} of the largest consumer among everybody else, once a second, else absent

The kernel counts a process's time in ticks of 10 ms, so half a second is as short as a share of a core can be told.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..common import bounds, clock
from ..common.errors import ChaosError
from ..common.json_files import read_json
from ..common.jsonl import Tail, Writer
from ..common.shapes import Line
from ..common.stats import round_or_none
from ..host import cgroups, usage
from ..host.cgroups import Cgroup
from ..host.priority import raise_priority
from ..run.folder import RunDir
from ..run.lifespan import Lifespan
from ..run.specification import Specification

PERIOD_S = 0.1
#: Samples in the stretch that processor shares are told of.
_STRETCH = 5
#: The largest consumer is looked for, and processes of ours that came are learned of, each so many samples.
_LOOK_EACH = 10
#: What a process of ours says in its command line: a runtime's archive, a module Ansible brought, a controller here.
_OURS = ("chaos.pyz", "AnsiballZ_", "ansible-playbook", "ansible playbook")
#: How the engine's own processes are called: it starts, stops and watches the containers.
_ENGINE = ("dockerd", "containerd", "docker-proxy", "runc")
_COMMAND_MAX, _CGROUP_MAX = 32, 200


@dataclass
class Exchange:
    """The project's containers: processor seconds they used since the observer began, across restarts."""

    known: dict[str, Cgroup] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    used: float = 0.0

    def learn(self, container_id: str, pid: int) -> None:
        """Take in a container that runs; one whose cgroup cannot be read counts as somebody else's."""
        try:
            self.known[container_id] = cgroups.find_cgroup("cpuacct", pid, container_id)
        except ChaosError:
            self.known.pop(container_id, None)

    def poll(self) -> float:
        """Return what all have used so far; a container that was started anew counts from 0 again."""
        for container_id, cgroup in self.known.items():
            try:
                now = usage.of_cgroup(cgroup)
            except ChaosError:
                self.seen[container_id] = 0.0
                continue
            before = self.seen.get(container_id, now)
            self.used += now - before if now >= before else now
            self.seen[container_id] = now
        return self.used

    def holds(self, path: str) -> bool:
        """Return whether a cgroup is one of theirs."""
        return any(container_id in path for container_id in self.known)


@dataclass
class Processes:
    """The host's processes: those of this run, and who else uses the most."""

    run: RunDir
    ours: set[int] = field(default_factory=lambda: {os.getpid()})
    used: float = 0.0
    engine: set[int] = field(default_factory=set)
    engine_used: float = 0.0
    _seen: dict[int, float] = field(default_factory=dict)
    _all: dict[int, float] = field(default_factory=dict)
    _strangers: dict[int, bool] = field(default_factory=dict)
    _looked: float = 0.0

    def poll(self) -> float:
        """Return what the processes of this run have used so far."""
        self.used += self._grown(self.ours)
        return self.used

    def poll_engine(self) -> float:
        """Return what the container engine has used so far: it works for the exchange, and for what befalls it."""
        self.engine_used += self._grown(self.engine)
        return self.engine_used

    def _grown(self, pids: set[int]) -> float:
        """Return what processes have used since the last look; those that are gone are dropped."""
        grown = 0.0
        for pid in list(pids):
            found = usage.of_process(pid)
            if found is None:
                pids.discard(pid)
                self._seen.pop(pid, None)
                continue
            grown += max(0.0, found[1] - self._seen.get(pid, 0.0))
            self._seen[pid] = found[1]
        return grown

    def meet(self, exchange: Exchange) -> None:
        """Learn whose the processes are that came since: a module of ours lives less than a second."""
        for pid in usage.list_processes():
            if pid not in self._strangers:
                found = usage.of_process(pid)
                if found is not None:
                    self._strangers[pid] = self._is_stranger(pid, exchange, *found)

    def look(self, exchange: Exchange, now: float) -> Line | None:
        """Look at every process once; return the largest consumer that is neither ours nor the exchange's."""
        seconds, self._looked = now - self._looked, now
        before, self._all = self._all, {}
        cores: dict[str, float] = {}
        largest: dict[str, tuple[float, int]] = {}
        for pid in usage.list_processes():
            found = usage.of_process(pid)
            if found is None:
                continue
            command, used = found
            self._all[pid] = used
            if pid not in self._strangers:
                self._strangers[pid] = self._is_stranger(pid, exchange, command, used)
            grown = used - before.get(pid, used if not before else 0.0)
            if grown <= 0 or not self._strangers[pid]:
                continue
            cores[command] = cores.get(command, 0.0) + grown / seconds
            largest[command] = max(largest.get(command, (0.0, 0)), (grown, pid))
        self._strangers = {pid: stranger for pid, stranger in self._strangers.items() if pid in self._all}
        if not before or not cores:
            return None
        command = max(cores, key=lambda name: cores[name])
        return {
            "command": bounds.fit_line(command, _COMMAND_MAX),
            "cgroup": bounds.fit_line(usage.cgroup_of(largest[command][1]), _CGROUP_MAX),
            "cores": round_or_none(cores[command]),
        }

    def _is_stranger(self, pid: int, exchange: Exchange, command: str, used: float) -> bool:
        line = usage.command_line(pid)
        if any(word in line for word in _OURS) or usage.parent_of(pid) in self.ours:
            known = self.ours
        elif command.startswith(_ENGINE):
            known = self.engine
        else:
            return not exchange.holds(usage.cgroup_of(pid))
        known.add(pid)
        # what it used before it was known is its own all the same
        self._seen.setdefault(pid, used if not self._all else 0.0)
        return False

    def registered(self) -> None:
        """Learn of the run's own long-lived processes."""
        for path in self.run.file("processes").glob("*.json"):
            entry = read_json(path) or {}
            if isinstance(entry.get("pid"), int):
                self.ours.add(entry["pid"])


@dataclass(frozen=True)
class HostCounters:
    """All counters at one instant, s; None where the kernel has none."""

    t: float
    stalls: tuple[float | None, ...]
    waited: float | None
    processors: usage.Processors
    exchange: float
    ours: float


def compare(readings: Sequence[HostCounters], late_s: float) -> Line:
    """Return the line for the last of at least two readings: shares since the one before, cores since the first."""
    first, before, last = readings[0], readings[-2], readings[-1]
    seconds, stretch = last.t - before.t, last.t - first.t
    busy = last.processors.busy - first.processors.busy
    exchange, ours = last.exchange - first.exchange, last.ours - first.ours
    stalls = [
        None if now is None or then is None else round_or_none(min(1.0, max(0.0, (now - then) / seconds)))
        for now, then in zip(last.stalls, before.stalls)
    ]
    waited = None if last.waited is None or before.waited is None else (last.waited - before.waited) / seconds
    return {
        "t": round(last.t, 6),
        **dict(zip(("psi_cpu", "psi_io", "psi_mem"), stalls)),
        "waiting": round_or_none(waited),
        "steal": round_or_none((last.processors.steal - first.processors.steal) / stretch),
        "cpu_exchange": round_or_none(exchange / stretch),
        "cpu_others": round_or_none(max(0.0, busy - exchange - ours) / stretch),
        "cpu_ours": round_or_none(ours / stretch),
        "run_delay_ms": round_or_none(late_s * 1000),
    }


def read(exchange: Exchange, ours: Processes) -> HostCounters:
    """Read every counter now."""
    return HostCounters(
        clock.read(),
        tuple(usage.read_stalled(what) for what in usage.PRESSURES),
        usage.read_waited(),
        usage.read_processors(),
        exchange.poll() + ours.poll_engine(),
        ours.poll(),
    )


def list_containers(spec: Specification) -> Iterable[tuple[str, int]]:
    """Yield (id, pid) of the containers that ran when the run was opened."""
    for entries in spec.containers.values():
        for entry in entries:
            if entry.id and entry.pid:
                yield entry.id, entry.pid


def main(run: RunDir) -> int:
    """Sample until told to stop."""
    raise_priority()
    life = Lifespan(run)
    writer = Writer(run.file("interference.jsonl"))
    exchange, ours = Exchange(), Processes(run)
    for container_id, pid in list_containers(run.spec):
        exchange.learn(container_id, pid)
    engine = Tail(run.file("engine.jsonl"))
    ours.registered()
    ours.look(exchange, clock.read())
    readings = deque([read(exchange, ours)], maxlen=_STRETCH + 1)
    run.register_process("interference")
    due, count = readings[-1].t, 0
    while not life.stopping:
        due += PERIOD_S
        _sleep_until(due)
        late = max(0.0, clock.read() - due)
        for event in engine.poll():
            if event.get("action") == "start" and event.get("pid"):
                exchange.learn(str(event["id"]), int(event["pid"]))
        ours.meet(exchange)
        readings.append(read(exchange, ours))
        line = compare(readings, late)
        count += 1
        if count % _LOOK_EACH == 0:
            ours.registered()
            top = ours.look(exchange, clock.read())
            line.update({"top": top} if top else {})
        writer.write(line)
        if clock.read() - due > 1:  # the host stood still: what was missed is no series of samples
            due = clock.read()
    return 0


def _sleep_until(due: float) -> None:
    """Wait on select(2), whose granularity is finer than what is measured with it."""
    select.select([], [], [], max(0.0, due - clock.read()))
