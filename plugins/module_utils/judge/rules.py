# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a finding says nothing of the exchange, because of us or of others on the host: the rules, as data.

docs/interpreting.md has the same table, with the reasons. A limit is what it is here: none is scaled by anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ..evidence.evidence import Evidence
from ..evidence.phases import BASELINE, EARLY_S, Phase, Window, fault_windows, find_phases
from ..exchange.ledger import PLACEBO
from .interference import Interference, measure_interference
from .metrics.registry import LATENCY, SPEED, Metric

#: Orders that go out this much late (99th percentile, ms) carry our own delay in their latency.
LATE_MS = 20.0
#: Others that take the machine for this share of a phase are part of what was measured in it.
TAKEN_SHARE = 0.2
#: Somebody waits for a disk this share of the time, though no fault makes the exchange wait for one.
IO_SHARE = 0.5


@dataclass(frozen=True)
class Rule:
    """One rule. ``says``: in words why it holds in a phase, empty where it does not.

    touches: what a finding must rest on to be unknown then. brought_about: by such a fault itself.
    """

    name: str
    touches: Collection[str]
    says: Callable[[Interference], str]
    brought_about: Callable[[Window], bool] = lambda _window: False


def _late(seen: Interference) -> str:
    if seen.late_ms is None or seen.late_ms < LATE_MS:
        return ""
    return f"we ourselves were late: 1 of 100 orders was sent {seen.late_ms:.0f} ms after its time, or later"


def _taken(seen: Interference) -> str:
    if seen.taken is None or seen.taken < TAKEN_SHARE:
        return ""
    cores = (seen.cpu_others or 0.0) + (seen.steal or 0.0)
    who = (
        f", most of all {seen.who}"
        if seen.who
        else ", most of it the hypervisor"
        if (seen.steal or 0) > cores / 2
        else ""
    )
    return f"others took the machine for {seen.taken:.0%} of the time ({cores:.2f} cores on average{who})"


def _waited_for_disks(seen: Interference) -> str:
    if seen.psi_io is None or seen.psi_io < IO_SHARE:
        return ""
    who = f"; the busiest of the others: {seen.who}" if seen.who else ""
    return f"somebody waited for a disk for {seen.psi_io:.0%} of the time{who}"


#: In the order in which they speak.
RULES = (
    Rule("we were late", (LATENCY,), _late),
    Rule("others took the machine", (LATENCY, SPEED), _taken),
    Rule("others took the disk", (LATENCY, SPEED), _waited_for_disks, lambda window: window.waits_for_disk),
)


def too_busy(evidence: Evidence, start: float, end: float) -> str:
    """Return in words why the host is too busy to learn from, in (start, end] before any fault; empty if it is not."""
    seen = measure_interference(evidence, start, end)
    return next((said for said in (rule.says(seen) for rule in RULES) if said), "")


def find_objection(evidence: Evidence, metric: Metric, fault: str | None) -> str:
    """Return in words why a finding that rests on speed, or on events, says nothing of the exchange; empty if it does.

    It is asked of the phases of its fault, of all faults without a name, and, where it compares, of the baseline.
    """
    unseen = _unseen(evidence, fault) if metric.of_events else ""
    if unseen or not metric.rests_on:
        return unseen
    return _too_slow(evidence, metric, fault)


def _unseen(evidence: Evidence, fault: str | None) -> str:
    """Return in words for how long nobody saw the engine's events in a fault's time, or in all of the run."""
    windows = [one for one in fault_windows(evidence) if one.id == fault]
    begin = min((one.injected - EARLY_S for one in windows), default=0.0)
    end = max((one.end for one in windows), default=evidence.ended)
    for since, until in evidence.timeline.unseen:
        if since <= end and until >= begin:
            seconds = min(until, evidence.ended) - since
            return f"nobody saw the engine's events for {max(seconds, 0.0):.1f} s from {evidence.anchor.iso(since)}"
    return ""


def _too_slow(evidence: Evidence, metric: Metric, fault: str | None) -> str:
    for phase in find_phases(evidence):
        if not _concerns(phase, fault, metric, bool(fault_windows(evidence))):
            continue
        window = next((one for one in fault_windows(evidence) if one.id == phase.fault), None)
        seen = measure_interference(evidence, phase.start, phase.end)
        for rule in RULES:
            if metric.rests_on not in rule.touches or (window is not None and rule.brought_about(window)):
                continue
            said = rule.says(seen)
            if said:
                return f"in {phase.id} {said}"
    return ""


def _concerns(phase: Phase, fault: str | None, metric: Metric, injected: bool) -> bool:
    if not injected:
        return phase.id == PLACEBO
    if phase.fault is None:
        return phase.id == BASELINE and metric.rests_on == LATENCY
    return fault in (None, phase.fault)
