# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer of kernel events: attaches the programs, proves that it sees, writes what it sees.

Runs as ``chaos.pyz capture <run folder>`` under the system's Python, with bcc and the standard library alone.
Writes bpf.jsonl (one event a line), histograms.jsonl (what the kernel kept, by phase of the run) and capture.json
(what the capture is worth, and what the kernel counted). What comes faster than it may be followed goes to a spool
as it is (:mod:`.spool`). Without bcc, root or tracepoints it says so and ends with 0: the run goes on without the
kernel's evidence.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from ..common import clock
from ..common.json_files import write_json
from ..common.jsonl import Writer
from ..common.shapes import Line
from ..host import docker_socket
from ..run import timeline
from ..run.folder import NO_CAPTURE, RunDir
from ..run.lifespan import Lifespan
from ..run.specification import Specification
from . import attribution, histograms, loader, positive_control, sources, spool
from .attribution import Unresolved
from .events import EventReader, OwnConnect
from .program import Program
from .programs.registry import PROGRAMS
from .ring import split

_TICK_S = 0.05
_SCAN_S = 0.5
_STATUS_S = 2.0
#: So often it looks once more when it is told to stop.
_LAST_ROUNDS = 3
_CONTROL_S = 2.0
#: A record whose container the engine has not named by then is given up, and counted.
_RESOLVE_S = 10.0
#: So many bytes of records a second are turned into events as they come, some 2,000; what exceeds it is only carried
#: to disk. Saved up while nothing happens, for two seconds of it.
LIVE_BYTES_S = 200_000
_NETNS_BIT = 1 << 62


def main(run: RunDir) -> int:
    """Capture until told to stop; returns the exit code, 0 also where nothing can be captured."""
    life = Lifespan(run)
    status = {**NO_CAPTURE, "cpu_s": 0.0}
    try:
        tracer = loader.load_programs(
            choose_programs(run.spec), build_settings(run.spec), run.file("headers")
        )
    except (loader.Absent, loader.LoadError) as error:
        status.update(status="absent" if isinstance(error, loader.Absent) else "failed", reason=str(error))
        write_json(run.file("capture.json"), {**status, "cpu_s": _cpu_s()})
        run.log("warn", f"No kernel events: {error}", "capture")
        run.write_event(
            timeline.OBSERVER_STOPPED, command="capture"
        )  # an end in order, not a death to warn of
        run.register_process("capture")
        return 0
    try:
        return Capture(run, life, tracer, status).run()
    finally:
        tracer.close()


def choose_programs(spec: Specification) -> list[Program]:
    """Return the programs a run asks for. Raises KeyError for one that does not exist."""
    return [PROGRAMS[name] for name in spec.capture.programs or PROGRAMS]


def build_settings(spec: Specification) -> sources.Settings:
    """Return how the programs are built for a run: its ports, and whether the host's own sockets are left out.

    ``capture.ring: false`` takes the transport of kernels before 5.8, on any.
    """
    host = os.stat("/proc/self/ns/net").st_ino
    pids = [item.pid for items in spec.containers.values() for item in items]
    shared = any(_netns(pid) == host for pid in pids if pid)
    ports = () if spec.capture.all_ports else tuple(map(int, spec.capture.ports))
    return sources.Settings(ports=ports, host_netns=0 if shared else host, ring=spec.capture.ring)


class Capture:
    """The observer's loop and its bookkeeping; ``status`` is what capture.json says."""

    def __init__(self, run: RunDir, life: Lifespan, tracer: loader.Tracer, status: dict[str, Any]) -> None:
        self._run = run
        self._life = life
        self._tracer = tracer
        self._status = status
        self._writer = Writer(run.file("bpf.jsonl"))
        ask = partial(docker_socket.list_containers, run.spec.project)
        self._scope = attribution.make_scope(
            run.spec, attribution.list_known(run.spec), ask, tracer.cgroup_name
        )
        self._reader = EventReader(tracer.programs, self._scope.owner, self._scope.victim)
        self._spool = spool.Spool(run)
        self._allowance, self._allowed_at = float(LIVE_BYTES_S), clock.read()
        self._histograms = self._books()
        self._control: positive_control.ControlConnect | None = None
        self._control_seen_at: float | None = None
        self._waiting: list[tuple[float, bytes]] = []
        self._written = 0
        self._counts: Counter[str] = Counter()
        self._scanned = self._told = 0.0

    def run(self) -> int:
        """Prove that we see, then write what we see until told to stop."""
        self._status.update(
            status="attached",
            programs=[program.name for program in self._tracer.programs],
            transport="ring buffer" if self._tracer.ring else "perf buffers",
            attribution="cgroup" if self._tracer.use_btf else "pid",
        )
        if self._tracer.mounted:
            said = "tracefs is not mounted on this host; it was for a moment, for the capture alone, and is gone again"
            self._run.log("info", said, "capture")
        for name, why in self._tracer.lacking.items():
            self._run.log("warn", f"The BPF program {name} does not run here: {why}", "capture")
        self._tell()
        self._scope.scan()
        self._prove()
        self._run.register_process("capture")
        try:
            while not self._life.stopping:
                time.sleep(_TICK_S)
                self.step()
            # a piece of a storm is taken up to where it was a tick ago, and CPUs overtake each other
            for _round in range(_LAST_ROUNDS):
                self.step()
                time.sleep(_TICK_S)
        except Exception as error:
            self._status.update(
                status="stopped", reason=f"The capture broke off: {type(error).__name__}: {error}."
            )
            self._run.log("fail", str(self._status["reason"]), "capture")
            raise
        finally:
            if self._control is not None:
                self._control.end()
            if self._histograms is not None:
                self._histograms.close()
            self._tell()
            self._writer.close()
        return 0

    def step(self) -> None:
        """Take the kernel's records, write the events that are ours, keep the books."""
        # Kernel times are CLOCK_MONOTONIC; the difference grows only while the machine sleeps.
        offset = clock.read() - time.monotonic()
        piece, now = self._tracer.take_records(), clock.read()
        records = split(self._tracer.take_rare())
        if self._affords(len(piece), now):
            records += split(piece)
        else:
            self._spool.add(piece, offset)
        # Records of several CPUs may overtake each other.
        self._write(self._events(sorted(records, key=loader.time_of), offset))
        if now - self._scanned >= _SCAN_S:
            self._scanned = now
            self._scope.scan()
            if self._control is not None:
                self._control.reap()
        if self._histograms is not None:
            self._histograms.step(self._life.marks())
        if now - self._told >= _STATUS_S:
            self._tell()

    def _books(self) -> histograms.Histograms | None:
        """Return the books of what the kernel keeps, None where no program keeps anything."""
        series = {
            number: (program.name, one)
            for program in self._tracer.programs
            for number, one in program.series.items()
        }
        if not series:
            return None
        peers = {int(port): name for port, name in self._run.spec.capture.ports.items()}
        writer = Writer(self._run.file("histograms.jsonl"))
        return histograms.Histograms(self._tracer, self._scope, series, writer.write, peers)

    def _prove(self) -> None:
        """Make the positive control and wait until it was seen, two seconds at most."""
        what = positive_control.choose_connect(self._run.spec)
        names = ", ".join(program.name for program in self._tracer.programs)
        if what is None or "tcp" not in self._status["programs"]:
            said = f"BPF attached ({names}), without a connect of our own to prove that it sees"
            self._run.log("warn", said, "capture")
            return
        service, address, port = what
        begun = clock.read()
        try:
            pids = self._scope.living_pids(service) or _spec_pids(self._run.spec, service)
            if not pids:
                raise OSError(f"{service} has no running process")
            self._control = positive_control.start_connect(pids[0], address, port)
            self._reader.control = OwnConnect(self._control.pid, self._scope.first_container(service))
            while self._control_seen_at is None and clock.read() - begun < _CONTROL_S:
                time.sleep(_TICK_S / 5)
                self.step()
        except OSError as error:
            self._run.log("warn", f"The capture's own connect could not be made: {error}.", "capture")
        seen = self._control_seen_at is not None
        self._status["positive_control"] = seen
        end = f"{service} to {address}:{port}"
        if seen:
            self._run.log("ok", f"BPF attached ({names}); our own connect from {end} was seen", "capture")
        else:
            self._run.log(
                "fail", f"BPF attached ({names}), but our own connect from {end} was not seen", "capture"
            )
        self._tell()

    def _affords(self, size: int, now: float) -> bool:
        """Return whether so many bytes of records may be turned into events now, and spend them if so."""
        most = 2 * LIVE_BYTES_S
        self._allowance = min(most, self._allowance + (now - self._allowed_at) * LIVE_BYTES_S)
        self._allowed_at = now
        affordable = size <= self._allowance
        self._allowance -= size if affordable else 0
        return affordable

    def _events(self, records: list[bytes], offset: float) -> list[Line]:
        now = clock.read()
        waiting, self._waiting = self._waiting, []
        entries = [*waiting, *((now, record) for record in records)]
        found = []
        for came, record in entries:
            event = self._reader.read(record, offset)
            if isinstance(event, Unresolved):
                if now - came < _RESOLVE_S:
                    self._waiting.append((came, record))
                else:
                    self._counts["unattributed"] += 1
            elif event is not None:
                found.append(event)
        return found

    def _write(self, events: list[Line]) -> None:
        if events:
            self._writer.write(*events)
        for event in events:
            if not event["control"]:
                self._counts["written"] += 1
            elif event["event"].startswith("CONN_") and self._control_seen_at is None:
                self._control_seen_at = clock.read()

    def _told_totals(self, totals: Iterable[loader.KernelTotal]) -> list[dict[str, Any]]:
        """Return how often the kernel saw what of whom, first and last when (boottime)."""
        names = {kind: name for program in self._tracer.programs for kind, name in program.kinds.items()}
        offset = clock.read() - time.monotonic()
        found = []
        for total in totals:
            if total.owner & _NETNS_BIT:
                owner = self._scope.owner(0, total.owner & 0xFFFFFFFF, 0)
            else:
                owner = self._scope.owner(0, 0, total.owner)
            if total.kind not in names or owner is None or isinstance(owner, Unresolved):
                continue
            found.append(
                {
                    "event": names[total.kind],
                    "service": owner.service,
                    "port": total.port or None,
                    "errno": total.error if total.error > 0 else None,
                    "count": total.count,
                    "first": round(total.first / 1e9 + offset, 6),
                    "last": round(total.last / 1e9 + offset, 6),
                }
            )
        return found

    def _tell(self) -> None:
        self._told = clock.read()
        counted_by_kernel = self._tracer.totals()
        totals = self._told_totals(counted_by_kernel)
        self._status.update(lost=self._tracer.count_lost(), cpu_s=_cpu_s(), until=self._told, totals=totals)
        counts = {name: self._counts[name] for name in ("written", "unattributed")}
        spooled = self._spool.bytes > 0
        counted = sum(total["count"] for total in totals) - self._status["lost"]
        self._status["events"] = max(self._counts["written"], counted if spooled else 0)
        counts["unwritten"] = self._status["events"] - self._counts["written"]
        if self._control is not None:
            self._status["control_pid"] = self._control.pid
        if spooled:
            owners = [total.owner for total in counted_by_kernel if not total.owner & _NETNS_BIT]
            write_json(self._run.file(spool.BOOK), self._scope.book(owners).to_data())
        if self._histograms is not None:
            counts.update(histogram_lines=self._histograms.lines, unkept=self._tracer.count_unkept())
        write_json(self._run.file("capture.json"), {**self._status, **counts})


def _cpu_s() -> float:
    """Seconds of CPU this process used so far, the compiler's included."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3)


def _spec_pids(spec: Specification, service: str) -> list[int]:
    return [item.pid for item in spec.containers.get(service, ()) if item.pid]


def _netns(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0
