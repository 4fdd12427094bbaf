# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went on without the killed service: orders, their latency, and the other services among themselves."""

from __future__ import annotations

from ....common import intervals
from ....common.stats import find_percentile
from ....evidence.evidence import Evidence
from ....evidence.phases import Window, fault_onset, find_baseline, users_orders
from ..registry import LATENCY, SPEED, Measured, per_fault
from .recovery import trouble_ends

#: A baseline faster than this (ms) would make ratios of noise.
_LEAST_MS = 10.0
_FEWEST = 10


@per_fault("errors_while_away", "ratio", without_fault=True, rests_on=SPEED, of_events=True)
def errors_while_away(evidence: Evidence, window: Window) -> Measured:
    """Share of failed orders among those sent while the target was away."""
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    sent = [order for order in users_orders(evidence.orders, start, end) if order.telling]
    if not sent:
        return Measured(
            None, f"load.jsonl: no orders in the {end - start:.2f} s in which the target was away"
        )
    failed = sum(order.failed for order in sent)
    kinds = sorted({order.kind for order in sent if order.failed})
    text = f"load.jsonl: {failed} of {len(sent)} orders failed in {end - start:.2f} s"
    return Measured(failed / len(sent), text + (f" ({', '.join(kinds)})" if kinds else ""), len(sent))


@per_fault("latency_while_away", "times", without_fault=True, rests_on=LATENCY, of_events=True)
def latency_while_away(evidence: Evidence, window: Window) -> Measured:
    """95th percentile of the good orders' latency while the target was away, against the baseline's (or 10 ms).

    Of the steady stream alone: the streams of a fault's first instants are dense there, so a short stall at the
    kill would weigh in the whole as if it had lasted.
    """
    before = find_baseline(evidence)
    if before is None:
        return Measured(None, "there was no baseline to compare with")
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    good = [order for order in evidence.orders if order.ok]
    quiet = [order.latency_ms for order in users_orders(good, before.start, before.end)]
    during = [order.latency_ms for order in users_orders(good, start, end)]
    then, now = find_percentile(quiet, 95), find_percentile(during, 95)
    if then is None or now is None or len(during) < _FEWEST:
        text = f"load.jsonl: {len(during)} good orders of the steady stream while away, {len(quiet)} before"
        return Measured(None, text)
    text = f"load.jsonl: 95th percentile {then:.1f} ms before, {now:.1f} ms while away"
    known = intervals.bound_ratio(
        intervals.percentile_bounds(during, 95), intervals.percentile_bounds(quiet, 95), _LEAST_MS
    )
    return Measured(now / max(then, _LEAST_MS), text, len(during), interval=known, seconds=end - start)


@per_fault("peer_errors", "ratio", without_fault=True, rests_on=SPEED)
def peer_errors(evidence: Evidence, window: Window) -> Measured:
    """Share of bad answers of services that do not need the target, while it was away. Needs probes of role peer."""
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    found = [one for one in evidence.probes if one.role == "peer" and start <= one.at < end]
    if not found:
        return Measured(None, "probes.jsonl: no samples of a probe with role peer while the target was away")
    bad = [one for one in found if not one.ok]
    text = f"probes.jsonl: {len(bad)} of {len(found)} answers bad"
    return Measured(len(bad) / len(found), text + (f", first: {bad[0].detail}" if bad else ""), len(found))
