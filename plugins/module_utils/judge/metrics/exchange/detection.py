# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How soon the application itself said that something was wrong."""

from __future__ import annotations

from collections.abc import Iterator

from ....evidence.evidence import Evidence
from ....evidence.phases import Window, fault_onset
from ..registry import SPEED, Measured, per_fault
from .recovery import trouble_ends

_ROLES = ("readiness", "health")


@per_fault("detection", "s", rests_on=SPEED, of_events=True)
def measure_detection(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the fault to the application's own first signal: readiness, health, or an order's error.

    A signal is an answer. A connection refused or timed out is what we saw of the application, not what it
    said; an order refused for its own sake (status 4xx) says nothing about the dependency.
    """
    began = fault_onset(evidence, window)
    until = trouble_ends(evidence, window)
    listened = [
        sample for sample in evidence.probes if sample.role in _ROLES and began <= sample.end <= until
    ]
    orders = [order for order in evidence.orders if began <= order.end <= until]
    count = len(listened) + len(orders)
    first = min(_signals(evidence, began, window.end), default=None)
    if first is not None:
        at, what = first
        return Measured(at - began, f"{what} at {evidence.anchor.iso(at)}; {count} answers heard", count)
    if not count:
        return Measured(None, "neither probes nor orders were answered or given up in the window")
    return Measured(
        until - began,
        f"no signal from the application among {count} answers until {evidence.anchor.iso(until)}",
        count,
        at_least=True,
    )


def _signals(evidence: Evidence, start: float, end: float) -> Iterator[tuple[float, str]]:
    for sample in evidence.probes:
        if sample.role in _ROLES and not sample.ok and sample.status > 0 and start <= sample.end <= end:
            yield sample.end, f"probes.jsonl: {sample.probe} answered {sample.status}"
    for order in evidence.orders:
        said = order.status > 0 and not 400 <= order.status < 500
        if not order.ok and said and start <= order.end <= end:
            yield order.end, f"load.jsonl: order {order.n} answered {order.status}"
