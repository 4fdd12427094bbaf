# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orders say: how many failed, and whether their errors were of use."""

from __future__ import annotations

from collections.abc import Sequence

from ....evidence import named_cause
from ....evidence.evidence import Evidence, Order
from ....evidence.phases import Window, fault_onset, fault_windows, orders_within
from ..registry import SPEED, Measured, per_run


@per_run("error_budget", "ratio", without_fault=True, rests_on=SPEED)
def error_budget(evidence: Evidence, window: Window | None) -> Measured:
    """Share of failed orders in the steady stream, which is what users would have sent."""
    steady = [order for order in evidence.orders if order.stream == "steady"]
    start, end = (
        (fault_onset(evidence, window), window.end) if window else (evidence.anchor.boottime, evidence.ended)
    )
    sent = [order for order in orders_within(steady, start, end + 1e-6) if order.telling]
    if not sent:
        return Measured(None, "load.jsonl: no orders of the steady stream")
    failed = sum(order.failed for order in sent)
    return Measured(
        failed / len(sent),
        f"load.jsonl: {failed} of {len(sent)} orders of the steady stream failed",
        len(sent),
    )


@per_run("error_clarity", "ratio", rests_on=SPEED)
def error_clarity(evidence: Evidence, window: Window | None) -> Measured:
    """Share of failed orders that were answered with a status and a body that names the cause."""
    clear, unclear = judged_errors(evidence, [window] if window else fault_windows(evidence))
    failed = len(clear) + len(unclear)
    if not failed:
        return Measured(None, "load.jsonl: no order failed in a fault's window")
    return Measured(
        len(clear) / failed, f"load.jsonl: {len(clear)} of {failed} failed orders named the cause", failed
    )


def judged_errors(evidence: Evidence, chosen: Sequence[Window]) -> tuple[list[Order], list[Order]]:
    """Return the failed orders of the windows that were answered clearly, and those that were not, of users' orders."""
    clear: list[Order] = []
    unclear: list[Order] = []
    struck = [
        (fault_onset(evidence, window), window.end, named_cause.cause_pattern(evidence.spec, window.spec))
        for window in chosen
    ]
    for order in evidence.orders:
        # An order under way when a fault struck is its victim too.
        causes = [cause for start, end, cause in struck if order.end >= start and order.sent < end]
        if order.failed and order.of_users and causes:
            named = order.status > 0 and any(cause.search(str(order.error or "")) for cause in causes)
            (clear if named else unclear).append(order)
    return clear, unclear
