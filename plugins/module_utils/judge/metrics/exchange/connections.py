# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shortage of database connections does: who is still served, who waits, who connects anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ....common import intervals
from ....common.stats import find_median, find_percentile
from ....evidence.evidence import Evidence, Order
from ....evidence.phases import Phase, Window, fault_onset, find_baseline, users_orders
from ..kernel.connects import explain_unseen, list_connects
from ..registry import LATENCY, SPEED, Measured, per_fault

#: An order waits if it takes longer than the threshold and this many times the 99th percentile from before.
_SLOW_TIMES = 3.0
#: A connection that ends this soon after it was made was of no use: turned away, or opened for one question.
_SHORT_MS = 1000.0

DEGREES = ("unaffected", "queueing", "failing")


@per_fault("acknowledged_while_held", "ratio", without_fault=True, rests_on=SPEED)
def acknowledged_while_held(evidence: Evidence, window: Window) -> Measured:
    """Share of the orders sent while the fault was held that were acknowledged."""
    sent = _sent(evidence, window)
    if not sent:
        return Measured(None, "load.jsonl: no orders while the fault was held")
    good = sum(order.ok for order in sent)
    return Measured(
        good / len(sent), f"load.jsonl: {good} of {len(sent)} orders sent while held acknowledged", len(sent)
    )


@per_fault("queueing_or_failing", None, scale=DEGREES, without_fault=True, rests_on=LATENCY)
def queueing_or_failing(evidence: Evidence, window: Window) -> Measured:
    """What orders met while the fault was held: unaffected, queueing (late, but acknowledged), or failing."""
    sent, before = _sent(evidence, window), _before(evidence)
    if not sent or not before:
        return Measured(
            None, "load.jsonl: no orders while the fault was held, or none before to compare with"
        )
    limits = evidence.spec.thresholds
    failed = sum(order.failed for order in sent)
    usual = find_percentile([order.latency_ms for order in before], 99) or 0.0
    late = find_percentile([order.latency_ms for order in sent if order.ok], 99) or 0.0
    limit = max(limits.p99_ms, _SLOW_TIMES * usual)
    text = (
        f"load.jsonl: {failed} of {len(sent)} orders failed; 99th percentile of the good ones {late:.0f} ms, "
        f"before: {usual:.0f} ms"
    )
    if failed > limits.error_ratio * len(sent):
        return Measured("failing", text, len(sent))
    return Measured("queueing" if late > limit else "unaffected", text, len(sent))


@per_fault("added_wait_ms", "ms", without_fault=True, rests_on=LATENCY)
def added_wait_ms(evidence: Evidence, window: Window) -> Measured:
    """Milliseconds by which the median of acknowledged orders grew while the fault was held."""
    good = [order.latency_ms for order in _sent(evidence, window) if order.ok]
    during, usual = find_median(good), find_median([order.latency_ms for order in _before(evidence)])
    if during is None or usual is None:
        return Measured(None, "load.jsonl: no acknowledged order while the fault was held, or none before")
    usually = [order.latency_ms for order in _before(evidence)]
    known = intervals.bound_difference(
        intervals.percentile_bounds(good, 50), intervals.percentile_bounds(usually, 50)
    )
    start, end = _held(evidence, window)
    text = f"load.jsonl: median {during:.1f} ms while held, {usual:.1f} ms before"
    return Measured(during - usual, text, len(good), interval=known, seconds=end - start)


@per_fault("connection_churn", "connections/s", without_fault=True)
def connection_churn(evidence: Evidence, window: Window) -> Measured:
    """Connections per second that the application had to the target and that ended while the fault was held."""
    start, end = _held(evidence, window)
    if explain_unseen(evidence) or end <= start:
        return explain_unseen(evidence) or Measured(None, "the fault was held for no time")
    ended = list_connects(evidence, window, "CONN_CLOSED", start, end)
    before = find_baseline(evidence)
    usual = _rate(evidence, window, before) if before is not None else "not known"
    text = f"bpf.jsonl: {len(ended)} ended in {end - start:.2f} s; before: {usual}"
    return Measured(len(ended) / (end - start), text, len(ended))


@per_fault("short_connections", "connections", without_fault=True)
def short_connections(evidence: Evidence, window: Window) -> Measured:
    """Connections of the application that ended within a second of being made, while the fault was held.

    A refusal for want of a slot comes after TCP has connected: the kernel sees a short connection, not errno 111.
    """
    start, end = _held(evidence, window)
    ended = list_connects(evidence, window, "CONN_CLOSED", start, end)
    short = [event for event in ended if (event.get("duration_ms") or _SHORT_MS) < _SHORT_MS]
    return explain_unseen(evidence) or Measured(
        len(short),
        f"bpf.jsonl: {len(short)} of {len(ended)} ended connections lived less than 1 s",
        len(ended),
    )


@per_fault("connections_left_open", "connections", without_fault=True)
def connections_left_open(evidence: Evidence, window: Window) -> Measured:
    """How many more connections the application has at the end of the fault's window than when it began."""
    opened, ended = (
        len(list_connects(evidence, window, name, window.injected, window.end))
        for name in ("CONN_OK", "CONN_CLOSED")
    )
    return explain_unseen(evidence) or Measured(
        opened - ended,
        f"bpf.jsonl: {opened} opened, {ended} ended from the fault until the end",
        opened + ended,
    )


@per_fault("connections_piled_up", "connections", without_fault=True)
def connections_piled_up(evidence: Evidence, window: Window) -> Measured:
    """How many more connections to the target the application held at the worst than when the fault began."""
    start, end = _held(evidence, window)
    opened, ended = (list_connects(evidence, window, name, start, end) for name in ("CONN_OK", "CONN_CLOSED"))
    steps = sorted([(float(one["t"]), 1) for one in opened] + [(float(one["t"]), -1) for one in ended])
    most = max(accumulate(step for _at, step in steps), default=0)
    text = f"bpf.jsonl: {len(opened)} opened and {len(ended)} ended while the fault was held"
    return explain_unseen(evidence, window) or Measured(max(0, most), text, len(steps), seconds=end - start)


@per_fault("connections_taken", "connections")
def connections_taken(evidence: Evidence, window: Window) -> Measured:
    """Connections that the kernel took for the target while the fault was held (Tcp PassiveOpens of its namespace)."""
    told = [event for event in evidence.timeline.measured(fault=window.id) if "taken" in event]
    if not told:
        return Measured(None, "timeline.jsonl: nobody read the kernel's counts")
    value = int(told[-1]["taken"])
    return Measured(value, f"timeline.jsonl: {value} more at its end than at its begin", value)


@per_fault("connection_limit_kept", None)
def connection_limit_kept(evidence: Evidence, window: Window) -> Measured:
    """Is max_connections after the undo what it was before, and is no session of ours left in the server?"""
    told = [event for event in evidence.timeline.measured(fault=window.id) if "limit" in event]
    before = next((event for event in told if event.get("when") == "before"), None)
    after = next((event for event in reversed(told) if event.get("when") == "after"), None)
    if before is None or after is None:
        return Measured(None, "timeline.jsonl: PostgreSQL was not asked before and after")
    ours = int(after.get("ours") or 0)
    text = (
        f"timeline.jsonl: max_connections {before['limit']} before, {after['limit']} after; {ours} of our sessions left"
        f"{_others(before, after)}"
    )
    return Measured(before["limit"] == after["limit"] and not ours, text, 2)


def _others(before: Any, after: Any) -> str:
    if "others" not in before or "others" not in after:
        return ""
    return f"; sessions of others {before['others']} before, {after['others']} after"


def _held(evidence: Evidence, window: Window) -> tuple[float, float]:
    return fault_onset(evidence, window), window.undone or window.end


def _sent(evidence: Evidence, window: Window) -> list[Order]:
    """Return the orders whose intended send time lies in the time the fault was held."""
    return [order for order in users_orders(evidence.orders, *_held(evidence, window)) if order.telling]


def _before(evidence: Evidence) -> Sequence[Order]:
    before = find_baseline(evidence)
    if before is None:
        return []
    return [order for order in users_orders(evidence.orders, before.start, before.end) if order.ok]


def _rate(evidence: Evidence, window: Window, before: Phase) -> str:
    count = len(list_connects(evidence, window, "CONN_CLOSED", before.start, before.end))
    return f"{count} in {before.seconds:.2f} s"
