# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run left behind, as data: the raw files read once, so that every judgement is a pure function of them.

``load`` is the only place of the judging code that touches the disk. A folder of raw files copied elsewhere
loads the same, so a recorded run can be judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ..common.clock import Anchor
from ..common.errors import ChaosError
from ..common.jsonl import iterate_lines, pause_collector, read_lines
from ..common.shapes import Line, is_instant, is_whole
from ..exchange import rush
from ..run.folder import NO_CAPTURE, RunDir
from ..run.specification import FaultSpec, Specification
from ..run.timeline import Timeline, well_formed
from . import documents

#: An answer of this status is our own load being turned away, and says nothing about the fault.
RATE_LIMITED = 429
#: An order of this kind was due but never sent, since every connection of the load was waiting.
DROPPED = "dropped"
#: Streams of the load: what stands for users and runs always, and what is added around a kill to show a short loss.
STEADY, SURGE = "steady", "burst"
#: The stream of a fault that consists of orders.
MARKET = rush.STREAM


class Order(NamedTuple):
    """One finished attempt to place an order. Times are boottime seconds: intended, sent, answered or given up."""

    n: int
    stream: str
    at: float
    sent: float
    end: float
    status: int
    ok: bool
    kind: str
    error: str | None
    #: Of a fault that consists of orders: which of its clients sent it, and by which way it came.
    client: int | None = None
    way: str = ""

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the intended send time, so that a stalled generator does not flatter the exchange."""
        return (self.end - self.at) * 1000

    @property
    def of_users(self) -> bool:
        """True for an order of the steady stream, which is what users would send; the others only look closer."""
        return self.stream == STEADY

    @property
    def surge(self) -> bool:
        """True for an order that stands for no user: of the surge, which shows a short loss, or of a fault itself."""
        return self.stream in (SURGE, MARKET)

    @property
    def telling(self) -> bool:
        """False when it says nothing of the exchange: our own rate was refused, or it was never sent at all."""
        return self.status != RATE_LIMITED and self.kind != DROPPED

    @property
    def failed(self) -> bool:
        """True when the client got no acknowledgement, for a reason other than our own rate."""
        return not self.ok and self.telling


class Sample(NamedTuple):
    """One finished probe. ``status`` is the HTTP status, 0 where there was no answer."""

    probe: str
    role: str
    at: float
    end: float
    ok: bool
    status: int
    kind: str
    detail: str | None


@dataclass(frozen=True, eq=False)
class Evidence:
    """All raw data of one run on one host. Lists are in time order; None says that the file is not there.

    Never changed once loaded, and equal to itself only: what is costly to derive from it is derived once.
    """

    spec: Specification
    anchor: Anchor
    orders: Sequence[Order] = ()
    probes: Sequence[Sample] = ()
    bpf: Sequence[Mapping[str, Any]] = ()
    histograms: Sequence[Mapping[str, Any]] = ()
    capture: Mapping[str, Any] = field(default_factory=NO_CAPTURE.copy)
    engine: Sequence[Mapping[str, Any]] = ()
    interference: Sequence[Mapping[str, Any]] = ()
    timeline: Timeline = field(default_factory=Timeline)
    journal: Sequence[Mapping[str, Any]] = ()
    ledger: Mapping[str, Any] | None = None
    restore: Mapping[str, Any] | None = None

    def fault_spec(self, fault: str) -> FaultSpec:
        """Return a fault as specified. Raises ChaosError naming the known ones."""
        found = self.spec.fault(fault)
        if found is None:
            known = ", ".join(one.id for one in self.spec.faults) or "none"
            raise ChaosError(f"The run has no fault {fault!r}; it has: {known}.")
        return found

    def service(self, role: str) -> str | None:
        """Return the compose service that plays a role (``api``, ``database``, …), None if nobody does."""
        return self.spec.services.get(role)

    @property
    def seeing(self) -> bool:
        """True when what the kernel capture reported is to be believed; what it did not report may still have been."""
        return (
            self.capture.get("status") in ("attached", "stopped")
            and self.capture.get("positive_control") is not False
        )

    @property
    def captured(self) -> bool:
        """True when the capture's silence means something too: it ran to the end, and its control was seen."""
        complete = bool(self.bpf) or not self.capture.get("events")
        return (
            self.capture.get("status") == "attached"
            and self.capture.get("positive_control") is True
            and complete
        )

    @cached_property
    def ended(self) -> float:
        """The boottime of the last thing that was observed."""
        return max(
            self.anchor.boottime,
            *(float(event["t"]) for event in self.timeline[-1:]),
            max((order.end for order in self.orders), default=0.0),
            max((sample.end for sample in self.probes), default=0.0),
        )


@pause_collector()
def load_evidence(run: RunDir) -> Evidence:
    """Read a run's folder. Raises ChaosError when it holds no run; other missing files are missing evidence."""
    return Evidence(
        spec=run.spec,
        anchor=run.anchor,
        orders=parse_orders(iterate_lines(run.file("load.jsonl"))),
        probes=parse_samples(iterate_lines(run.file("probes.jsonl"))),
        bpf=sort_by_time(read_lines(run.file("bpf.jsonl"))),
        histograms=sort_by_time(documents.read_histograms(run)),
        capture=documents.read_capture(run),
        engine=sort_by_time(read_lines(run.file("engine.jsonl"))),
        interference=sort_by_time(read_lines(run.file("interference.jsonl"))),
        timeline=Timeline(sort_by_time(well_formed(read_lines(run.file("timeline.jsonl"))))),
        journal=documents.read_journal(run),
        ledger=documents.read_ledger(run),
        restore=documents.read_restore(run),
    )


def parse_orders(lines: Iterable[Mapping[str, Any]]) -> list[Order]:
    """Turn the lines of load.jsonl into orders, by send time; lines that are none (the summary) are left out.

    A run may have a million of them on somebody's exchange host: none is held longer than it takes to read it, and
    words that come again and again are one object.
    """
    known: dict[str | None, str | None] = {}

    def one(word: str | None) -> Any:
        return known.setdefault(word, word)

    found = [
        Order(
            n=line.get("n") or 0,
            stream=SURGE if line.get("surge") else one(str(line.get("stream", STEADY))),
            at=float(line["at"]),
            sent=float(line["sent"]),
            end=float(line["end"]),
            status=line.get("status") or 0,
            ok=bool(line.get("ok")),
            kind=one(str(line.get("kind", "other"))),
            error=one(_words_of(line, "error")),
            client=line.get("client"),
            way=one(str(line.get("way") or "")),
        )
        for line in lines
        if _is_sound(line, ("at", "sent", "end"), ("n", "status"))
    ]
    found.sort(key=lambda order: order.sent)
    return found


def parse_samples(lines: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Turn the lines of probes.jsonl into samples, by send time."""
    found = [
        Sample(
            probe=str(line["probe"]),
            role=str(line.get("role", "")),
            at=float(line["at"]),
            end=float(line["end"]),
            ok=bool(line.get("ok")),
            status=line.get("status") or 0,
            kind=str(line.get("kind", "other")),
            detail=_words_of(line, "detail"),
        )
        for line in lines
        if "probe" in line and _is_sound(line, ("at", "end"), ("status",))
    ]
    return sorted(found, key=lambda sample: sample.at)


def _words_of(line: Mapping[str, Any], key: str) -> str | None:
    return None if line.get(key) is None else str(line[key])


def sort_by_time(lines: Sequence[Line]) -> list[Line]:
    """Return the lines that have an instant, in time order."""
    return sorted((line for line in lines if is_instant(line.get("t"))), key=lambda line: float(line["t"]))


def _is_sound(line: Mapping[str, Any], instants: Sequence[str], wholes: Sequence[str]) -> bool:
    """Return whether a line has its instants, and whole numbers where it has any: a damaged one is no sample."""
    return all(is_instant(line.get(key)) for key in instants) and all(
        line.get(key) is None or is_whole(line[key]) for key in wholes
    )
