# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each restart of a deployment cost: orders, time, requests cut off; and who would not end when asked."""

from __future__ import annotations

from collections.abc import Sequence

from ....evidence import steady_state
from ....evidence.evidence import Evidence, Order, Sample
from ....evidence.phases import Window, orders_within
from ...proofs.proof import store_samples
from ...restarts import Restart, find_restarts
from ..registry import SPEED, Measured, per_fault

#: Probes of requests that take their time, so that one is under way.
_DRAIN = "drain"


@per_fault("failed_per_restart", "orders", rests_on=SPEED, of_events=True)
def failed_per_restart(evidence: Evidence, window: Window) -> Measured:
    """Orders that failed in the restart which cost most: from its signal to the next one's."""
    found = find_restarts(evidence, window)
    if not found:
        return _none_seen()
    costs = [(one, [order for order in _sent_in(evidence, one) if order.telling]) for one in found]
    failed = [(one, sum(order.failed for order in sent), len(sent)) for one, sent in costs]
    text = ", ".join(f"{one.service} {count} of {all_}" for one, count, all_ in failed)
    return Measured(
        max(count for _one, count, _all in failed),
        f"load.jsonl, engine.jsonl: failed by restart: {text}",
        sum(all_ for _one, _count, all_ in failed),
    )


@per_fault("restart_gap_s", "s", rests_on=SPEED, of_events=True)
def restart_gap_s(evidence: Evidence, window: Window) -> Measured:
    """Longest time without an acknowledged order in any one restart."""
    found = find_restarts(evidence, window)
    if not found:
        return _none_seen()
    gaps = [(_widest_gap(evidence, one), one.service) for one in found]
    text = ", ".join(f"{service} {gap:.2f} s" for gap, service in gaps)
    return Measured(max(gaps)[0], f"load.jsonl, engine.jsonl: longest by restart: {text}", len(gaps))


@per_fault("ignored_stops", "containers", of_events=True)
def ignored_stops(evidence: Evidence, window: Window) -> Measured:
    """How many containers did not end when asked, so that the engine killed them after the grace."""
    found = find_restarts(evidence, window)
    if not found:
        return _none_seen()
    ignored = [one for one in found if one.ignored]
    told = ", ".join(
        f"{one.service} killed after {(one.died or one.asked) - one.asked:.1f} s" for one in ignored
    )
    ended = ", ".join(f"{one.service} {one.exit_code}" for one in found if not one.ignored)
    text = f"engine.jsonl: {told or 'all ended when asked'}; exit codes of the others: {ended or 'none'}"
    return Measured(len(ignored), text, len(found))


@per_fault("cut_requests", "requests", of_events=True)
def cut_requests(evidence: Evidence, window: Window) -> Measured:
    """Requests that the proxy had begun when it was asked to end, and did not answer. Needs a probe of role drain.

    A request that comes later may be refused. One that was begun is finished by who drains its connections.
    """
    proxy = evidence.service("proxy")
    asked = next((one.asked for one in find_restarts(evidence, window) if one.service == proxy), None)
    if asked is None:
        return Measured(None, "engine.jsonl: no restart of the proxy was seen")
    under_way = [one for one in evidence.probes if one.role == _DRAIN and one.at < asked < one.end]
    if not under_way:
        return Measured(
            None, f"probes.jsonl: no request of role {_DRAIN} was under way when the proxy was asked to end"
        )
    cut = [one for one in under_way if not one.status]
    why = f" ({cut[0].detail})" if cut else ""
    text = f"probes.jsonl: {len(cut)} of {len(under_way)} requests under way got no answer{why}"
    return Measured(len(cut), text, len(under_way))


@per_fault("ready_without_store", "answers")
def ready_without_store(evidence: Evidence, window: Window) -> Measured:
    """Answers of the application that called it ready while its database's port was closed by the restart."""
    database = evidence.service("database")
    if database is None or database not in window.targets:
        return Measured(None, "the database is none of the services that were restarted")
    ports = [one for one in store_samples(evidence, database) if window.injected <= one.at <= window.end]
    closed = _closed(ports)
    if not closed:
        return Measured(None, f"probes.jsonl: nobody saw the port of {database} closed")
    told = [
        one
        for one in evidence.probes
        if one.role == "readiness" and any(start <= one.at and one.end <= end for start, end in closed)
    ]
    if not told:
        return Measured(None, "probes.jsonl: readiness was not asked while the port was closed")
    early = [one for one in told if one.ok]
    seconds = sum(end - start for start, end in closed)
    text = (
        f"probes.jsonl: {len(early)} of {len(told)} answers said ready in {seconds:.2f} s without {database}"
    )
    return Measured(len(early), text, len(told))


@per_fault("restart_to_ready_s", "s", rests_on=SPEED, of_events=True)
def restart_to_ready_s(evidence: Evidence, window: Window) -> Measured:
    """Longest time from the signal until the container's own health check called it healthy; and in which order."""
    known = [one for one in find_restarts(evidence, window) if one.healthy is not None]
    if not known:
        return Measured(None, "engine.jsonl: no health check spoke after a restart")
    times = [((one.healthy or one.asked) - one.asked, one.service) for one in known]
    text = ", ".join(f"{service} {seconds:.1f} s" for seconds, service in times)
    return Measured(max(times)[0], f"engine.jsonl: signal to healthy: {text}", len(times))


@per_fault("steady_after_last_s", "s", rests_on=SPEED, of_events=True)
def steady_after_last_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the last container's start until steady state was back."""
    found = [one for one in find_restarts(evidence, window) if one.started is not None]
    if not found:
        return _none_seen()
    last = found[-1]
    back = steady_state.find_recovery(
        steady_state.signals_of(evidence), last.asked, window.end, evidence.spec.windows.steady_s,
        evidence.spec.thresholds,
    )  # fmt: skip
    started = last.started or last.asked
    if back is None:
        text = f"load.jsonl, probes.jsonl: not steady until {evidence.anchor.iso(window.end)}"
        return Measured(window.end - started, text, len(found), at_least=True, never=True)
    text = f"{last.service} started {evidence.anchor.iso(started)}, steady {evidence.anchor.iso(back.latest)}"
    bounds = max(0.0, back.earliest - started), max(0.0, back.latest - started)
    return Measured(bounds, text, back.samples)


def _none_seen() -> Measured:
    return Measured(None, "engine.jsonl: no restart of a target was seen")


def _sent_in(evidence: Evidence, one: Restart) -> list[Order]:
    return orders_within(evidence.orders, one.asked, one.until)


def _widest_gap(evidence: Evidence, one: Restart) -> float:
    """Between acknowledgements, from the signal to the next restart's: its edges count as acknowledged."""
    times = sorted(order.end for order in evidence.orders if order.ok and one.asked <= order.end <= one.until)
    edges = [one.asked, *times, one.until]
    return max(later - earlier for earlier, later in zip(edges, edges[1:]))


def _closed(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The stretches in which a port was surely closed: from one bad sample's end to the last bad one's beginning."""
    found: list[tuple[float, float]] = []
    first: Sample | None = None
    last: Sample | None = None
    for sample in [*samples, None]:
        if sample is not None and not sample.ok:
            first, last = first or sample, sample
            continue
        if first is not None and last is not None and last.at > first.end:
            found.append((first.end, last.at))
        first = last = None
    return found
