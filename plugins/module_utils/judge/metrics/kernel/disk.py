# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a starved disk does: how slow it was made, what orders made of it, how soon what waited was worked off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....common.stats import find_median, find_percentile
from ....evidence.evidence import Evidence
from ....evidence.phases import Window, orders_within
from ..exchange.cache import find_reading, find_reading_before
from ..registry import LATENCY, SPEED, Measured, per_fault


def _trials(evidence: Evidence, window: Window, *moments: str) -> list[Mapping[str, Any]]:
    return [
        event
        for event in evidence.timeline.measured(fault=window.id)
        if event.get("name") == "fsync" and event.get("moment") in moments and event.get("value") is not None
    ]


@per_fault("fsync_slowdown", "times")
def fsync_slowdown(evidence: Evidence, window: Window) -> Measured:
    """How many times longer an fsync of ours took inside the target's limit than before; the lesser of both ends."""
    before = _trials(evidence, window, "before")
    inside = _trials(evidence, window, "begin", "end")
    if not before or not inside or not before[0]["value"]:
        return Measured(None, "timeline.jsonl: no fsync was timed before the fault and in it")
    least = min(float(event["value"]) for event in inside)
    was = float(before[0]["value"])
    text = f"timeline.jsonl: {1000 * was:.2f} ms before, {1000 * least:.1f} ms or more inside"
    return Measured(least / was, text, len(inside))


@per_fault("order_per_fsync", "times", rests_on=LATENCY)
def order_per_fsync(evidence: Evidence, window: Window) -> Measured:
    """Median order latency while the disk was slow, in units of an fsync's: how many writes an order waited for."""
    inside = [float(event["value"]) for event in _trials(evidence, window, "begin", "end")]
    orders = orders_within(evidence.orders, window.injected, window.undone or window.end)
    disk_s, order_ms = find_median(inside), find_percentile([order.latency_ms for order in orders], 50)
    if not disk_s or order_ms is None:
        return Measured(None, "no fsync was timed in the window, or no order sent in it")
    text = f"load.jsonl: median order {order_ms:.1f} ms; timeline.jsonl: fsync {1000 * disk_s:.1f} ms"
    return Measured(order_ms / (1000 * disk_s), text, len(orders))


@per_fault("timeouts_while_held", "orders", without_fault=True, rests_on=LATENCY)
def timeouts_while_held(evidence: Evidence, window: Window) -> Measured:
    """Orders sent while the fault was held that the client gave up waiting for."""
    orders = orders_within(evidence.orders, window.injected, window.undone or window.end)
    if not orders:
        return Measured(None, "load.jsonl: no orders while the fault was held")
    late = [order for order in orders if order.kind == "timeout"]
    return Measured(len(late), f"load.jsonl: {len(late)} of {len(orders)} orders timed out", len(orders))


@per_fault("drain_s", "s", without_fault=True, rests_on=SPEED)
def drain_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the undo until the last order that was waiting then had its answer."""
    if window.undone is None:
        return Measured(None, "the fault was not undone")
    sent = orders_within(evidence.orders, window.injected, window.undone)
    if not sent:
        return Measured(None, "load.jsonl: no orders while the fault was held")
    waiting = [order for order in sent if order.end > window.undone]
    last = max((order.end for order in waiting), default=window.undone)
    text = f"load.jsonl: {len(waiting)} orders were waiting at the undo"
    return Measured(last - window.undone, text, len(sent))


@per_fault("checkpoints", "checkpoints")
def count_checkpoints(evidence: Evidence, window: Window) -> Measured:
    """Checkpoints of the database from before the fault until steady state; needs the gauge of that name."""
    name = "checkpoints"
    first, last = find_reading_before(evidence, name, window), find_reading(evidence, name, window, "steady")
    if first is None or last is None:
        return Measured(None, f"timeline.jsonl: gauge {name} was not read at both moments")
    grown = float(last["value"]) - float(first["value"])
    return Measured(grown, f"timeline.jsonl: {name} grew from {first['value']:g} to {last['value']:g}", 2)
