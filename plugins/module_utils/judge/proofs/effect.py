# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Did the fault take effect? Facts from the kernel, the engine, the network and the fault's own module.

What the fault's module read when it applied the fault, and at the end of its window, comes from the timeline
(event ``proof``). What independent observers saw of a kind of fault is added by that kind's own file.
"""

from __future__ import annotations

from ...evidence.evidence import Evidence
from ...evidence.phases import Window, fault_windows
from .proof import ProofOutcome
from .registry import observers_of

#: Sources that can prove an effect on their own. TCP and the fault's own word support a proof, they are none.
DECISIVE = ("kernel", "engine")
#: A held fault in force for less than this share of its window had no effect.
LEAST_SHARE = 0.8


def judge_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return all that is known of one fault's effect, the kernel's word first."""
    found = [
        ProofOutcome(
            str(event.get("source", "fault")),
            str(event["fact"]),
            event.get("value"),
            event["t"],
            event.get("holds"),
            required=bool(event.get("required")),
        )
        for event in evidence.timeline.proofs(window.id)
    ]
    seen = observers_of(window.kind).seen
    if seen is not None:
        found += seen(evidence, window)
    share = in_force(evidence, window)
    if share is not None:
        found.append(
            ProofOutcome(
                "fault", "share of the window in force", round(share, 3), window.undone, share >= LEAST_SHARE
            )
        )
    order = ("kernel", "engine", "tcp", "fault")
    return sorted(found, key=lambda proof: order.index(proof.source) if proof.source in order else len(order))


def judge_effect(evidence: Evidence) -> tuple[str, list[str]]:
    """Return the effect verdict over all injected faults, and the reasons against it.

    None of the proofs that a fault's kind requires may have failed, one fact from the kernel or the engine must hold,
    and a held fault must have been in force for most of its window. One that should have been injected and was not is
    unknown, and so is nothing injected, unless nothing was to be: then the placebo must have been seen through.
    """
    if not evidence.spec.faults:
        through = evidence.timeline.placebo_ends and not evidence.timeline.strains
        return ("pass", []) if through else ("unknown", ["the placebo was not seen through"])
    verdicts = []
    against = []
    for window in fault_windows(evidence):
        verdict, reason = _effect_of(evidence, window)
        verdicts.append(verdict)
        if reason:
            against.append(f"{window.id}: {reason}")
    for fault, reason in _not_injected(evidence):
        verdicts.append("unknown")
        against.append(f"{fault}: it was not injected: {reason}")
    if not verdicts:
        return "unknown", ["no fault was injected"]
    return next((verdict for verdict in ("fail", "unknown") if verdict in verdicts), "pass"), against


def _not_injected(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the planned fault that could not be injected, with the reason; those after it were not tried.

    A run that was stopped before it, or stopped by what it saw itself, has none; nor has one that came to no fault.
    """
    stops = evidence.timeline.refusals
    by_itself = any(not event.get("fault") for event in stops)
    if by_itself or evidence.timeline.aborted():
        return []
    injected = {window.id for window in fault_windows(evidence)}
    refused = {str(event["fault"]): str(event["reason"]) for event in stops}
    planned = [spec.id for spec in evidence.spec.faults]
    if injected and not refused:
        refused = {fault: "the run ended before it" for fault in planned if fault not in injected}
    return [(fault, reason) for fault, reason in refused.items() if fault not in injected][:1]


def _effect_of(evidence: Evidence, window: Window) -> tuple[str, str]:
    known = judge_proofs(evidence, window)
    if not any(proof.holds for proof in known if proof.source in DECISIVE):
        return "fail", "neither the kernel nor the engine saw it take effect"
    failed = [proof for proof in known if proof.required and proof.holds is False]
    if failed:
        more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
        return "fail", f"a required proof failed: {failed[0].fact}: {failed[0].value}{more}"
    find_spared = observers_of(window.kind).spared
    spared = find_spared(evidence, window) if find_spared is not None else []
    if spared:
        return "fail", f"neither the kernel nor the engine saw it take effect on {', '.join(spared)}"
    if not window.held:
        return "pass", ""
    share = in_force(evidence, window)
    if share is None:
        return "unknown", "nothing shows for how long it was in force"
    if share < LEAST_SHARE:
        return "fail", f"in force for {share:.0%} of its window, less than {LEAST_SHARE:.0%}"
    return "pass", ""


def in_force(evidence: Evidence, window: Window) -> float | None:
    """Return the share (0..1) of the held window in which the fault was in force; None if nothing shows it.

    The fault's module may say so itself (``share`` in a proof); else it is read from what observers saw.
    """
    end = window.end if window.undone is None else window.undone
    if not window.held or end <= window.injected:
        return None
    said = [event["share"] for event in evidence.timeline.proofs(window.id) if event.get("share") is not None]
    if said:
        return float(said[-1])
    share = observers_of(window.kind).share
    return None if share is None else share(evidence, window, end)
