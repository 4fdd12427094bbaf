# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long until steady state was back, and who brought it back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ....evidence import steady_state
from ....evidence.evidence import Evidence, Sample
from ....evidence.phases import Window, engine_events, fault_onset, fault_windows, restarted_at
from ...proofs.proof import store_samples
from ..registry import SPEED, Interval, Measured, per_fault, per_run

#: What the journal says of an undo that had to start a container (see faults/kill.py).
_STARTED = "started through the engine"
#: A port that is closed again sooner was not open.
_OPEN_S = 0.5
#: What kept steady state away is read from the last seconds of the window.
_LAST_S = 3.0


@lru_cache(maxsize=16)
def find_recovery(evidence: Evidence, window: Window) -> steady_state.Recovery | None:
    """Return the recovery from a fault, None if steady state did not come back before the next one or the end."""
    wanted = evidence.spec.windows.steady_s
    limits = evidence.spec.thresholds
    return steady_state.find_recovery(
        steady_state.signals_of(evidence), fault_onset(evidence, window), window.end, wanted, limits
    )


@lru_cache(maxsize=16)
def port_opened(evidence: Evidence, window: Window) -> Interval | None:
    """Return the interval in which the target's port accepted connections again; None if that was not seen.

    Of several targets the last port to open counts; those without a probe of their port are left out.
    """
    opened = [service_opened(evidence, window, service) for service in window.targets]
    known = [interval for interval in opened if interval is not None]
    return (max(low for low, _high in known), max(high for _low, high in known)) if known else None


def service_opened(evidence: Evidence, window: Window, service: str) -> Interval | None:
    """Return the interval in which one service's port accepted connections again; None if that was not seen."""
    watched = store_samples(evidence, service)
    samples = [sample for sample in watched if window.injected <= sample.at <= window.end]
    bad = [sample.at for sample in samples if not sample.ok]
    for last, following in zip(bad, [*bad[1:], float("inf")]):
        if following - last > _OPEN_S:
            good = next((sample for sample in samples if sample.ok and last < sample.at < following), None)
            if good is not None:
                return last, good.end
    return None


def trouble_ends(evidence: Evidence, window: Window) -> float:
    """Return when the target was there again as far as anyone saw, else the end of the fault's window."""
    opened = port_opened(evidence, window)
    if opened is not None:
        return opened[1]
    return restarted_at(evidence, window) or window.undone or window.end


def good_for_good(
    evidence: Evidence, window: Window, samples: Sequence[Sample], there: Interval, more: str = ""
) -> Measured:
    """Measure the seconds from ``there`` until a fault's samples were good and stayed so. Nothing came back if the last
    of them is bad; one that ended after the window belongs to what came then.
    """
    seen = [one for one in samples if window.injected <= one.at and one.end <= window.end]
    if not seen:
        return Measured(None, "probes.jsonl: no samples in the fault's window")
    bad = [index for index, one in enumerate(seen) if not one.ok]
    iso = evidence.anchor.iso
    if not bad:
        return Measured((0.0, 0.0), f"probes.jsonl: never interrupted{more}", len(seen))
    last = seen[bad[-1]]
    why = f" ({last.detail})" if last.detail else ""
    if bad[-1] == len(seen) - 1:
        text = f"probes.jsonl: still bad at {iso(last.end)}{why}{more}"
        return Measured(max(0.0, last.end - there[1]), text, len(seen), at_least=True, never=True)
    first = seen[bad[-1] + 1]
    text = f"probes.jsonl: last bad {iso(last.at)}{why}, good from {iso(first.end)}{more}"
    return Measured((max(0.0, last.at - there[1]), max(0.0, first.end - there[0])), text, len(seen))


@per_fault("recovery_s", "s", without_fault=True, rests_on=SPEED)
def recovery_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the fault until steady state was back: start of the first stretch in which all thresholds hold."""
    return _since(evidence, window, fault_onset(evidence, window))


@per_fault("recovery_since_undo_s", "s", rests_on=SPEED, of_events=True)
def recovery_since_undo_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the target's restart, or from the fault's undo, until steady state was back."""
    back = restarted_at(evidence, window)
    if back is None:
        return Measured(None, "nothing shows when the target ran again")
    return _since(evidence, window, back)


@per_fault("self_healing_s", "s", rests_on=SPEED, of_events=True)
def self_healing_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the exit until steady state was back, the restart policy alone having acted."""
    if window.mode != "process":
        return Measured(None, "killed through the engine, which switches the restart policy off")
    helped = starts_by_us(evidence, window)
    if helped:
        return Measured(
            window.end - fault_onset(evidence, window),
            f"it took our help: {'; '.join(helped)}",
            at_least=True,
            never=True,
        )
    starts = {service: engine_events(evidence, window, service, "start") for service in window.targets}
    missing = [service for service, events in starts.items() if not events]
    if missing:
        if not evidence.engine:
            return Measured(None, "engine.jsonl: no events, so nobody knows when it started")
        what = f"engine.jsonl: {', '.join(missing)} did not start"
        return _not_steady(evidence, window, fault_onset(evidence, window), what)
    found = recovery_s(evidence, window)
    began = fault_onset(evidence, window)
    text = ", ".join(f"{service} {events[0]['t'] - began:.3f} s" for service, events in starts.items())
    return Measured(
        found.value,
        f"engine.jsonl: started after the exit: {text}; {found.evidence}",
        found.samples,
        found.at_least,
        found.never,
    )


#: How an exchange came back, best first; the second goes on with the rate to which the load fell.
UNDER_LOAD, LESS_LOAD, NOT_BACK = "yes", "only after the load fell", "no"


@per_fault("recovers_under_load", None, scale=(UNDER_LOAD, LESS_LOAD, NOT_BACK), rests_on=SPEED)
def recovers_under_load(evidence: Evidence, window: Window) -> Measured:
    """Did steady state return while our load went on: yes, only after the load fell to so many per second, or no.

    One that needs the load to fall is in a state that its cause does not keep up any more (N. Bronson et al.,
    "Metastable Failures in Distributed Systems", HotOS 2021).
    """
    found = recovery_s(evidence, window)
    # while a held fault is in force there is nothing that the exchange could recover to
    since = window.undone if window.held and window.undone else window.injected
    yields = [event for event in evidence.timeline.yields if since <= float(event["t"]) <= window.end]
    least = min((float(event.get("rate") or 0.0) for event in yields), default=None)
    told = "".join(f"; the load fell to {event.get('rate')}/s: {event.get('reason')}" for event in yields[:3])
    if found.value is None or (found.at_least and not found.never):
        return Measured(None, f"{found.evidence}{told}", found.samples)
    if found.never:
        return Measured(NOT_BACK, f"{found.evidence}{told}", found.samples)
    value = UNDER_LOAD if least is None else f"{LESS_LOAD} to {least:g} per second"
    return Measured(value, f"{found.evidence}{told or '; the load went on'}", found.samples)


@per_run("manual_intervention", "interventions")
def manual_intervention(evidence: Evidence, window: Window | None) -> Measured:
    """How often we had to help: starts that the plan did not name, and rescues."""
    chosen = [window] if window is not None else fault_windows(evidence)
    if not chosen:
        return Measured(None, "no fault was injected")
    found = [text for one in chosen for text in starts_by_us(evidence, one)]
    return Measured(
        len(found),
        f"journal.jsonl, timeline.jsonl: {'; '.join(found) or 'no start of ours but the planned'}",
        len(chosen),
    )


def starts_by_us(evidence: Evidence, window: Window) -> list[str]:
    """Return in words what we did to bring the target back and the plan did not name: starts, rescues.

    A held fault's undo is planned, and so is our start where no restart policy would act.
    """
    found = []
    planned = window.held or window.mode == "engine"
    if _STARTED in window.how and not planned:
        found.append(f"{window.id}: {window.how} by {window.undone_by}")
    for event in evidence.timeline.rescues:
        if window.injected <= event["t"] <= window.end:
            found.append(f"{window.id}: rescue {event.get('text') or event.get('service') or ''}".rstrip())
    return found


def _since(evidence: Evidence, window: Window, since: float) -> Measured:
    found = find_recovery(evidence, window)
    if found is None:
        return _not_steady(evidence, window, since, "load.jsonl, probes.jsonl: not steady")
    iso = evidence.anchor.iso
    if not found.left:
        return Measured((0.0, 0.0), f"steady state was never left; {found.samples} samples", found.samples)
    return Measured(
        (max(0.0, found.earliest - since), max(0.0, found.latest - since)),
        f"last bad {iso(found.earliest)} ({found.last_bad or 'nothing sampled'}), "
        f"first good {iso(found.latest)} ({found.first_good}); {found.samples} samples",
        found.samples,
    )


def _not_steady(evidence: Evidence, window: Window, since: float, what: str) -> Measured:
    """Nothing came back: for good if it had all the time the run grants, else for as long as was watched."""
    watched = window.end - since
    granted = evidence.spec.windows.recovery_timeout_s
    free = window.end - (window.undone if window.held and window.undone else window.injected)
    gave_up = evidence.timeline.gave_up(window.id)
    limits = evidence.spec.thresholds
    found, last = steady_state.signals_of(evidence), window.end - min(_LAST_S, watched)
    unseen = steady_state.unseen_signals(found, last, window.end)
    if unseen or not found:
        return Measured(None, f"not watched to the end: no samples of {', '.join(unseen) or 'anything'}")
    reasons = "; ".join(steady_state.unsteady_reasons(found, last, window.end, limits)[:3])
    return Measured(
        watched,
        f"{what} until {evidence.anchor.iso(window.end)}; at the end: {reasons or 'steady for too short'}",
        at_least=True,
        never=gave_up or free >= granted,
    )
