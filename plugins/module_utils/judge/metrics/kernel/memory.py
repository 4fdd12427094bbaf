# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What running out of memory showed: how near the end announced itself, whom it took, what the service grows by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ....common.shapes import is_number, is_whole
from ....evidence.evidence import Evidence
from ....evidence.phases import Window
from ..registry import Measured, per_fault

MB = 1024 * 1024
#: Fewer orders than this tell a leak from noise no more.
_FEWEST_ORDERS = 100
_FEWEST_SAMPLES = 6


def _oom(evidence: Evidence, window: Window) -> Mapping[str, Any]:
    found = evidence.timeline.measured("oom", window.id)
    return found[-1] if found else {}


@per_fault("near_limit_s", "s")
def near_limit_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from 90 % of the lowered limit to the kill: how long the service lived in want."""
    found = _oom(evidence, window)
    if found.get("value") is None:
        return Measured(None, f"timeline.jsonl: {found.get('reason') or 'no OOM was measured'}")
    text = f"timeline.jsonl: limit {int(found['limit']) / MB:.0f} MB, {int(found['usage']) / MB:.0f} MB used at first"
    return Measured(float(found["value"]), text, 1)


@per_fault("right_victim", None)
def right_victim(evidence: Evidence, window: Window) -> Measured:
    """Did the kernel, free to choose, take a process of the target, and not the one that charged the memory?

    Those that ended with it, as all of a container do with its main process, are named as well. Now and then the
    kernel takes the one that charged besides, before it has counted what the first kill freed.
    """
    found = _oom(evidence, window)
    if not found or (not found.get("kills") and not found.get("victims")):
        return Measured(None, f"timeline.jsonl: {found.get('reason') or 'no OOM was measured'}")
    victims = [f"{victim['pid']} ({victim['comm']})" for victim in found["victims"]]
    named = ", ".join(victims) or "none of its own"
    text = f"timeline.jsonl: {found['kills']} killed in the cgroup of {window.target}: {named}"
    ours = bool(found.get("ours_taken"))
    text += "; ours that charged the memory was taken" + (" too" if victims else "") if ours else ""
    return Measured(bool(victims) and int(found["kills"]) > ours, text, len(victims))


@per_fault("memory_used_of_limit", "ratio")
def memory_used_of_limit(evidence: Evidence, window: Window) -> Measured:
    """Memory the target used before the fault, as a share of the limit it is configured with."""
    found = _oom(evidence, window)
    if not found:
        return Measured(None, "timeline.jsonl: no use of memory was measured before the fault")
    if not found.get("configured"):
        return Measured(None, f"{window.target} has no memory limit of its own")
    used, limit = int(found["used"]), int(found["configured"])
    return Measured(used / limit, f"timeline.jsonl: {used / MB:.1f} of {limit / MB:.0f} MB", 1)


@per_fault("memory_growth_mb", "MB")
def memory_growth_mb(evidence: Evidence, window: Window) -> Measured:
    """Megabytes by which the target's own memory grew for each 1,000 acknowledged orders, before the fault.

    The slope of its samples over the orders acknowledged by then (least squares), of the process the fault then hit.
    """
    samples = [
        event
        for event in evidence.timeline.measured()
        if event.get("name") == "memory_used"
        and event.get("service") == window.target
        and is_whole(event.get("pid"))
        and is_number(event.get("value"))
        and event["t"] < window.injected - 1
    ]
    samples = [event for event in samples if event["pid"] == samples[-1]["pid"]]
    ends = sorted(order.end for order in evidence.orders if order.ok)
    counts = [bisect_right(ends, event["t"]) for event in samples]
    orders = counts[-1] - counts[0] if counts else 0
    if len(samples) < _FEWEST_SAMPLES or orders < _FEWEST_ORDERS:
        return Measured(None, f"timeline.jsonl: {len(samples)} samples over {orders} orders are too few")
    values = [int(event["value"]) / MB for event in samples]
    slope = 1000 * _slope(counts, values)
    text = f"timeline.jsonl: {values[0]:.1f} MB → {values[-1]:.1f} MB over {orders} acknowledged orders"
    return Measured(slope, text, len(samples))


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / spread


@per_fault("memory_limits_back", None)
def memory_limits_back(evidence: Evidence, window: Window) -> Measured:
    """Are the target's limits on memory and swap what they were, to the byte?"""
    found = [
        event for event in evidence.timeline.measured(fault=window.id) if event.get("name") == "memory_limits"
    ]
    if not found:
        return Measured(None, "timeline.jsonl: the limits were not read after the undo")
    before, after = found[-1]["before"], found[-1]["after"]
    text = ", ".join(f"{name} {before[name]} → {after.get(name)}" for name in before)
    return Measured(before == after, f"timeline.jsonl: {text}", len(before))
