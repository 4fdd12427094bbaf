# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When was what: the phases of a run and the window of each fault, from the timeline and the engine's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..common.stats import find_percentile, round_or_none
from ..exchange import fault_entry
from ..exchange.ledger import PLACEBO
from ..run.specification import FaultSpec
from ..run.timeline import PHASE, PHASE_END
from .evidence import DROPPED, Evidence, Order

#: The exit of a killed process may be stamped a little before our own note of the kill, or follow it late.
EARLY_S, LATE_S = 0.5, 2.0
#: The phase in which steady state must hold before the first fault.
BASELINE = "baseline"
#: The watch for steady state after a placebo in which it was left.
PLACEBO_RECOVERY = "placebo_recovery"
SIGKILL = 9


@dataclass(frozen=True)
class Phase:
    """A stretch of the run, boottime; ``fault`` is the one it belongs to, None for the baseline."""

    id: str
    fault: str | None
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Return its length."""
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class Window:
    """One injected fault, from its injection until the next one or the end. ``how`` says what the undo met.

    ``targets``: every service it was aimed at, in dependency order; ``target`` is the first. ``ends_target``: a restart
    of a target is what it means; ``in_one_blow``: they all end in an instant that the fault chooses;
    ``waits_for_disk``: it makes the exchange itself wait for its disk.
    """

    id: str
    kind: str
    target: str
    targets: Sequence[str]
    spec: FaultSpec
    injected: float
    undone: float | None
    undone_by: str | None
    how: str
    end: float
    ends_target: bool = False
    in_one_blow: bool = False
    waits_for_disk: bool = False

    @property
    def mode(self) -> str:
        """Return how it was carried out, as noted when it was, else as specified."""
        return self.spec.engine or self.spec.mode or "unknown"

    @property
    def held(self) -> bool:
        """True when the fault is meant to stay until its undo (an outage), False for a single blow (a crash)."""
        return bool(self.spec.more.get("held")) or self.spec.hold_s > 0


def find_phases(evidence: Evidence) -> list[Phase]:
    """Return the phases in order. One ends at its ``phase_end``, else where the next begins, else with the run.

    A baseline that was not steady and began anew is called ``unsteady``.
    """
    found: list[Phase] = []
    begun: Mapping[str, Any] | None = None
    for event in [*evidence.timeline.phase_marks, {"t": watched_until(evidence), "event": PHASE_END}]:
        if begun is not None:
            start = float(begun["t"])
            found.append(Phase(str(begun["id"]), begun.get("fault"), start, max(start, float(event["t"]))))
        begun = event if event["event"] == PHASE else None
    last = max((n for n, phase in enumerate(found) if phase.id == BASELINE), default=0)
    return [
        replace(phase, id="unsteady") if phase.id == BASELINE and n < last else phase
        for n, phase in enumerate(found)
    ]


def find_baseline(evidence: Evidence) -> Phase | None:
    """Return the phase before any fault: the one called so, else the first that belongs to no fault."""
    before = [phase for phase in find_phases(evidence) if phase.fault is None]
    named = [phase for phase in before if phase.id == BASELINE]
    return next(iter(named or before), None)


def find_placebo(evidence: Evidence) -> Phase | None:
    """Return the phase in which all came but a fault; None if it was left out, or the run ended before it."""
    return next((phase for phase in find_phases(evidence) if phase.id == PLACEBO), None)


@lru_cache(maxsize=4)
def fault_windows(evidence: Evidence) -> tuple[Window, ...]:
    """Return the window of every fault that was injected, in order; the same fault twice is one fault."""
    first: dict[str, Mapping[str, Any]] = {}
    for event in evidence.timeline.injections():
        first.setdefault(str(event["fault"]), event)
    injected = list(first.values())
    ends = [float(event["t"]) for event in injected[1:]] + [watched_until(evidence)]
    found = []
    for event, end in zip(injected, ends):
        fault = str(event["fault"])
        spec = evidence.spec.fault(fault) or FaultSpec(kind=str(event.get("kind", "unknown")))
        undone = evidence.timeline.undone(fault) or journaled_undo(evidence, fault)
        aimed = tuple(spec.services or fault_entry.services_of(event) or ["unknown"])
        found.append(
            Window(
                id=fault,
                kind=spec.kind,
                target=aimed[0],
                targets=aimed,
                spec=_as_applied(evidence, event, spec),
                injected=float(event["t"]),
                undone=None if undone is None else float(undone["t"]),
                undone_by=None if undone is None else undone.get("by"),
                how=str((undone or {}).get("how") or ""),
                end=max(end, float(event["t"])),
                **_ending(evidence, event),
            )
        )
    return tuple(found)


def _as_applied(evidence: Evidence, event: Mapping[str, Any], spec: FaultSpec) -> FaultSpec:
    """What was really done, where it may differ from what was specified: mode, engine, and whether it is held."""
    told = [line for line in evidence.journal if line.get("fault") == event["fault"]]
    held = [bool(line["undo"]["held"]) for line in told if "held" in (line.get("undo") or {})]
    return replace(
        spec,
        engine=str(event.get("engine") or spec.engine),
        mode=str(event.get("mode") or spec.mode),
        more={**spec.more, **({"held": held[-1]} if held else {})},
    )


def _ending(evidence: Evidence, event: Mapping[str, Any]) -> dict[str, bool]:
    """Whether and how the fault ends its targets, as its kind said when it was injected.

    Runs of before that was written down tell it by their journaled undo: to see that a container runs.
    """
    if "ends_target" in event:
        return {key: bool(event.get(key)) for key in ("ends_target", "in_one_blow", "waits_for_disk")}
    undos = [
        line["undo"] for line in evidence.journal if line.get("fault") == event["fault"] and line.get("undo")
    ]
    killed = any(undo.get("op") == "running" for undo in undos)
    ended = killed or any(undo.get("held") is False for undo in undos)
    return {"ends_target": ended, "in_one_blow": killed, "waits_for_disk": ended}


def watched_until(evidence: Evidence) -> float:
    """Return when watching ended: with the last phase, or when an observer of steady state was told to stop before."""
    stops = evidence.timeline.stopped_at("load", "probes")
    ends = [float(mark["t"]) for mark in evidence.timeline.phase_marks[-1:] if mark["event"] == PHASE_END]
    return min([*stops, *ends, evidence.ended])


def journaled_undo(evidence: Evidence, fault: str) -> Mapping[str, Any] | None:
    """The journal's own word, for a run whose undo came to no timeline entry; None while it has none."""
    lines = [line for line in evidence.journal if line.get("fault") == fault]
    return next((line for line in reversed(lines) if line.get("entry") == "undone"), None)


def main_pids(evidence: Evidence, window: Window) -> set[int]:
    """Return the main processes the fault was aimed at, as noted when it was applied; empty if nobody noted them."""
    notes: list[Mapping[str, Any]] = [*evidence.timeline.injections(window.id)]
    for line in evidence.journal:
        if line.get("fault") == window.id:
            notes += [line, line.get("facts") or {}, line.get("undo") or {}]
    found: set[int] = set()
    for note in notes:
        pids = note.get("pids") or ([note["pid"]] if note.get("pid") else [])
        found.update(int(pid) for pid in pids)
    return found


def kernel_exits(evidence: Evidence, window: Window) -> list[Mapping[str, Any]]:
    """Return the exits by SIGKILL the kernel reported for the fault's main processes, soon after its injection.

    Where the main processes were not noted, any of the target's counts that may be a main one.
    """
    pids = main_pids(evidence, window)
    return [
        event
        for event in evidence.bpf
        if event.get("event") == "PROC_EXIT"
        and event.get("exit_signal") == SIGKILL
        and window.injected - EARLY_S <= event["t"] <= window.injected + LATE_S
        and (event.get("pid") in pids if pids else _maybe_main(event, window))
    ]


def _maybe_main(event: Mapping[str, Any], window: Window) -> bool:
    return event.get("service") in window.targets and event.get("main") is not False


@lru_cache(maxsize=16)
def fault_onset(evidence: Evidence, window: Window) -> float:
    """Return the instant from which the fault was there: the kernel's report of the exit, else our injection."""
    exits = kernel_exits(evidence, window) if evidence.seeing else []
    return min((float(event["t"]) for event in exits), default=window.injected)


def engine_events(
    evidence: Evidence, window: Window, service: str | None, *actions: str
) -> list[Mapping[str, Any]]:
    """Return the engine's events of a service in a fault's window."""
    return [
        event
        for event in evidence.engine
        if event.get("service") == service
        and event.get("action") in actions
        and window.injected - EARLY_S <= event["t"] <= window.end
    ]


def restarted_at(evidence: Evidence, window: Window) -> float | None:
    """Return when every target ran again: the engine's (last) start event, else the undo of a held fault."""
    starts = [engine_events(evidence, window, service, "start") for service in window.targets]
    if all(starts):
        return max(float(events[0]["t"]) for events in starts)
    return window.undone if window.held or not evidence.engine else None


def orders_within(orders: Sequence[Order], start: float, end: float) -> list[Order]:
    """Return the orders that were sent and whose intended send time lies in [start, end)."""
    return [order for order in orders if start <= order.at < end and order.kind != DROPPED]


def users_orders(orders: Sequence[Order], start: float, end: float) -> list[Order]:
    """Return those of them that stand for users."""
    return [order for order in orders_within(orders, start, end) if order.of_users]


def latency_percentiles(orders: Sequence[Order]) -> dict[str, float | None]:
    """Return p50, p95, p99 and max (nearest rank) of all finished attempts, whatever became of them."""
    values = [order.latency_ms for order in orders]
    return {
        "p50": round_or_none(find_percentile(values, 50)),
        "p95": round_or_none(find_percentile(values, 95)),
        "p99": round_or_none(find_percentile(values, 99)),
        "max": round_or_none(max(values, default=None)),
    }
