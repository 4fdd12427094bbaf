# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three verdicts of a run and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.shapes import Recorded
from ..evidence import steady_state
from ..evidence.evidence import Evidence
from ..evidence.phases import (
    BASELINE,
    EARLY_S,
    Phase,
    fault_windows,
    find_baseline,
    find_phases,
    orders_within,
)
from ..exchange.ledger import PLACEBO
from . import open_questions
from .findings import WITHOUT_FAULT_TOO, Finding, judge_findings
from .proofs.effect import judge_effect

#: A phase shorter than this has no rate worth judging, seconds.
_RATE_S = 1.0
_SETTLE_S = 1.0
#: What the snapshot calls the settings of the database, where it could not read them.
SETTINGS = "PostgreSQL settings"


@dataclass(frozen=True)
class Judgement:
    """How a run is judged, and why: ``reasons`` are sentences for people, ``leftovers`` as in the record."""

    outcome: str
    effect: str
    hypothesis: str
    restored: str
    findings: list[Finding]
    reasons: list[str] = field(default_factory=list)
    leftovers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdicts(self) -> dict[str, str]:
        """Return the three verdicts as the record wants them."""
        return {"effect": self.effect, "hypothesis": self.hypothesis, "restored": self.restored}


def judge_run(evidence: Evidence) -> Judgement:
    """Judge a run from its evidence alone."""
    found = judge_findings(evidence)
    effect_verdict, effect_reasons = judge_effect(evidence)
    # Without a proven effect the findings describe an undisturbed exchange, for better or worse.
    hypothesis_verdict = judge_hypothesis(found) if effect_verdict == "pass" else "unknown"
    restored_verdict, left, restored_notes = judge_restore(evidence)
    invalid = invalid_reasons(evidence, effect_verdict, effect_reasons, hypothesis_verdict)
    invalid += _all_placebo(evidence, found, left)
    aborts = [
        f"aborted by {e.get('by', '?')}: {e.get('reason', 'no reason given')}"
        for e in evidence.timeline.aborts
    ]
    began = bool(fault_windows(evidence)) or bool(evidence.journal)
    # a keeper that failed may have missed a limit or a deadline: what held then was luck
    failed = [
        f"failed: the watchdog failed at its duty {e.get('duty', '?')} ({e.get('error', '?')})"
        for e in evidence.timeline.keeper_failures
    ]
    broken = hypothesis_verdict == "fail" or bool(failed)
    if began and restored_verdict == "unknown" and not broken:
        # neither a host that is not restored nor one that is: what nobody knows ends in no pass
        invalid += [f"{why[:1].lower()}{why[1:]}" for why in restored_notes[-1:]]
        restored_notes = restored_notes[:-1]
    outcome = decide_outcome(
        not_restored=restored_verdict == "fail" and (began or bool(evidence.spec.faults)),
        aborted=bool(aborts),
        invalid=bool(invalid),
        broken=broken,
    )
    reasons = [*aborts, *(f"invalid: {text}" for text in invalid), *failed]
    return Judgement(
        outcome, effect_verdict, hypothesis_verdict, restored_verdict, found, reasons + restored_notes, left
    )


def decide_outcome(*, not_restored: bool, aborted: bool, invalid: bool, broken: bool) -> str:
    """Return the outcome by precedence: not restored, aborted, invalid, failed, passed."""
    if not_restored:
        return "failed"
    if aborted:
        return "aborted"
    if invalid:
        return "invalid"
    return "failed" if broken else "passed"


def judge_hypothesis(found: list[Finding]) -> str:
    """Return fail if any finding that counts fails, unknown if none could be judged, else pass."""
    verdicts = {finding.verdict for finding in found if finding.counts}
    return "fail" if "fail" in verdicts else "pass" if "pass" in verdicts else "unknown"


def invalid_reasons(
    evidence: Evidence, effect_verdict: str, against: list[str], hypothesis_verdict: str
) -> list[str]:
    """Return in words why nothing was learned from the run; an empty list says that something was."""
    reasons = [
        f"our load alone is more than this exchange bears: {event.get('reason')}"
        for event in evidence.timeline.strains
    ]
    for event in evidence.timeline.unsteady_starts:
        busy = event.get("busy")
        reasons.append(
            f"this host is too busy to learn from ({busy})"
            if busy
            else f"no steady state at the start: {_reason(event)}"
        )
    if not reasons:
        reasons += [f"no steady state at the start: {text}" for text in _unsteady_baseline(evidence)]
    if effect_verdict != "pass":
        reasons += [f"no proven effect: {text}" for text in against]
    if _blind(evidence):
        reasons.append("the kernel capture was attached, but its positive control was not seen")
    if fault_windows(evidence) or not evidence.spec.faults:
        reasons += _idle(evidence)
        if effect_verdict == "pass" and hypothesis_verdict == "unknown":
            reasons.append("no finding could be judged")
        reasons += open_questions.list_missing(evidence)
    return reasons


def _all_placebo(evidence: Evidence, found: list[Finding], left: list[Recorded]) -> list[str]:
    """Why a run without any fault taught nothing: whatever is wrong in it is not the doing of a fault."""
    if evidence.spec.faults:
        return []
    outside = [f"{one.title}: {one.evidence}" for one in found if WITHOUT_FAULT_TOO in one.evidence]
    changed = ", ".join(f"{one['kind']} {one['what']}" for one in left)
    return outside + ([f"something else than this run changed the host: {changed}"] if left else [])


def _reason(event: Mapping[str, Any]) -> str:
    return "; ".join(str(text) for text in event.get("reasons") or [event.get("reason", "no reason given")])


def _blind(evidence: Evidence) -> bool:
    """The capture ran, and a control that was to be made was not seen."""
    wanted = evidence.spec.capture.control is not None
    control = evidence.capture.get("positive_control")
    ran = evidence.capture.get("status") in ("attached", "stopped")
    return ran and (control is False or (wanted and control is not True))


def judge_restore(evidence: Evidence) -> tuple[str, list[Recorded], list[str]]:
    """Return the verdict on the host, its leftovers, and notes.

    Everything must be as in the snapshot before, and every journaled change undone. A restart that nobody asked
    for is a leftover too, unless the service died in a fault's window: that is what the experiment is about; or the
    host was rebooted.
    """
    left = [_leftover("journal", fault, "undone", "open") for fault in _open_faults(evidence)]
    left += _open_orders(evidence)
    if evidence.restore is None:
        notes = ["The host was not compared with the snapshot from before the run."]
        return ("fail" if left else "unknown"), left, notes
    left += [
        _leftover(
            str(one.get("kind") or "other"), str(one.get("what", "")), one.get("before"), one.get("after")
        )
        for one in evidence.restore.get("leftovers", [])
    ]
    notes = []
    counts: Mapping[str, int] = evidence.restore.get("restarts", {})
    for service, count in sorted(counts.items()):
        aimed_at = [window for window in fault_windows(evidence) if service in window.targets]
        if any(window.ends_target for window in aimed_at):
            notes.append(f"{service} was started anew, as the fault meant (containers: {count}).")
        elif aimed_at:
            notes.append(
                f"{service} was started anew (containers: {count}), which the fault aimed at it does not do."
            )
        elif evidence.timeline.rebooted:
            notes.append(f"{service} was started anew with the host (containers: {count}).")
        elif _died_in_a_window(evidence, service):
            notes.append(
                f"{service} died in a fault's window and was started anew; the plan did not name it."
            )
        else:
            left.append(_leftover("restart", service, "0", str(count)))
    notes += [
        f"The health check of {text} has not spoken yet, which its own settings allow."
        for text in evidence.restore.get("still_starting", [])
    ]
    notes += [f"Not checked for leftovers: {text}" for text in evidence.restore.get("unchecked", [])]
    unknown = _unknown_orders(evidence) + _unknown_settings(evidence)
    return ("fail" if left else "unknown" if unknown else "pass"), left, notes + unknown


def _open_orders(evidence: Evidence) -> list[Recorded]:
    """Orders of ours that stayed open in the exchange's book are leftovers, with the query that lists them."""
    ledger = evidence.ledger or {}
    count = ledger.get("open_orders_left")
    what = f"open orders of this run, listed by: {ledger.get('open_orders_query')}"
    return [_leftover("orders", what, 0, count)] if count else []


def _unknown_settings(evidence: Evidence) -> list[str]:
    """Say that the database's settings were not compared, where a fault was aimed at it: a restart takes others up."""
    unchecked = (evidence.restore or {}).get("unchecked", [])
    reasons = [str(text) for text in unchecked if str(text).startswith(SETTINGS)]
    hit = any(evidence.service("database") in window.targets for window in fault_windows(evidence))
    if not (reasons and hit):
        return []
    return [
        f"Whether the database has the settings it had is not known ({reasons[0]}); chaos_database.admin takes a role "
        "and a password that may read them."
    ]


def _unknown_orders(evidence: Evidence) -> list[str]:
    """Say that nobody knows whether orders of ours are open: the database did not tell. An older run never asked."""
    ledger = evidence.ledger or {}
    if "open_orders_left" not in ledger or ledger["open_orders_left"] is not None:
        return []
    return ["Whether orders of this run are still open is not known, as the database did not tell."]


def _open_faults(evidence: Evidence) -> list[str]:
    """Names of the faults of which a journaled change is not undone; each change has its own number."""
    changes: dict[Any, str] = {}
    closed = set()
    for line in evidence.journal:
        change = line.get("seq") if "seq" in line else line.get("fault")
        if line.get("entry") == "undone":
            closed.add(change)
        else:
            changes[change] = str(line.get("fault", "?"))
    return [fault for change, fault in changes.items() if change not in closed]


def _died_in_a_window(evidence: Evidence, service: str) -> bool:
    deaths = [
        e["t"] for e in evidence.engine if e.get("service") == service and e.get("action") in ("die", "oom")
    ]
    return any(
        window.injected - EARLY_S <= t <= window.end for window in fault_windows(evidence) for t in deaths
    )


def _unsteady_baseline(evidence: Evidence) -> list[str]:
    """Why the thresholds did not hold in the baseline; nothing to say where there was none and no fault either."""
    before = find_baseline(evidence)
    if before is None:
        return ["there was no baseline"] if fault_windows(evidence) else []
    found = steady_state.signals_of(evidence)
    first = [signal.times[0] for signal in found if signal.times]
    # The phase may be declared a moment before the last observer sends.
    start = max([before.start, *(t for t in first if t <= before.start + _SETTLE_S)])
    return steady_state.unsteady_reasons(found, start, before.end, evidence.spec.thresholds)


def _idle(evidence: Evidence) -> list[str]:
    """Phases in which the load was below its floor: a fault on an idle exchange proves nothing."""
    floor = evidence.spec.load.floor if evidence.spec.load else 0.0
    watched = [
        phase
        for phase in find_phases(evidence)
        if phase.seconds >= _RATE_S and (phase.fault or phase.id in (BASELINE, PLACEBO))
        # less was sent on purpose there, and why is told
        if not any(phase.start <= float(event["t"]) <= phase.end for event in evidence.timeline.yields)
    ]
    watched = watched or [Phase(one.id, one.id, one.injected, one.end) for one in fault_windows(evidence)]
    found = []
    for phase in watched:
        rate = len(orders_within(evidence.orders, phase.start, phase.end)) / max(phase.seconds, _RATE_S)
        if rate < floor:
            found.append(f"load in phase {phase.id} was {rate:.1f} orders/s, below the floor of {floor:g}")
    return found


def _leftover(kind: str, what: str, before: Any, after: Any) -> Recorded:
    old, new = (None if value is None else str(value) for value in (before, after))
    return {"kind": kind, "what": what, "before": old, "after": new}
