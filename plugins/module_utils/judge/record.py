# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's record of a run: everything a report shows, at most 64 KiB of it (files/record.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.shapes import Recorded
from ..common.stats import round_or_none
from ..evidence.evidence import Evidence
from ..evidence.phases import (
    Window,
    fault_windows,
    find_phases,
    find_placebo,
    journaled_undo,
    latency_percentiles,
    orders_within,
)
from ..evidence.specified import FaultSpec
from .capture import describe_capture
from .interference import measure_interference
from .open_questions import list_unanswered, phrase_questions
from .proofs.effect import judge_proofs
from .questions import answer_questions
from .verdicts import Judgement, judge_run

SCHEMA_VERSION = 1
#: A module's result stays under 64 KiB; what stands around the record needs some of it.
LARGEST = 60 * 1024
_TEXT_CHARS = 400
_LISTED = 100
_FEWEST = 10
_STEPS = ("", "preflight", "capture", "steady", "fault", "observe", "reconcile", "restore", "report")
CAPABILITIES: Mapping[str, Any] = {
    "docker": None,
    "compose": None,
    "bcc": None,
    "python": None,
    "cgroup": None,
    "root": False,
    "systemd": False,
    "trials": {},
}


def run_record(evidence: Evidence) -> Recorded:
    """Return the record of a run of which this host is the only one; the controller merges those of several."""
    host = host_record(evidence)
    started, ended = run_bounds(evidence)
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": evidence.spec.run_id,
        "experiment": {key: getattr(evidence.spec.experiment, key) for key in ("number", "name", "title")},
        "started_at": started,
        "ended_at": ended,
        "outcome": host["outcome"],
        "verdicts": host["verdicts"],
        "open_questions": host["open_questions"],
        "collection_version": evidence.spec.collection_version,
        "hosts": [host],
    }


def run_bounds(evidence: Evidence) -> tuple[str, str]:
    """Return when the run began and when the last of it was seen, ISO 8601."""
    return evidence.anchor.iso(evidence.anchor.boottime), evidence.anchor.iso(evidence.ended)


def host_record(evidence: Evidence) -> Recorded:
    """Judge the evidence and return the host's record."""
    judgement = judge_run(evidence)
    facts = evidence.spec.facts
    record: dict[str, Any] = {
        "host": evidence.spec.host,
        "wave": evidence.spec.wave,
        "kernel": str(facts.get("kernel") or "unknown"),
        "capabilities": {
            key: facts.get("capabilities", {}).get(key, value) for key, value in CAPABILITIES.items()
        },
        "clock": {key: facts.get("clock", {}).get(key) for key in ("offset_ms", "uncertainty_ms")},
        "outcome": judgement.outcome,
        "verdicts": judgement.verdicts,
        "open_questions": phrase_questions(list_unanswered(evidence)),
        "faults": told_faults(evidence),
        "phases": told_phases(evidence),
        "placebo": told_placebo(evidence),
        "load": told_load(evidence),
        "ledger": told_ledger(evidence),
        "findings": [finding.record() for finding in judgement.findings],
        "questions": answer_questions(evidence),
        "bpf": told_capture(evidence),
        "timeline": told_timeline(evidence),
        "leftovers": told_leftovers(judgement.leftovers),
        "notes": _notes(evidence, judgement),
    }
    if evidence.spec.filled:
        record["filled"] = [
            {"variable": name, "how": _cut(how)} for name, how in sorted(evidence.spec.filled.items())
        ]
    return fit_record(record)


def fit_record(record: Recorded, largest: int = LARGEST) -> Recorded:
    """Shorten the long lists of a host record until it is small enough, and say in its notes what was left out."""
    whole = {key: record[key] for key in ("leftovers", "timeline", "notes")}
    keep = max(_LISTED, *(len(items) for items in whole.values()))
    fitted = record
    while keep >= _FEWEST:
        fitted = {**record, **{key: _ends(items, keep) for key, items in whole.items()}}
        left_out = {
            key: len(items) - len(fitted[key])
            for key, items in whole.items()
            if len(items) > len(fitted[key])
        }
        fitted["notes"] = [
            *fitted["notes"],
            *(f"{n} {key} entries left out here." for key, n in left_out.items()),
        ]
        if len(json.dumps(fitted)) <= largest:
            break
        keep = keep * 3 // 4
    return fitted


def _ends(items: Sequence[Any], keep: int) -> list[Any]:
    """The first and the last of a list: what led to it, and how it ended."""
    if len(items) <= keep:
        return list(items)
    return [*items[: keep // 2], *items[len(items) - (keep - keep // 2) :]]


def told_faults(evidence: Evidence) -> list[Recorded]:
    """Return the faults as the record has them."""
    found = {window.id: window for window in fault_windows(evidence)}
    return [_fault(evidence, spec, found.get(spec.id)) for spec in evidence.spec.faults]


def _fault(evidence: Evidence, spec: FaultSpec, window: Window | None) -> Recorded:
    iso = evidence.anchor.iso
    known = [] if window is None else judge_proofs(evidence, window)
    if window is not None:
        undone, undone_by = window.undone, window.undone_by
    else:  # what was begun and never came into force, as when the host lost its power meanwhile
        line = journaled_undo(evidence, spec.id) or {}
        undone, undone_by = line.get("t"), line.get("by")
    return {
        "id": spec.id,
        "kind": spec.kind,
        "target": ", ".join(spec.services),
        "engine": window.mode if window else _text(spec.mode),
        "injected_at": None if window is None else evidence.anchor.exact(window.injected),
        "undone_at": None if undone is None else iso(float(undone)),
        "undone_by": undone_by,
        "proof": [
            {
                "source": proof.source,
                "fact": proof.fact,
                "value": _scalar(proof.value),
                "at": None if proof.t is None else iso(proof.t),
                "holds": proof.holds,
                **({"required": True} if proof.required else {}),
            }
            for proof in known
        ],
    }


def told_phases(evidence: Evidence) -> list[Recorded]:
    """Return the phases as the record has them."""
    found = []
    for phase in find_phases(evidence):
        orders = orders_within(evidence.orders, phase.start, phase.end)
        found.append(
            {
                "id": phase.id,
                "fault": phase.fault,
                "started_at": evidence.anchor.iso(phase.start),
                "ended_at": evidence.anchor.iso(phase.end),
                "requests": len(orders),
                "errors": sum(not order.ok for order in orders),
                "latency_ms": latency_percentiles(orders),
                "interference": measure_interference(evidence, phase.start, phase.end).record(),
            }
        )
    return found


def told_placebo(evidence: Evidence) -> Recorded | None:
    """What our load and observers did without a fault; None where nobody looked, or the run ended before."""
    phase = find_placebo(evidence)
    if phase is None:
        return None
    orders = [order for order in orders_within(evidence.orders, phase.start, phase.end) if not order.surge]
    said = [*evidence.timeline.placebo_ends, *evidence.timeline.strains]
    surge = evidence.timeline.surge_plans[-1:]
    return {
        "started_at": evidence.anchor.iso(phase.start),
        "ended_at": evidence.anchor.iso(phase.end),
        "wall_s": round_or_none(next((event.get("wall_s") for event in said), None)),
        "steady": all(bool(event.get("steady")) for event in said) if said else None,
        "reasons": [
            _cut(str(text))
            for event in said
            for text in event.get("reasons") or [event.get("reason")]
            if text
        ],
        "requests": len(orders),
        "errors": sum(order.failed for order in orders),
        "latency_ms": latency_percentiles(orders),
        "surge": {key: _scalar(surge[0].get(key)) for key in ("rate", "reached", "visible_ms", "reason")}
        if surge
        else None,
    }


def told_load(evidence: Evidence) -> Recorded:
    """Return what the load sent in the whole run."""
    orders = orders_within(evidence.orders, float("-inf"), float("inf"))
    good = sum(order.ok for order in orders)
    load = evidence.spec.order_load
    return {
        "rate": float(load.get("rate") or 0),
        "floor": float(load.get("floor") or 0),
        "requests": len(orders),
        "ok": good,
        "errors": len(orders) - good,
    }


def told_ledger(evidence: Evidence) -> Recorded:
    """Return the orders' ledger, null where it could not be asked."""
    ledger = evidence.ledger or {}
    counts = ("acknowledged", "lost", "duplicated", "unacknowledged_applied")
    shortest = ledger.get("shortest_visible_loss_ms")
    return {**{key: ledger.get(key) for key in counts}, "shortest_visible_loss_ms": round_or_none(shortest)}


def told_capture(evidence: Evidence) -> Recorded:
    """Return what became of the kernel capture."""
    return describe_capture(evidence.capture, sum(not event.get("control") for event in evidence.bpf))


def told_timeline(evidence: Evidence) -> list[Recorded]:
    """Return the timeline's lines for people."""
    return [
        {
            "at": evidence.anchor.iso(event["t"]),
            "level": event.get("level", "info"),
            "step": event.get("step") if event.get("step") in _STEPS else "",
            "text": _cut(str(event.get("text", ""))),
        }
        for event in evidence.timeline.log_lines
    ]


def told_leftovers(leftovers: Sequence[Mapping[str, Any]]) -> list[Recorded]:
    """Return the differences between the snapshots as the record has them."""
    return [{key: _scalar(value) for key, value in one.items()} for one in leftovers]


def _keepers(evidence: Evidence) -> list[str]:
    """A note for each loss of those who would have undone a fault at its time."""
    lost = {str(event["event"]) for event in evidence.timeline.keeper_losses}
    notes = []
    if "watchdog_takeover" in lost:
        notes.append("The watchdog died during the run; its standby took over.")
    if "keepers_lost" in lost:
        notes.append(
            "Both watchdogs of the run were gone when it ended: had the controller died too, nobody on the host "
            "would have undone a fault in time."
        )
    if evidence.timeline.late_lines:
        notes.append(
            f"{evidence.timeline.late_lines} lines of the timeline could not be written when they were due."
        )
    return notes


def _notes(evidence: Evidence, judgement: Judgement) -> list[str]:
    notes = [*judgement.reasons, *_keepers(evidence)]
    if not evidence.captured:
        reason = evidence.capture.get("reason") or "its positive control was not seen"
        status = evidence.capture["status"]
        notes.append(
            f"Kernel capture {status}: {str(reason).rstrip('.')}; findings that rest on it are unknown."
        )
    if evidence.spec.windows.placebo_s == 0:
        notes.append(
            "There was no placebo window (chaos_placebo: false): nothing says what load and observers do by themselves."
        )
    if evidence.spec.filled:
        names = ", ".join(sorted(evidence.spec.filled))
        notes.append(f"Not set, and found on this host: {names}; 'filled' in the record says how.")
    unsent = sum(order.kind == "dropped" for order in evidence.orders)
    if unsent:
        notes.append(
            f"{unsent} orders were due but not sent: every connection of the load was waiting for an answer."
        )
    notes += [
        f"Step {e.get('step', '?')} failed: {e.get('error', '')}" for e in evidence.timeline.failed_steps
    ]
    return [_cut(note) for note in notes]


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    return round(value, 4) if isinstance(value, float) else _cut(str(value))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[: _TEXT_CHARS - 1]}…"
