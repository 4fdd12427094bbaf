# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes observer: asks each service on a fixed schedule whether it is well, from outside of it.

Runs as ``chaos.pyz probes <run folder>`` and writes ``probes.jsonl``. Every probe has a thread of its own, so one
that hangs delays no other. The edges of an outage are known as well as the samples are dense: one probe is so from
the announcement of a fault until the exchange is steady, the others while what they ask is bad.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from ...common import clock
from ...common.jsonl import Tail, Writer
from ...common.shapes import Line
from ...exchange.database import access_of_run
from ...exchange.endpoints import Moved
from ...host.docker_engine import DockerEngine
from ...host.http_client import Access
from ...host.priority import raise_priority
from ...run.folder import RunDir
from ...run.lifespan import Lifespan
from ...run.slow_host import observer_tick
from .addresses import ServiceAddresses, first_known
from .kinds import TIMEOUT_S, HttpProbe, MovingProbe, Probe, ProbeAnswer, TcpProbe
from .schedule import Pace, Trouble, next_slot
from .slow import SlowProbe

#: The timeline is looked at, and the samples are written, this often (s).
TICK_S = 0.03
#: ``ready`` waits at most this long (s) for the first sample of each probe.
READY_S = 3.0


class Sampler:
    """One probe on its schedule, in a thread."""

    def __init__(self, probe: Mapping[str, Any], asks: Probe, pace: Pace, out: deque[Line]) -> None:
        self._labels = {"probe": probe["name"], "role": probe.get("role") or probe["name"]}
        self._probe = probe
        self._asks = asks
        self._pace = pace
        self._out = out
        self._trouble = Trouble()
        self._wake = threading.Event()
        self._ended = False
        self.samples = 0
        self.thread = threading.Thread(target=self._run, name=str(probe["name"]), daemon=True)

    def restart_schedule(self) -> None:
        """The rate has changed: begin a new schedule now."""
        self._wake.set()

    def end(self) -> None:
        """Stop after the sample under way."""
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        origin = clock.read()
        while not self._ended:
            sample = self._asks.sample()
            self._out.append(self._line(sample))
            self.samples += 1
            self._trouble.take(sample.at, ok=sample.ok)
            now = clock.read()
            rate = self._pace.rate(self._probe, troubled=self._trouble.lasts(now))
            due = next_slot(origin, 1 / rate, now)
            if self._wake.wait(max(0.0, due - clock.read())):
                self._wake.clear()
                origin = clock.read()

    def _line(self, sample: ProbeAnswer) -> Line:
        return {
            **self._labels,
            "at": round(sample.at, 6),
            "end": round(sample.end, 6),
            "ok": sample.ok,
            "status": sample.status,
            "kind": sample.kind,
            "detail": sample.detail,
        }


def build_samplers(run: RunDir, pace: Pace, out: deque[Line]) -> tuple[list[Sampler], ServiceAddresses]:
    """Build a sampler for each of ``probes`` of a run's specification. Raises ChaosError on a bad one."""
    spec = run.spec
    probes = [probe.to_data() for probe in spec.probes]
    services = {str(probe["service"]) for probe in probes if _needs_lookup(probe)}
    engine = DockerEngine.connect_for(run, timeout=5) if services else None

    def lookup(service: str) -> str:
        return engine.container(spec.project, service).address if engine else ""

    addresses = ServiceAddresses(lookup, first_known(spec.containers), services)
    addresses.refresh(services)
    access = access_of_run(run)
    asks = [_kind(probe, addresses, Moved(run), access) for probe in probes]
    return [Sampler(probe, one, pace, out) for probe, one in zip(probes, asks)], addresses


def _needs_lookup(probe: Mapping[str, Any]) -> bool:
    return probe["kind"] == "tcp" and not probe.get("address")


def _kind(probe: Mapping[str, Any], addresses: ServiceAddresses, moved: Moved, access: Access) -> Probe:
    if probe["kind"] == "http":
        kind = SlowProbe if probe.get("slow_s") else HttpProbe
        make: Callable[[Mapping[str, Any]], Probe] = partial(kind, access=access)
        return MovingProbe(make, probe, moved) if probe.get("moves") else make(probe)
    if probe.get("address"):
        return TcpProbe(probe, lambda: str(probe["address"]), lambda: None)
    service = str(probe["service"])
    return TcpProbe(probe, lambda: addresses.get(service), lambda: addresses.report_lost(service))


def main(run: RunDir) -> int:
    """Sample until told to stop; then end after the samples under way, at most one time-out."""
    raise_priority()
    life = Lifespan(run)
    pace = Pace()
    out: deque[dict[str, Any]] = deque()
    probes, addresses = build_samplers(run, pace, out)
    writer = Writer(run.file("probes.jsonl"))
    stopped = threading.Event()
    addresses.start_thread(stopped.is_set)
    started = clock.read()
    for sampler in probes:
        sampler.thread.start()
    every = observer_tick(run.spec, TICK_S)
    ready = False
    engine = Tail(run.file("engine.jsonl"))
    while not life.stopping:
        addresses.take_events(engine.poll())
        if pace.take_events(life.marks()):
            for sampler in probes:
                sampler.restart_schedule()
        writer.write(*_take(out))
        if not ready and (all(sampler.samples for sampler in probes) or clock.read() - started >= READY_S):
            run.register_process("probes")
            ready = True
        time.sleep(every)
    stopped.set()
    for sampler in probes:
        sampler.end()
    until = clock.read() + max([probe.timeout_s or TIMEOUT_S for probe in run.spec.probes], default=0) + 0.5
    for sampler in probes:
        sampler.thread.join(max(0.0, until - clock.read()))
    writer.write(*_take(out))
    return 0


def _take(out: deque[Line]) -> list[Line]:
    lines = []
    with suppress(IndexError):
        while True:
            lines.append(out.popleft())
    return lines
