# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five questions every report ends with, answered from data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..common.shapes import Recorded
from ..common.stats import find_percentile, round_or_none
from ..evidence.evidence import Evidence, Order
from ..evidence.phases import Window, fault_onset, fault_windows, find_baseline, restarted_at, users_orders
from .metrics.catalogue import measure
from .metrics.exchange.logs import first_line
from .metrics.exchange.orders import judged_errors
from .metrics.exchange.recovery import find_recovery

#: A good order is slow above this many times the 99th percentile of the baseline (and above its threshold).
SLOW_TIMES = 3.0
#: Share of clear errors from which the answer is yes, unless a finding sets its own.
CLEAR_SHARE = 0.9
_EXAMPLE_CHARS = 300


def answer_questions(evidence: Evidence) -> Recorded:
    """Answer them: did it recover by itself, in what time, what was lost, what users saw, were errors clear."""
    found = fault_windows(evidence)
    loss = measure(evidence, "data_loss")[""].value
    return {
        "recovered_automatically": recovered_automatically(evidence, found),
        "recovery_s": round_or_none(recovery_s(evidence, found)),
        "data_loss": loss,
        "users_saw": users_saw(evidence, found),
        "errors_clear": errors_clear(evidence, found),
    }


def recovered_automatically(evidence: Evidence, found: Sequence[Window]) -> bool | None:
    """Steady state came back after every fault, and nobody had to do more than the plan named."""
    if not found:
        return None
    if measure(evidence, "manual_intervention")[""].value != 0:
        return False
    times = [measure(evidence, "recovery_s", window.id)[window.id] for window in found]
    if any(one.at_least for one in times):
        return False
    return None if any(one.value is None for one in times) else True


def recovery_s(evidence: Evidence, found: Sequence[Window]) -> float | None:
    """Return the longest recovery (upper bound): from the fault, or where we held it, from the target's restart."""
    times = []
    for window in found:
        back = find_recovery(evidence, window)
        since = (restarted_at(evidence, window) if window.held else None) or fault_onset(evidence, window)
        if back is None:
            return None
        times.append(max(0.0, back.latest - since))
    return max(times, default=None)


def users_saw(evidence: Evidence, found: Sequence[Window]) -> Recorded:
    """Count errors and slow answers from the first fault on, of the orders that stand for users, with percentiles."""
    before = find_baseline(evidence)
    quiet = _latencies(users_orders(evidence.orders, before.start, before.end)) if before else []
    p99_before = find_percentile(quiet, 99)
    limit = max(evidence.spec.thresholds.p99_ms, SLOW_TIMES * (p99_before or 0.0))
    orders = [
        order
        for order in evidence.orders
        if found and order.end >= fault_onset(evidence, found[0]) and order.telling and order.of_users
    ]
    errors = sum(order.failed for order in orders)
    slow = sum(order.ok and order.latency_ms > limit for order in orders)
    latencies = _latencies(orders)
    return {
        "what": "unknown" if not orders else "errors" if errors else "slowness" if slow else "nothing",
        "orders": len(orders),
        "errors": errors,
        "slow": slow,
        "p50_ms": round_or_none(find_percentile(latencies, 50)),
        "p99_ms": round_or_none(find_percentile(latencies, 99)),
        "baseline_p99_ms": round_or_none(p99_before),
    }


def errors_clear(evidence: Evidence, found: Sequence[Window]) -> Recorded:
    """Tell clear errors (a status and a body that names the cause) from the others, and what the log said when."""
    clear, unclear = judged_errors(evidence, found)
    failed = len(clear) + len(unclear)
    wanted = [
        float(one.min)
        for one in evidence.spec.findings
        if one.metric == "error_clarity" and one.min is not None
    ]
    texts = [order.error for order in (*clear, *unclear) if order.error]
    lines = [
        (line[0] - fault_onset(evidence, window), line[1])
        for window in found
        for line in _lines(evidence, window)
    ]
    after, line = lines[0] if lines else (None, None)
    return {
        "clear": len(clear) / failed >= (wanted or [CLEAR_SHARE])[0] if failed else None,
        "clear_count": len(clear),
        "unclear_count": len(unclear),
        "kinds": dict(Counter(order.kind for order in (*clear, *unclear))),
        "example": texts[0][:_EXAMPLE_CHARS] if texts else None,
        "first_log_line": None if line is None else line[:_EXAMPLE_CHARS],
        "first_log_after_s": None if after is None else round_or_none(max(0.0, after)),
    }


def _lines(evidence: Evidence, window: Window) -> list[tuple[float, str]]:
    found = first_line(evidence, window)
    return [] if found is None else [found]


def _latencies(orders: list[Order]) -> list[float]:
    return [order.latency_ms for order in orders]
