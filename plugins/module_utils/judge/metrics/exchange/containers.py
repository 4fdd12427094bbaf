# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends and starts of containers that nobody meant."""

from __future__ import annotations

from ....evidence.evidence import Evidence
from ....evidence.phases import EARLY_S, Window, fault_windows
from ...containers import list_changes
from ..registry import Measured, per_run


@per_run("unmeant_restarts", "events", without_fault=True, of_events=True)
def unmeant_restarts(evidence: Evidence, window: Window | None) -> Measured:
    """Ends and starts of the project's containers that neither a fault nor a rescue of ours meant."""
    if evidence.timeline.rebooted:
        return Measured(None, "engine.jsonl: the host was rebooted, and all of them with it")
    if not evidence.engine and any(one.ends_target for one in fault_windows(evidence)):
        return Measured(None, "engine.jsonl: no events, not even those of the fault")
    seen = [
        one
        for one in list_changes(evidence)
        if window is None or window.injected - EARLY_S <= one.t <= window.end
    ]
    unmeant = [one for one in seen if not one.meant]
    told = "; ".join(f"{one.text} at {evidence.anchor.iso(one.t)}" for one in unmeant[:5])
    more = f" and {len(unmeant) - 5} more" if len(unmeant) > 5 else ""
    text = f"engine.jsonl: {len(unmeant)} of {len(seen)} ends and starts were meant by nobody"
    return Measured(len(unmeant), f"{text}{': ' if told else ''}{told}{more}", len(seen))
