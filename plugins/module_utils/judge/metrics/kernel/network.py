# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cut or a slow path does: who else was hit, how the kernel and the orders bore it, how it healed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....common import intervals
from ....common.stats import find_median
from ....evidence.evidence import Evidence, Order
from ....evidence.phases import Window, engine_events, fault_windows, find_baseline, users_orders
from ..exchange.recovery import find_recovery
from ..registry import LATENCY, SPEED, Measured, per_fault, per_run
from .connects import explain_unseen, list_connects, on_path

#: Time-outs have begun where more than this share of the orders failed.
_FAILING = 0.02
#: A path is hit where more than this share of its samples is bad: a hiccup of the machine is none of the fault's.
_HIT = 0.02
#: A connection on which the kernel sends so often again meets silence; once, an answer was merely late.
_SILENT = 2
#: Retransmissions of one segment closer than this are one round; a gap has grown that is this much longer.
_ROUND_S, _GROWTH = 0.01, 1.5
#: A baseline faster than this (ms) would make ratios of noise.
_LEAST_MS = 10.0
_SAME_PROCESS = "is the one it was"


@per_fault("heal_to_first_order_s", "s", rests_on=SPEED)
def heal_to_first_order_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the undo to the first acknowledged order after it; 0 where orders were acknowledged all along."""
    if window.undone is None:
        return Measured(None, "the fault was not undone")
    during = [order for order in evidence.orders if window.injected <= order.sent < window.undone]
    if during and all(order.ok for order in during if order.telling):
        return Measured(0.0, f"load.jsonl: none of {len(during)} orders failed meanwhile", len(during))
    after = [order for order in evidence.orders if window.undone <= order.end and order.sent <= window.end]
    first = min((order.end for order in after if order.ok), default=None)
    if first is None:
        if not after:
            return Measured(None, "load.jsonl: no orders after the undo")
        text = f"load.jsonl: none of {len(after)} orders acknowledged until {evidence.anchor.iso(window.end)}"
        return Measured(window.end - window.undone, text, len(after), at_least=True)
    return Measured(
        first - window.undone,
        f"load.jsonl: first order acknowledged at {evidence.anchor.iso(first)}",
        len(after),
    )


@per_fault("blast_radius", "paths", without_fault=True, rests_on=SPEED)
def blast_radius(evidence: Evidence, window: Window) -> Measured:
    """Paths that were hit besides the one that was meant: to the stores from outside, and the target's own others.

    A path to a store is hit if its port did not answer; one of the target's own if the kernel saw it retransmit
    more than once on a connection, or wait for an answer that never came, on a port other than the peer's.
    """
    end = window.end if window.undone is None else window.undone
    probed = _probed(evidence, window.injected, end)
    if not probed:
        return Measured(None, "probes.jsonl: no store's port was probed meanwhile")
    hit = {
        f"to {name} ({bad} of {count} probes bad)"
        for name, (bad, count) in probed.items()
        if bad > _HIT * count
    }
    text = f"probes.jsonl: {', '.join(probed)} probed"
    if explain_unseen(evidence) is None:
        others = _others(evidence, window, window.injected, end)
        hit |= {f"{window.target} to port {port}" for port in others}
        text += f"; bpf.jsonl: {len(others)} other ports of {window.target} unanswered"
    else:
        text += "; without the kernel's word on the target's own connections"
    return Measured(
        len(hit),
        f"{text}{': ' if hit else ''}{', '.join(sorted(hit))}",
        sum(n for _name, n in probed.values()),
    )


@per_fault("target_restarts", "restarts", without_fault=True, of_events=True)
def target_restarts(evidence: Evidence, window: Window) -> Measured:
    """How often the target's main process ended, from the fault until the run's next one or its end."""
    deaths = engine_events(evidence, window, window.target, "die")
    if deaths:
        codes = ", ".join(str(event.get("exit_code")) for event in deaths)
        return Measured(len(deaths), f"engine.jsonl: {window.target} died (exit code {codes})", len(deaths))
    said = [event for event in evidence.timeline.proofs(window.id) if _SAME_PROCESS in str(event.get("fact"))]
    if not said and not evidence.engine:
        return Measured(None, "nobody looked whether its main process stayed the same")
    gone = [event for event in said if not event.get("holds")]
    text = "engine.jsonl: it did not die" + ("; its main process was the same at the undo" if said else "")
    return Measured(len(gone), f"{window.target} has another main process" if gone else text, len(said))


@per_fault("retransmits", "packets", without_fault=True)
def count_retransmits(evidence: Evidence, window: Window) -> Measured:
    """Packets to the peer that the target's kernel sent again while the fault was held."""
    found = _held(evidence, window, "TCP_RETRANSMIT")
    flows = {event.get("lport") for event in found}
    return explain_unseen(evidence, window) or Measured(
        len(found), f"bpf.jsonl: {len(found)} retransmissions on {len(flows)} connections", len(found)
    )


@per_fault("retransmits_back_off", None)
def retransmits_back_off(evidence: Evidence, window: Window) -> Measured:
    """Did the gap between two retransmissions of a connection grow, as TCP's does on a silent path?"""
    flows: dict[Any, list[float]] = {}
    for event in _held(evidence, window, "TCP_RETRANSMIT"):
        times = flows.setdefault(event.get("lport"), [])
        if not times or float(event["t"]) - times[-1] > _ROUND_S:
            times.append(float(event["t"]))
    gaps = {
        port: [b - a for a, b in zip(times, times[1:])] for port, times in flows.items() if len(times) > 2
    }
    if explain_unseen(evidence, window) or not gaps:
        return explain_unseen(evidence, window) or Measured(
            None, "bpf.jsonl: no connection retransmitted three times"
        )
    grew = [port for port, series in gaps.items() if series[-1] >= _GROWTH * series[0]]
    longest = max(max(series) for series in gaps.values())
    text = f"bpf.jsonl: gaps grew on {len(grew)} of {len(gaps)} connections, up to {longest:.2f} s"
    return Measured(len(grew) == len(gaps), text, sum(map(len, gaps.values())))


@per_fault("gave_up_after_s", "s")
def gave_up_after_s(evidence: Evidence, window: Window) -> Measured:
    """Median age of the connects to the peer that the application closed unanswered: its own time-out, as seen."""
    found = [event for event in _held(evidence, window, "CONN_GAVE_UP") if event.get("duration_ms")]
    middle = find_median([float(event["duration_ms"]) / 1000 for event in found])
    if explain_unseen(evidence, window) or middle is None:
        return explain_unseen(evidence, window) or Measured(
            None, "bpf.jsonl: no connect was given up unanswered"
        )
    return Measured(middle, f"bpf.jsonl: {len(found)} connects given up", len(found))


@per_fault("added_latency_ms", "ms", without_fault=True, rests_on=LATENCY)
def added_latency_ms(evidence: Evidence, window: Window) -> Measured:
    """Median latency of the acknowledged orders while the fault was held, less that of the baseline."""
    during, before = _good(_sent(evidence, window)), _good(_before(evidence))
    middle, usual = find_median(during), find_median(before)
    if middle is None or usual is None:
        return Measured(None, "load.jsonl: no acknowledged orders while it was held, or none before")
    text = (
        f"load.jsonl: median {middle:.1f} ms of {len(during)} orders, before: {usual:.1f} ms of {len(before)}"
    )
    known = intervals.bound_difference(
        intervals.percentile_bounds(during, 50), intervals.percentile_bounds(before, 50)
    )
    seconds = (window.undone or window.end) - window.injected
    return Measured(middle - usual, text, len(during) + len(before), interval=known, seconds=seconds)


@per_fault("latency_per_ms", "ms/ms", rests_on=LATENCY)
def latency_per_ms(evidence: Evidence, window: Window) -> Measured:
    """Milliseconds an order takes longer for each millisecond injected: the round trips it makes on that path."""
    delay, added = _delay(window), added_latency_ms(evidence, window)
    if not delay:
        return Measured(None, "the fault adds no delay")
    if not isinstance(added.value, float):
        return added
    low, high = added.interval or (added.value, added.value)
    return replace(
        added,
        value=added.value / delay,
        evidence=f"{added.evidence}; {delay:g} ms injected",
        interval=(low / delay, high / delay),
    )


@per_fault("failed_while_held", "ratio", without_fault=True, rests_on=SPEED)
def failed_while_held(evidence: Evidence, window: Window) -> Measured:
    """Share of the orders sent while the fault was held that failed or timed out."""
    sent = [order for order in _sent(evidence, window) if order.telling]
    if not sent:
        return Measured(None, "load.jsonl: no orders while it was held")
    failed = sum(order.failed for order in sent)
    return Measured(failed / len(sent), f"load.jsonl: {failed} of {len(sent)} orders failed", len(sent))


@per_run("timeouts_begin_ms", "ms", rests_on=LATENCY)
def timeouts_begin_ms(evidence: Evidence, window: Window | None) -> Measured:
    """The smallest injected delay at which orders fail; at least the largest one injected, if none did."""
    chosen = [window] if window else list(fault_windows(evidence))
    steps = [(_delay(step), step) for step in chosen if _delay(step)]
    steps = [(delay, step) for delay, step in steps if failed_while_held(evidence, step).value is not None]
    steps.sort(key=lambda one: one[0])
    if not steps:
        return Measured(None, "no step of added delay with orders in it")
    for delay, step in steps:
        found = failed_while_held(evidence, step)
        if isinstance(found.value, float) and found.value > _FAILING:
            return Measured(delay, f"{step.id}: {found.evidence}", found.samples)
    most = steps[-1][0]
    return Measured(most, f"load.jsonl: none up to {most:g} ms", len(steps), at_least=True)


@per_fault("latency_after", "times", rests_on=LATENCY)
def latency_after(evidence: Evidence, window: Window) -> Measured:
    """Median latency of the acknowledged orders once steady state was back, against the baseline's (or 10 ms)."""
    found = find_recovery(evidence, window)
    if found is None:
        return Measured(None, "steady state did not come back")
    start = max(found.latest, window.undone or window.injected)
    after = _good(users_orders(evidence.orders, start, window.end))
    middle, usual = find_median(after), find_median(_good(_before(evidence)))
    if middle is None or usual is None:
        return Measured(None, "load.jsonl: no acknowledged orders after it, or none before")
    text = f"load.jsonl: median {middle:.1f} ms of {len(after)} orders, before: {usual:.1f} ms"
    known = intervals.bound_ratio(
        intervals.percentile_bounds(after, 50),
        intervals.percentile_bounds(_good(_before(evidence)), 50),
        _LEAST_MS,
    )
    return Measured(
        middle / max(usual, _LEAST_MS), text, len(after), interval=known, seconds=window.end - start
    )


def _delay(window: Window) -> float:
    return float(window.spec.more.get("delay_ms") or 0)


def _sent(evidence: Evidence, window: Window) -> Sequence[Order]:
    end = window.end if window.undone is None else window.undone
    return users_orders(evidence.orders, window.injected, end)


def _before(evidence: Evidence) -> Sequence[Order]:
    before = find_baseline(evidence)
    return [] if before is None else users_orders(evidence.orders, before.start, before.end)


def _good(orders: Sequence[Order]) -> list[float]:
    return [order.latency_ms for order in orders if order.ok]


def _held(evidence: Evidence, window: Window, name: str) -> Sequence[Mapping[str, Any]]:
    end = window.end if window.undone is None else window.undone
    return list_connects(evidence, window, name, window.injected, end)


def _probed(evidence: Evidence, start: float, end: float) -> dict[str, tuple[int, int]]:
    """Return {name: (bad, all)} of the samples of probes that connect to a store's port from outside the target."""
    names = [one.name for one in evidence.spec.probes if one.kind == "tcp"]
    found = {}
    for name in names:
        samples = [one for one in evidence.probes if one.probe == name and start <= one.at < end]
        if samples:
            found[name] = (sum(not one.ok for one in samples), len(samples))
    return found


def _others(evidence: Evidence, window: Window, start: float, end: float) -> list[int]:
    """Return the remote ports, other than the peer's, on which the target's own connections met silence."""
    meant = on_path(evidence, window)
    seen = [
        event
        for event in evidence.bpf
        if event.get("event") in ("TCP_RETRANSMIT", "CONN_GAVE_UP")
        and event.get("service") == window.target
        and not event.get("passive")
        and not event.get("control")
        and event.get("rport")
        and not meant(event)
        and start <= event["t"] <= end
    ]
    again = Counter(
        (event.get("lport"), int(event["rport"])) for event in seen if event["event"] == "TCP_RETRANSMIT"
    )
    silent = {port for (_lport, port), count in again.items() if count >= _SILENT}
    return sorted(silent | {int(event["rport"]) for event in seen if event["event"] == "CONN_GAVE_UP"})
