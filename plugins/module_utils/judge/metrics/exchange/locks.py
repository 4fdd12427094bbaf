# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lock in the database does: who queues up behind it, and what still reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....evidence.evidence import Evidence
from ....evidence.phases import Window, fault_onset
from ..registry import SPEED, Measured, per_fault

_UNTOLD = Measured(None, "timeline.jsonl: nobody counted who waited for the lock")


@per_fault("lock_waiters", "sessions")
def lock_waiters(evidence: Evidence, window: Window) -> Measured:
    """The most sessions of the database that waited behind the lock at one instant, by the server's own word."""
    told = _told(evidence, window)
    if told is None:
        return _UNTOLD
    text = f"timeline.jsonl: {told['samples']} looks; the application had {told['others']} sessions at most"
    return Measured(int(told["value"]), text, int(told["samples"]))


@per_fault("pool_drained", "ratio")
def pool_drained(evidence: Evidence, window: Window) -> Measured:
    """Share of the looks at the server at which every session of the application waited behind the lock."""
    told = _told(evidence, window)
    if told is None or not told["samples"]:
        return _UNTOLD
    drained, samples = int(told["drained"]), int(told["samples"])
    return Measured(drained / samples, f"timeline.jsonl: {drained} of {samples} looks", samples)


@per_fault("reads_answered", "ratio", without_fault=True, rests_on=SPEED)
def reads_answered(evidence: Evidence, window: Window) -> Measured:
    """Share of good answers to the probes of role ``read`` while the fault was held."""
    start, end = fault_onset(evidence, window), window.undone or window.end
    reads = [one for one in evidence.probes if one.role == "read" and start <= one.at < end]
    if not reads:
        return Measured(None, "probes.jsonl: no samples of a probe with role read while the fault was held")
    good = sum(one.ok for one in reads)
    return Measured(good / len(reads), f"probes.jsonl: {good} of {len(reads)} reads good", len(reads))


def _told(evidence: Evidence, window: Window) -> Mapping[str, Any] | None:
    found = [one for one in evidence.timeline.measured(fault=window.id) if one.get("name") == "waiters"]
    return found[-1] if found else None
