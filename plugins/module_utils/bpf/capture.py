# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer of kernel events: attaches the programs, proves that it sees, writes what it sees.

Runs as ``chaos.pyz capture <run folder>`` under the system's Python, with bcc and the standard library alone.
Writes bpf.jsonl (one event a line), histograms.jsonl (what the kernel kept, by phase of the run) and capture.json
(what the capture is worth). Without bcc, root or tracepoints
it says so and ends with 0: the run goes on without the kernel's evidence.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from functools import partial
from typing import Any

from ..common import clock
from ..common.jsonl import Writer
from ..host import docker_socket
from ..run.folder import RunDir, write_json
from ..run.lifespan import Lifespan
from . import attribution, histograms, loader, positive_control, sources
from .attribution import Owner, Unresolved
from .program import HEAD, Decoder, Head, Program, text
from .programs.registry import PROGRAMS

_TICK_S = 0.05
_SCAN_S = 0.5
_STATUS_S = 2.0
_CONTROL_S = 2.0
#: A record whose container the engine has not named by then is given up, and counted.
_RESOLVE_S = 10.0
#: More events than this are counted and no longer written: the run's folder has its limit.
MOST_EVENTS = 100_000


def main(run: RunDir) -> int:
    """Capture until told to stop; returns the exit code, 0 also where nothing can be captured."""
    life = Lifespan(run)
    status: dict[str, Any] = {"status": "absent", "reason": None, "programs": [], "events": 0, "lost": 0}
    status.update(positive_control=None, cpu_s=0.0)
    try:
        tracer = loader.load(wanted(run.spec), settings(run.spec), run.file("headers"))
    except (loader.Absent, loader.LoadError) as error:
        status.update(status="absent" if isinstance(error, loader.Absent) else "failed", reason=str(error))
        write_json(run.file("capture.json"), {**status, "cpu_s": _cpu_s()})
        run.log("warn", f"No kernel events: {error}", "capture")
        run.timeline("observer_stopped", command="capture")  # an end in order, not a death to warn of
        run.ready("capture")
        return 0
    try:
        return Capture(run, life, tracer, status).keep()
    finally:
        tracer.close()


def wanted(spec: dict[str, Any]) -> list[Program]:
    """Return the programs a run asks for. Raises KeyError for one that does not exist."""
    return [PROGRAMS[str(name)] for name in spec["capture"].get("programs") or PROGRAMS]


def settings(spec: dict[str, Any]) -> sources.Settings:
    """Return how the programs are built for a run: its ports, and whether the host's own sockets are left out.

    ``capture.ring: false`` takes the transport of kernels before 5.8, on any.
    """
    host = os.stat("/proc/self/ns/net").st_ino
    pids = [item.get("pid") for items in (spec.get("containers") or {}).values() for item in items]
    shared = any(_netns(pid) == host for pid in pids if pid)
    ports = () if spec["capture"].get("all_ports") else tuple(map(int, spec["capture"].get("ports") or ()))
    ring = bool(spec["capture"].get("ring", True))
    return sources.Settings(ports=ports, host_netns=0 if shared else host, ring=ring)


class Capture:
    """The observer's loop and its bookkeeping; ``status`` is what capture.json says."""

    def __init__(self, run: RunDir, life: Lifespan, tracer: loader.Tracer, status: dict[str, Any]) -> None:
        self._run = run
        self._life = life
        self._tracer = tracer
        self._status = status
        self._writer = Writer(run.file("bpf.jsonl"))
        self._decoders: dict[int, Decoder] = {}
        self._by_others: frozenset[int] = frozenset()
        for program in tracer.programs:
            self._decoders.update(program.decoders)
            self._by_others |= program.by_others
        ask = partial(docker_socket.containers, str(run.spec.get("project", "")))
        self._scope = attribution.make(run.spec, docker_socket.of_spec(run.spec), ask, tracer.cgroup_name)
        self._histograms = self._books()
        self._control: positive_control.Control | None = None
        self._control_service = ""
        self._control_seen_at: float | None = None
        self._waiting: list[tuple[float, bytes]] = []
        self._written = 0
        self._counts: Counter[str] = Counter()
        self._scanned = self._told = 0.0

    def keep(self) -> int:
        """Prove that we see, then write what we see until told to stop."""
        self._status.update(
            status="attached",
            programs=[program.name for program in self._tracer.programs],
            transport="ring buffer" if self._tracer.settings.ring else "perf buffers",
            attribution="cgroup" if self._tracer.settings.use_btf else "pid",
        )
        if self._tracer.mounted:
            said = "tracefs is not mounted on this host; it was for a moment, for the capture alone, and is gone again"
            self._run.log("info", said, "capture")
        for name, why in self._tracer.lacking.items():
            self._run.log("warn", f"The BPF program {name} does not run here: {why}", "capture")
        self._tell()
        self._scope.scan()
        self._prove()
        self._run.ready("capture")
        try:
            while not self._life.stopping:
                time.sleep(_TICK_S)
                self.step()
            self.step()
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
        records = self._tracer.poll()
        self._write(self._events(records))
        now = clock.now()
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
        ports = self._run.spec["capture"].get("ports") or {}
        peers = {int(port): str(name) for port, name in dict(ports).items()}
        writer = Writer(self._run.file("histograms.jsonl"))
        return histograms.Histograms(self._tracer, self._scope, series, writer.write, peers)

    def _prove(self) -> None:
        """Make the positive control and wait until it was seen, two seconds at most."""
        what = positive_control.target(self._run.spec)
        names = ", ".join(program.name for program in self._tracer.programs)
        if what is None or "tcp" not in self._status["programs"]:
            said = f"BPF attached ({names}), without a connect of our own to prove that it sees"
            self._run.log("warn", said, "capture")
            return
        service, address, port = what
        begun = clock.now()
        try:
            pids = self._scope.pids(service) or _spec_pids(self._run.spec, service)
            if not pids:
                raise OSError(f"{service} has no running process")
            self._control_service = service
            self._control = positive_control.start(pids[0], address, port)
            while self._control_seen_at is None and clock.now() - begun < _CONTROL_S:
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

    def _events(self, records: list[bytes]) -> list[dict[str, Any]]:
        now = clock.now()
        waiting, self._waiting = self._waiting, []
        entries = [*waiting, *((now, record) for record in records)]
        # Kernel times are CLOCK_MONOTONIC; the difference grows only while the machine sleeps.
        offset = clock.now() - time.monotonic()
        found = []
        for came, record in entries:
            event = self._event(record, offset)
            if isinstance(event, Unresolved):
                if now - came < _RESOLVE_S:
                    self._waiting.append((came, record))
                else:
                    self._counts["unattributed"] += 1
            elif event is not None:
                found.append(event)
        return found

    def _event(self, record: bytes, offset: float) -> dict[str, Any] | Unresolved | None:
        """Return the event of a record, None if it is not the exchange's."""
        head = Head._make(HEAD.unpack_from(record))
        decoder = self._decoders.get(head.kind)
        if decoder is None:
            return None
        control = self._control is not None and head.pid == self._control.pid
        owner: Owner = self._scope.first(self._control_service)
        if head.kind in self._by_others:
            owner = self._scope.victim(head.pid, head.cgroup)
        elif not control:
            owner = self._scope.owner(head.pid, head.netns, head.cgroup)
        if isinstance(owner, Unresolved):
            return owner
        decoded = decoder(head, record) if owner is not None else None
        if owner is None or decoded is None:
            return None
        name, fields = decoded
        if control and name.startswith("CONN_") and self._control_seen_at is None:
            self._control_seen_at = clock.now()
        return {
            "t": round(head.at / 1e9 + offset, 6),
            "event": name,
            "pid": head.pid,
            "comm": text(head.comm),
            "service": owner.service,
            "container": owner.name,
            **fields,
            "control": control,
        }

    def _write(self, events: list[dict[str, Any]]) -> None:
        self._status["events"] += sum(not event["control"] for event in events)
        room = max(0, MOST_EVENTS - self._written)
        if events[:room]:
            self._writer.write(*events[:room])
            self._written += len(events[:room])
        if events[room:]:
            if not self._counts["unwritten"]:
                said = f"More than {MOST_EVENTS} kernel events: the rest is counted, not written"
                self._run.log("warn", said, "capture")
            self._counts["unwritten"] += len(events[room:])

    def _tell(self) -> None:
        self._told = clock.now()
        self._status.update(lost=self._tracer.lost(), cpu_s=_cpu_s(), until=self._told)
        counts = {name: self._counts[name] for name in ("unwritten", "unattributed")}
        if self._histograms is not None:
            counts.update(histogram_lines=self._histograms.lines, unkept=self._tracer.unkept())
        write_json(self._run.file("capture.json"), {**self._status, **counts})


def _cpu_s() -> float:
    """Seconds of CPU this process used so far, compiling included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round(usage.ru_utime + usage.ru_stime, 3)


def _spec_pids(spec: dict[str, Any], service: str) -> list[int]:
    return [int(item["pid"]) for item in (spec.get("containers") or {}).get(service) or [] if item.get("pid")]


def _netns(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0
