# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw samples of one host, kept small enough to draw: columns of numbers, not a dictionary a request.

A million requests take some 20 MB here. Nothing is judged: what a page draws beside the record is what was seen.
Times are seconds of the epoch, of the host's own clock; latencies milliseconds from the intended send time.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.common.jsonl import pause_collector
from ...module_utils.common.shapes import is_histogram, is_instant
from ...module_utils.evidence.evidence import DROPPED, RATE_LIMITED
from .raw_lines import read_lines
from .report_files import raw_path

#: Columns into which a run's length is divided for what is drawn as a band or as marks.
COLUMNS = 1000
#: The kinds of failed requests that are told apart; what comes after them is "other".
KINDS = 8
#: Lines of the engine's events and of interference that are kept: a run has tens of them.
KEPT = 20_000

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """The time that a page's timeline shows, epoch seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Return its length, never 0."""
        return max(self.end - self.start, 1e-3)

    def column(self, at: float, columns: int = COLUMNS) -> int:
        """Return the column an instant falls into; what lies outside falls into the first or the last."""
        return min(max(int((at - self.start) / self.seconds * columns), 0), columns - 1)


@dataclass
class Requests:
    """The orders of the load. ``state``: 0 answered well, else 1 + the index of its kind in ``kinds``."""

    at: array[float] = field(default_factory=lambda: array("d"))
    latency: array[float] = field(default_factory=lambda: array("f"))
    state: bytearray = field(default_factory=bytearray)
    kinds: list[str] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    untelling: int = 0

    def add(self, line: Line, offset: float) -> None:
        """Take a line of load.jsonl; one that says nothing of the exchange is only counted. Raises ValueError."""
        at, end = line["at"], line["end"]
        if not (is_instant(at) and is_instant(end)):
            raise ValueError("no instants")
        latency = (end - at) * 1000
        state = 0
        if not line["ok"]:
            kind = str(line.get("kind", "other"))
            if line.get("status") == RATE_LIMITED or kind == DROPPED:
                self.untelling += 1
                return
            state = 1 + self._kind(kind, line.get("error"))
        self.at.append(at + offset)
        self.latency.append(latency)
        self.state.append(state)

    def _kind(self, kind: str, error: object) -> int:
        if kind not in self.kinds:
            if len(self.kinds) >= KINDS:
                kind = "other"
            if kind not in self.kinds:
                self.kinds.append(kind)
        if error is not None:
            self.examples.setdefault(kind, str(error))
        return self.kinds.index(kind)

    @property
    def failed(self) -> int:
        """Return how many failed."""
        return len(self.state) - self.state.count(0)


@dataclass
class Band:
    """What the answers of one probe were, column by column, and when (exactly) they turned from good to bad."""

    role: str
    good: bytearray = field(default_factory=lambda: bytearray(COLUMNS))
    bad: bytearray = field(default_factory=lambda: bytearray(COLUMNS))
    answers: int = 0
    failed: int = 0
    turned: array[float] = field(default_factory=lambda: array("d"))
    was_good: bool = True
    detail: str = ""

    def add(self, column: int, at: float, line: Line) -> None:
        """Take a line of probes.jsonl."""
        self.answers += 1
        if line["ok"]:
            self.good[column] = 1
            self.was_good = True
            return
        self.bad[column] = 1
        self.failed += 1
        if self.was_good and len(self.turned) < KEPT:
            self.turned.append(at)
        self.was_good = False
        if not self.detail:
            self.detail = str(line.get("detail") or line.get("status") or line.get("kind") or "")


@dataclass
class Marks:
    """Kernel events of one kind by column: how many, and the first of them in words."""

    counts: Counter[int] = field(default_factory=Counter)
    first: dict[int, Line] = field(default_factory=dict)

    def add(self, column: int, line: Line) -> None:
        """Take a kernel event."""
        self.counts[column] += 1
        self.first.setdefault(column, line)


@dataclass
class Link:
    """Who connected to whom: tries by how they ended."""

    made: int = 0
    refused: int = 0
    retransmits: int = 0


@dataclass
class Samples:
    """All that is drawn of one host."""

    span: Span
    requests: Requests = field(default_factory=Requests)
    probes: dict[str, Band] = field(default_factory=dict)
    kernel: dict[str, Marks] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    engine: list[tuple[float, Line]] = field(default_factory=list)
    histograms: list[Line] = field(default_factory=list)
    interference: list[tuple[float, Line]] = field(default_factory=list)
    spec: Line = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


#: Raw samples that are drawn, in the order in which they are read: the specification first, since it names the
#: services behind the addresses that the kernel saw.
DRAWN = ("run", "engine", "load", "probes", "bpf", "histograms", "interference")
#: Not every run has these, and that is no loss.
OPTIONAL = ("histograms", "interference")
#: Raw samples that a page leads to and does not draw.
LED_TO = ("timeline", "journal", "sessions")


def read_samples(stem: str, host: str, span: Span) -> Samples:
    """Return the raw samples of a host beside ``stem``; what is not there or is damaged is named in ``missing``."""
    found = Samples(span)
    known: dict[str, str] = {}
    for raw in DRAWN:
        path = raw_path(stem, host, raw)
        lines = read_lines(path)
        anchor = _anchor(next(lines, {}))
        if anchor is None:
            if raw not in OPTIONAL:
                found.missing.append(raw)
            continue
        found.files[raw] = path
        with pause_collector():
            _TAKE[raw](found, lines, anchor, known)
    there = {raw: raw_path(stem, host, raw) for raw in LED_TO}
    found.files.update({raw: path for raw, path in there.items() if os.path.isfile(path)})
    return found


def _anchor(line: Line) -> float | None:
    """Return what a host's boottime lacks to UTC, None if this line does not tell."""
    anchor = _mapping(line.get("anchor"))
    real, boot = anchor.get("realtime"), anchor.get("boottime")
    return float(real - boot) if is_instant(real) and is_instant(boot) else None


def _take_run(found: Samples, lines: Iterable[Line], _offset: float, known: dict[str, str]) -> None:
    for line in lines:
        value = line.get("value")
        if line.get("document") == "spec" and isinstance(value, dict):
            found.spec = value
    for service, containers in _mapping(found.spec.get("containers")).items():
        for container in containers if isinstance(containers, list) else []:
            for address in _list(_mapping(container).get("addresses")):
                known[str(address)] = str(service)


def _take_engine(found: Samples, lines: Iterable[Line], offset: float, known: dict[str, str]) -> None:
    for at, line in _timed(lines, offset):
        if len(found.engine) < KEPT:
            found.engine.append((at, line))
        for address in _list(line.get("addresses")):
            known[str(address)] = str(line.get("service"))


def _take_load(found: Samples, lines: Iterable[Line], offset: float, _known: dict[str, str]) -> None:
    add = found.requests.add
    for line in lines:
        if "sent" in line and "end" in line:
            try:
                add(line, offset)
            except (KeyError, TypeError, ValueError):
                continue


def _take_probes(found: Samples, lines: Iterable[Line], offset: float, _known: dict[str, str]) -> None:
    span = found.span
    for line in lines:
        try:
            if not is_instant(line["end"]):
                continue
            at, name = line["end"] + offset, str(line["probe"])
            band = found.probes.get(name)
            if band is None:
                band = found.probes[name] = Band(str(line.get("role", "")))
            band.add(span.column(at), at, line)
        except (KeyError, TypeError, ValueError):
            continue


def _take_bpf(found: Samples, lines: Iterable[Line], offset: float, known: dict[str, str]) -> None:
    ports = {str(port): str(role) for port, role in _mapping(_capture(found.spec).get("ports")).items()}
    names = {role: str(name) for role, name in _mapping(found.spec.get("services")).items()}
    for at, line in _timed(lines, offset):
        if line.get("control"):
            continue
        event = _told(line)
        if event:
            found.kernel.setdefault(event, Marks()).add(found.span.column(at), {**line, "at": at})
        if line.get("event") not in _CONNECTS or line.get("passive"):
            continue
        role = ports.get(str(line.get("rport")))
        if role is None and line["event"] not in ("CONN_OK", "CONN_FAILED", "CONN_GAVE_UP"):
            continue  # a server's end of a connection: who opened it is told by the other end
        peer = known.get(str(line.get("raddr"))) or names.get(role or "", role)
        who = line.get("service")
        if not (who and peer) or who == peer:
            continue
        link = found.links.setdefault((str(who), str(peer)), Link())
        if line["event"] == "CONN_OK":
            link.made += 1
        elif line["event"] == "TCP_RETRANSMIT":
            link.retransmits += 1
        else:
            link.refused += 1


_CONNECTS = ("CONN_OK", "CONN_FAILED", "CONN_GAVE_UP", "CONN_RESET", "TCP_RETRANSMIT")
_SHOWN = ("OOM_KILL", "CONN_FAILED", "CONN_GAVE_UP", "CONN_RESET", "TCP_RETRANSMIT", "CONN_OK")


def _told(line: Line) -> str:
    """Return the lane of a kernel event, "" for one that would only fill the picture."""
    event = str(line.get("event"))
    if event == "PROC_EXIT":  # a process that ended well is no news
        return event if line.get("exit_signal") or line.get("main") else ""
    return event if event in _SHOWN else ""


def _take_histograms(found: Samples, lines: Iterable[Line], _offset: float, _known: dict[str, str]) -> None:
    found.histograms = [
        line
        for line, _number in zip(
            (each for each in lines if "series" in each and is_histogram(each)), range(KEPT)
        )
    ]


def _take_interference(found: Samples, lines: Iterable[Line], offset: float, _known: dict[str, str]) -> None:
    found.interference = [each for each, _number in zip(_timed(lines, offset), range(KEPT))]


def _timed(lines: Iterable[Line], offset: float) -> Iterable[tuple[float, Line]]:
    for line in lines:
        at = line.get("t")
        if is_instant(at):
            yield at + offset, line


def _capture(spec: Line) -> Line:
    return _mapping(spec.get("capture"))


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_TAKE = {
    "run": _take_run,
    "engine": _take_engine,
    "load": _take_load,
    "probes": _take_probes,
    "bpf": _take_bpf,
    "histograms": _take_histograms,
    "interference": _take_interference,
}
