# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application went on doing meanwhile."""

from __future__ import annotations

from ....evidence.evidence import Evidence
from ....evidence.phases import Window, engine_events, fault_onset, users_orders
from ..registry import SPEED, Measured, per_fault
from .recovery import trouble_ends

DEGREES = ("kept_serving", "errors", "crashed")
#: Share of good answers from which something counts as served.
_SERVED = 0.99


@per_fault("degradation", None, scale=DEGREES, without_fault=True, of_events=True)
def grade_degradation(evidence: Evidence, window: Window) -> Measured:
    """How the application bore it: kept_serving, errors (of orders that stand for users), or crashed.

    Crashed: the engine saw it die, or (where the engine's events are missing) its port refused connections.
    """
    sent = users_orders(evidence.orders, fault_onset(evidence, window), window.end)
    failed = [order for order in sent if order.failed]
    api = evidence.service("api")
    deaths = engine_events(evidence, window, api, "die", "oom")
    if deaths:
        codes = ", ".join(str(event.get("exit_code")) for event in deaths if event["action"] == "die")
        return Measured(
            "crashed", f"engine.jsonl: {api} died {len(deaths)} times (exit code {codes})", len(sent)
        )
    ready = [
        sample
        for sample in evidence.probes
        if sample.role == "readiness" and _inside(sample.at, evidence, window)
    ]
    refused = [sample for sample in ready if sample.kind == "refused"]
    if refused and not evidence.engine:
        text = f"probes.jsonl: {refused[0].probe} refused {len(refused)} of {len(ready)} connections"
        return Measured("crashed", text, len(ready))
    if not sent:
        return Measured(None, "load.jsonl: no orders in the window")
    reads = _reads(evidence, window)
    text = f"load.jsonl: {len(failed)} of {len(sent)} orders failed; {reads}"
    return Measured("errors" if failed else "kept_serving", text, len(sent))


@per_fault("served_from_cache", None, without_fault=True, rests_on=SPEED)
def served_from_cache(evidence: Evidence, window: Window) -> Measured:
    """Did reads that need only the cache go on while the target was away? Needs a probe of role cache_read."""
    end = trouble_ends(evidence, window)
    reads = [
        one
        for one in evidence.probes
        if one.role == "cache_read" and fault_onset(evidence, window) <= one.at < end
    ]
    if not reads:
        return Measured(
            None, "probes.jsonl: no samples of a probe with role cache_read while the target was away"
        )
    good = sum(sample.ok for sample in reads)
    return Measured(
        good >= _SERVED * len(reads), f"probes.jsonl: {good} of {len(reads)} reads good", len(reads)
    )


def _inside(at: float, evidence: Evidence, window: Window) -> bool:
    return fault_onset(evidence, window) <= at <= window.end


def _reads(evidence: Evidence, window: Window) -> str:
    end = trouble_ends(evidence, window)
    roles = ("cache_read", "health", "live")
    reads = [
        one for one in evidence.probes if one.role in roles and fault_onset(evidence, window) <= one.at < end
    ]
    answered = sum(sample.status == 200 for sample in reads)
    return f"{answered} of {len(reads)} reads answered meanwhile" if reads else "no reads probed"
