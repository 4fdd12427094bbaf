# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a throttled processor does to orders: how much slower, how soon they are as fast as before, what was used."""

from __future__ import annotations

from collections.abc import Sequence

from ....common import intervals
from ....common.stats import find_percentile
from ....evidence.evidence import Evidence, Order
from ....evidence.phases import Window, find_baseline, latency_percentiles, orders_within, users_orders
from ..registry import LATENCY, Measured, per_fault

#: Latency is back where half of the orders of so many seconds take at most so many times what they took before, or so
#: many milliseconds more: until steady state is back, probes and orders come faster than they did before.
_STRETCH_S, _STEP_S = 1.0, 0.1
_BACK_TIMES, _BACK_MS = 3.0, 10.0
#: Fewer orders than this make no median.
_FEWEST = 5


def split_orders(evidence: Evidence, window: Window) -> tuple[list[Order], list[Order], list[Order]]:
    """Return the orders of the baseline, of the fault until its undo, and of the time after it."""
    before, undone = find_baseline(evidence), window.undone or window.end
    calm = users_orders(evidence.orders, before.start, before.end) if before else []
    return (
        calm,
        users_orders(evidence.orders, window.injected, undone),
        users_orders(evidence.orders, undone, window.end),
    )


def measure_slowdown(evidence: Evidence, window: Window, rank: str) -> Measured:
    """Return how many times longer an order took while the fault was held, at a percentile (p50, p95, p99)."""
    before, during, after = (latency_percentiles(orders)[rank] for orders in split_orders(evidence, window))
    if before is None or during is None or not before:
        return Measured(None, "load.jsonl: no orders before the fault, or none in it")
    end = "no orders after" if after is None else f"{after:g} ms after"
    text = f"load.jsonl: {rank} {before:g} ms before, {during:g} ms during, {end}"
    calm, held, _after = split_orders(evidence, window)
    bounds = [
        intervals.percentile_bounds([order.latency_ms for order in part], float(rank[1:]))
        for part in (held, calm)
    ]
    known = intervals.bound_ratio(bounds[0], bounds[1])
    seconds = (window.undone or window.end) - window.injected
    return Measured(during / before, text, len(held), interval=known, seconds=seconds)


@per_fault("slowdown_p50", "times", without_fault=True, rests_on=LATENCY)
def slowdown_p50(evidence: Evidence, window: Window) -> Measured:
    """How many times longer half of the orders took at most while the fault was held, against before."""
    return measure_slowdown(evidence, window, "p50")


@per_fault("slowdown_p95", "times", without_fault=True, rests_on=LATENCY)
def slowdown_p95(evidence: Evidence, window: Window) -> Measured:
    """The same at the 95th percentile."""
    return measure_slowdown(evidence, window, "p95")


@per_fault("slowdown_p99", "times", without_fault=True, rests_on=LATENCY)
def slowdown_p99(evidence: Evidence, window: Window) -> Measured:
    """The same at the 99th percentile."""
    return measure_slowdown(evidence, window, "p99")


@per_fault("held_p95_ms", "ms", without_fault=True, rests_on=LATENCY)
def held_p95_ms(evidence: Evidence, window: Window) -> Measured:
    """95th percentile of the latency of all orders sent while the fault was held."""
    during = split_orders(evidence, window)[1]
    found = latency_percentiles(during)["p95"]
    return Measured(found, f"load.jsonl: {len(during)} orders sent while it was held", len(during))


@per_fault("latency_back_s", "s", rests_on=LATENCY)
def latency_back_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the undo until orders took as long as before it: median of a second within 3 times, or 10 ms."""
    if window.undone is None:
        return Measured(None, "the fault was not undone")
    before, _during, after = split_orders(evidence, window)
    usual = find_percentile([order.latency_ms for order in before if not order.failed], 50)
    if usual is None:
        return Measured(None, "load.jsonl: no good orders before the fault")
    limit, at = max(usual * _BACK_TIMES, usual + _BACK_MS), window.undone
    while at + _STRETCH_S <= window.end + _STEP_S:
        orders = orders_within(after, at, at + _STRETCH_S)
        if len(orders) >= _FEWEST and _usual(orders, limit):
            text = f"load.jsonl: median {usual:.2f} ms before; back at {evidence.anchor.iso(at)}"
            return Measured(at - window.undone, text, len(orders))
        at += _STEP_S
    if len(after) < _FEWEST:
        return Measured(None, f"load.jsonl: only {len(after)} orders after the undo")
    text = f"load.jsonl: not within {limit:.2f} ms until {evidence.anchor.iso(window.end)}"
    return Measured(window.end - window.undone, text, len(after), at_least=True)


def _usual(orders: Sequence[Order], limit: float) -> bool:
    """Whether half of all attempts were good and fast."""
    return sum(not order.failed and order.latency_ms <= limit for order in orders) * 2 >= len(orders)


@per_fault("cpu_quota_used", "ratio")
def cpu_quota_used(evidence: Evidence, window: Window) -> Measured:
    """Processor time the target used while it was held, as a share of what it was granted."""
    found = evidence.timeline.measured("cpu_used", window.id)
    if not found:
        return Measured(
            None, "timeline.jsonl: the kernel's counters were not read at both ends of the window"
        )
    used, quota = float(found[-1]["value"]), float(found[-1]["quota"])
    throttled, periods = int(found[-1]["throttled"]), int(found[-1]["periods"])
    text = f"timeline.jsonl: {used:.4f} of {quota:g} cores; {throttled} of {periods} periods throttled"
    return Measured(used / quota, text, periods)
