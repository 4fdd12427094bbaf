# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers read once at each boundary of a run's phases: transactions of the database, keys of the cache, counters.

A thread of the events observer reads them. Reading is dear (a process inside a container), so it is seldom, and never
in the moments that are measured: not within a second of a fault or of its undo, nor while a held fault is undone.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.schema import show_value
from ..evidence.phases import BASELINE
from ..exchange import external
from ..exchange.database import access_of_run, query_rows, store_of_run
from ..exchange.endpoints import Moved
from ..host.docker_engine import DockerEngine
from ..host.http_client import OPEN, Access, Client, compile_expression, shorten
from ..run import timeline
from ..run.folder import RunDir
from ..run.specification import FaultSpec, Gauge, Specification

#: Seconds after a fault, or its undo, in which nothing is read; and before the undo of a held one.
QUIET_S = 1.0
_BEFORE_S = 0.5
#: A reading that could not begin within this many seconds belongs to another state of the exchange.
_LATE_S = 2.0
_TIMEOUT_S = 2.0
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Agenda:
    """When gauges are due: (boottime, fault, moment). Pure.

    Moments: ``before`` (end of the baseline), ``begin`` and ``end`` of a fault's window, ``undone``, and ``steady``
    when steady state is back.
    """

    def __init__(self, faults: Iterable[FaultSpec]) -> None:
        """faults: those of the run's specification."""
        self._hold = {fault.id: fault.hold_s for fault in faults}
        self._due: list[tuple[float, str | None, str]] = []

    def take_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in new lines of the timeline."""
        for event in events:
            name, t = event["event"], float(event.get("t") or 0)
            fault = None if event.get("fault") is None else str(event["fault"])
            if name == timeline.PHASE_END and event.get("id") == BASELINE:
                self._due.append((t, None, "before"))
            elif name == timeline.FAULT_INJECTED and fault:
                self._due.append((t + QUIET_S, fault, "begin"))
                last = t + self._hold.get(fault, 0.0) - _BEFORE_S
                if last > t + 2 * QUIET_S:
                    self._due.append((last, fault, "end"))
            elif name == timeline.FAULT_UNDONE and fault and self._hold.get(fault):
                self._due.append((t + QUIET_S, fault, "undone"))
            elif name in (timeline.STEADY, timeline.NOT_STEADY):
                self._due.append((t, fault, "steady"))

    def pop_due(self, now: float) -> list[tuple[float, str | None, str]]:
        """Return what is due, and forget it."""
        found = sorted((one for one in self._due if one[0] <= now), key=lambda one: one[0])
        self._due = [one for one in self._due if one[0] > now]
        return found


class Gauges:
    """The gauges of a run (``gauges`` of its specification), read by a thread of their own."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._gauges = run.spec.gauges
        self._agenda = Agenda(run.spec.faults)
        self._waiting: queue.Queue[tuple[float, str | None, str]] = queue.Queue()
        if self._gauges:
            threading.Thread(target=self._follow, name="gauges", daemon=True).start()

    def take_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in new lines of the timeline and hand what is due to the reader; returns at once."""
        self._agenda.take_events(events)
        for due in self._agenda.pop_due(clock.read()):
            self._waiting.put(due)

    def _follow(self) -> None:
        engine = DockerEngine.connect_for(self._run, timeout=5)
        exchange = Asked(self._run.spec, store_of_run(self._run), access_of_run(self._run))
        moved = Moved(self._run)
        while True:
            due, fault, moment = self._waiting.get()
            if clock.read() - due > _LATE_S:
                continue
            moved.has_changed()
            for gauge in self._gauges:
                here = replace(gauge, url=moved.url_of(gauge.to_data())) if gauge.url else gauge
                for name, value, t, error in read_gauge(here, engine, exchange):
                    what = {"fault": fault, "name": name, "moment": moment, "value": value, "error": error}
                    with contextlib.suppress(
                        ChaosError
                    ):  # a full disk is the record's loss, not the run's end
                        self._run.write_event(timeline.MEASURED, t=t, **what)


@dataclass(frozen=True)
class Asked:
    """Whom gauges ask: the exchange as specified, its database with the password, its API as it lets us in."""

    spec: Specification
    database: Mapping[str, Any]
    access: Access = OPEN


def read_gauge(
    gauge: Gauge, engine: DockerEngine, exchange: Asked
) -> Iterator[tuple[str, float | None, float, str | None]]:
    """Read a gauge and yield (name, value, boottime, error) of each of its numbers; the value is None on an error.

    kind sql: ``query``, asked of the run's database, first cell of its answer. command: ``command`` in a container of
    ``service``, last number it prints. http: GET ``url``, a JMESPath expression for each name in ``values``.
    """
    names = list(gauge.values) if gauge.kind == "http" else [gauge.name]
    started = clock.read()
    try:
        found = _READ[gauge.kind](gauge, engine, exchange)
        error = None
    except ChaosError as problem:
        found, error = {}, str(problem)
    t = (started + clock.read()) / 2
    for name in names:
        value = found.get(name)
        yield name, value, t, error if value is None else None


def _sql(gauge: Gauge, engine: DockerEngine, exchange: Asked) -> dict[str, float]:
    answer = query_rows(engine, exchange.spec.project, exchange.database, gauge.query)
    return {gauge.name: _number(answer[0][0] if answer else "")}


def _command(gauge: Gauge, engine: DockerEngine, exchange: Asked) -> dict[str, float]:
    away = external.list_external(exchange.spec).get(gauge.service)
    if away:
        raise ChaosError(f"{away} has no container here to run {gauge.command[0]} in.")
    container = engine.container(exchange.spec.project, gauge.service)
    code, output = engine.execute(container.id, [str(word) for word in gauge.command])
    if code:
        said = f" and said {shorten(output)!r}" if output.strip() else ""
        raise ChaosError(f"{gauge.command[0]} in {container.name} ended with {code}{said}.")
    return {gauge.name: _number(output)}


def _http(gauge: Gauge, engine: DockerEngine, exchange: Asked) -> dict[str, float]:
    scheme, _colon, rest = gauge.url.partition("://")
    host, slash, path = rest.partition("/")
    reply = Client(f"{scheme}://{host}", timeout=_TIMEOUT_S, access=exchange.access).request(
        "GET", slash + path or "/"
    )
    body = reply.json()
    if body is None:
        raise ChaosError(f"{gauge.url}: {reply.kind or f'status {reply.status} without JSON'}.")
    found = {}
    for name, text in gauge.values.items():
        value = compile_expression(str(text), f"gauge {name}")(body)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[str(name)] = float(value)
    return found


def _number(text: str) -> float:
    found = _NUMBER.findall(text)
    if not found:
        raise ChaosError(f"There was no number in the answer: {shorten(text)!r}.")
    return float(found[-1])


_READ = {"sql": _sql, "command": _command, "http": _http}


def find_problems(gauges: Iterable[Gauge]) -> list[str]:
    """Return one sentence for each gauge of a specification that could never be read; for use before a run."""
    needed = {"sql": ("name", "query"), "command": ("name", "service", "command"), "http": ("values",)}
    found = []
    for number, gauge in enumerate(gauges):
        kind = gauge.kind
        if kind not in needed:
            found.append(
                f"gauges[{number}]: kind must be one of {', '.join(needed)}; it is {show_value(kind)}."
            )
            continue
        found += [f"gauges[{number}] needs a {key}." for key in needed[kind] if not getattr(gauge, key)]
        if kind == "http" and not (gauge.url or gauge.service):
            found.append(f"gauges[{number}] needs a url, or a service and a port.")
        for name, text in gauge.values.items():
            try:
                compile_expression(str(text), f"gauge {name}")
            except ChaosError as error:
                found.append(str(error))
    return found
