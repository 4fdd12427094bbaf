# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as the spans of a trace: the run, its hosts, their phases and faults. From the record alone, pure.

Names and attributes are told of no library: ``otlp`` turns them into OpenTelemetry's spans.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ....module_utils.common.shapes import Recorded, is_number
from ...record.clocks import align_clocks
from ...words import parse_time
from ..page.words import harmless_text

Attribute = str | bool | int | float

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: Outcomes that a viewer of traces shows as errors.
_BAD = ("failed", "invalid", "aborted")


@dataclass(frozen=True)
class SpanOutline:
    """One span. ``key`` names it within its run, ``parent`` is the key of the span above it, "" for the run's own.

    Times are nanoseconds of the epoch. ``error`` says why the span counts as one that went wrong, "" if it does not.
    """

    key: str
    parent: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""


def outline_run(record: Recorded) -> list[SpanOutline]:
    """Return the spans of a finished run, each after the one above it.

    The hosts of a fleet stand at the controller's time, one host alone at its own, as on the page.
    """
    record = align_clocks(record)
    outcome = str(record["outcome"])
    run = SpanOutline(
        key="run",
        parent="",
        name=f"chaos {record['experiment']['number']:02d} {harmless_text(record['experiment']['title'])}",
        start_ns=to_nanoseconds(record["started_at"]),
        end_ns=to_nanoseconds(record["ended_at"]),
        attributes=_stated(
            {
                "chaos.run.id": record["run_id"],
                "chaos.experiment.number": record["experiment"]["number"],
                "chaos.experiment.name": record["experiment"]["name"],
                "chaos.outcome": outcome,
                **_verdicts(record),
            }
        ),
        error=f"The run ended {outcome}." if outcome in _BAD else "",
    )
    return [
        run,
        *(
            span
            for number, host in enumerate(record["hosts"], 1)
            for span in _outline_host(run, number, host)
        ),
    ]


def _outline_host(run: SpanOutline, number: int, host: Recorded) -> Iterator[SpanOutline]:
    """Yield a host's span, which reaches from its first to its last instant, and those under it."""
    key, name = f"host {number}", harmless_text(host["host"])
    below = [*_outline_phases(key, name, host), *_outline_faults(key, name, host, run.end_ns)]
    outcome = str(host["outcome"])
    yield SpanOutline(
        key=key,
        parent=run.key,
        name=f"host {name}",
        start_ns=min((one.start_ns for one in below), default=run.start_ns),
        end_ns=max((one.end_ns for one in below), default=run.end_ns),
        attributes=_stated(
            {
                "host.name": name,
                "chaos.wave": host["wave"],
                "chaos.outcome": outcome,
                **_verdicts(host),
                **{f"chaos.orders.{name_}": count for name_, count in host["ledger"].items()},
                "chaos.recovery_s": host["questions"]["recovery_s"],
            }
        ),
        error=f"The host's run ended {outcome}." if outcome in _BAD else "",
    )
    yield from below


def _outline_phases(parent: str, name: str, host: Recorded) -> Iterator[SpanOutline]:
    for index, phase in enumerate(host["phases"], 1):
        yield SpanOutline(
            key=f"{parent} phase {index}",
            parent=parent,
            name=f"phase {_name_phase(phase)}",
            start_ns=to_nanoseconds(phase["started_at"]),
            end_ns=to_nanoseconds(phase["ended_at"]),
            attributes=_stated(
                {
                    "host.name": name,
                    "chaos.phase.id": phase["id"],
                    "chaos.fault.id": phase["fault"],
                    "chaos.phase.requests": phase["requests"],
                    "chaos.phase.errors": phase["errors"],
                    **{f"chaos.phase.latency_ms.{key}": value for key, value in phase["latency_ms"].items()},
                }
            ),
        )


def _name_phase(phase: Recorded) -> str:
    """Return what a phase is called: with its fault, where its own name does not say so."""
    name, fault = harmless_text(phase["id"]), harmless_text(phase["fault"] or "")
    return name if fault in name else f"{name} of {fault}"


def _outline_faults(parent: str, name: str, host: Recorded, run_end_ns: int) -> Iterator[SpanOutline]:
    """Yield the faults that were injected; one that was not undone lasts until the run's end, and is an error."""
    for index, fault in enumerate(host["faults"], 1):
        if fault["injected_at"] is None:
            continue
        start, undone = to_nanoseconds(fault["injected_at"]), fault["undone_at"]
        yield SpanOutline(
            key=f"{parent} fault {index}",
            parent=parent,
            name=f"fault {harmless_text(fault['id'])}",
            start_ns=start,
            end_ns=to_nanoseconds(undone) if undone else max(start, run_end_ns),
            attributes=_stated(
                {
                    "host.name": name,
                    "chaos.fault.id": fault["id"],
                    "chaos.fault.kind": fault["kind"],
                    "chaos.fault.target": fault["target"],
                    "chaos.fault.engine": fault["engine"],
                    "chaos.fault.undone": bool(undone),
                    "chaos.fault.undone_by": fault["undone_by"],
                }
            ),
            error="" if undone else "The fault was not undone while the run was on.",
        )


def _verdicts(of: Recorded) -> dict[str, object]:
    return {f"chaos.verdict.{name}": verdict for name, verdict in of["verdicts"].items()}


def _stated(attributes: Mapping[str, object]) -> dict[str, Attribute]:
    """Return attributes without those that were not measured; text of somebody else's is made harmless."""
    return {
        key: value if isinstance(value, bool) or is_number(value) else harmless_text(value)
        for key, value in attributes.items()
        if value is not None
    }


def to_nanoseconds(at: str) -> int:
    """Return an ISO 8601 time as nanoseconds of the epoch, with no digit of a microsecond lost to a float."""
    passed = parse_time(at) - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


def trace_id(run_id: str) -> int:
    """Return the 128 bits that name a run's trace: the same each time, so that whoever knows the run finds it."""
    return _take_bits(f"trace {run_id}", 16)


def span_id(run_id: str, key: str) -> int:
    """Return the 64 bits that name one span of a run."""
    return _take_bits(f"span {run_id} {key}", 8)


def _take_bits(text: str, size: int) -> int:
    # 0 names nothing. Source: W3C Trace Context, 3.2.2.3.
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:size], "big") or 1
