# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steady state: do all thresholds hold, and from which instant on did they hold again after a fault.

The instant of recovery is given as an interval it must lie in. A sample that was sent at ``at`` and answered at
``end`` shows a state that was true at some moment between the two. So a bad sample proves that recovery came
after its ``at``, and a good one that it came before its ``end``. A good order that was slow was still unanswered when
the threshold had passed: recovery came after that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ..common.bounds import fit_line
from ..common.peer_addresses import write_endpoint
from ..common.stats import find_percentile
from ..run.specification import Specification, Thresholds
from .evidence import Evidence, Order, Sample

#: The name of the signal that all orders make up together.
ORDERS = "orders"
#: So many missed samples in a row are a gap: what happened in it was not seen, so it was not steady.
MISSED = 5
_LEAST_GAP_S = 0.25
#: Share of the steady window, from its start, in which not a single sample may be bad. Errors that the
#: thresholds tolerate may come later; the thinning tail of an outage is not one of them.
CLEAN_SHARE = 1 / 3
#: A good order that was slow is no sign of a state when nothing else was bad for so long before and after it (s).
ALONE_S = 1.0
_QUOTED = 160


class Point(NamedTuple):
    """One sample of a signal; ``slow`` is a good answer that came later than the threshold allows.

    waited_until: when a slow one was still unanswered, and the threshold passed; boottime, s. alone: it was slow, and
    nothing else was bad around it, so that it says nothing of a state. said: why it failed, in whose words there are.
    """

    at: float
    end: float
    failed: bool
    slow: bool = False
    latency_ms: float = 0.0
    waited_until: float = 0.0
    alone: bool = False
    said: str = ""

    @property
    def bad(self) -> bool:
        """True when the sample alone would not be steady."""
        return self.failed or self.slow

    @property
    def bad_at(self) -> float:
        """The latest instant at which a bad sample shows that it was not steady."""
        return max(self.at, self.waited_until) if self.slow else self.at


@dataclass(frozen=True)
class Signal:
    """All samples of one probe, or all orders, by send time. ``gap_s``: longer without a sample is a gap.

    where: what was asked, as this host reaches it.
    """

    name: str
    points: Sequence[Point]
    gap_s: float
    tolerant: bool = False
    times: Sequence[float] = field(default=(), repr=False)
    where: str = ""

    def between(self, start: float, end: float) -> Sequence[Point]:
        """Return the samples sent in (start, end]."""
        return self.points[bisect_right(self.times, start) : bisect_right(self.times, end)]

    def widest_gap(self, start: float, end: float) -> float:
        """Return the longest stretch of [start, end] in which no sample was sent, seconds."""
        edges = [start, *(point.at for point in self.between(start, end)), end]
        return max(later - earlier for earlier, later in zip(edges, edges[1:]))

    def broken(self, start: float, end: float, limits: Thresholds) -> str | None:
        """Return in words why this signal was not steady in (start, end], None when it was."""
        points = self.between(start, end)
        widest = self.widest_gap(start, end)
        if not points or widest > self.gap_s:
            return f"{self.name}: {widest:.2f} s without a sample"
        failed = sum(point.failed for point in points)
        if not self.tolerant:
            return (
                f"{self.name}: {failed} of {len(points)} samples bad{self._quote(points)}" if failed else None
            )
        if failed > limits.error_ratio * len(points):
            share = f"more than {limits.error_ratio:.2%}"
            return f"{self.name}: {failed} of {len(points)} failed, {share}{self._quote(points)}"
        p99 = find_percentile(
            [point.latency_ms for point in points if not point.failed and not point.alone], 99
        )
        if p99 is not None and p99 > limits.p99_ms:
            return f"{self.name}: 99th percentile {p99:.0f} ms, above {limits.p99_ms:.0f} ms"
        return None

    def _quote(self, points: Sequence[Point]) -> str:
        """Return what most of those that failed said, and what was asked: a count alone tells nobody what to mend."""
        said = Counter(point.said for point in points if point.failed and point.said).most_common(1)
        if not said:
            return ""
        whence = f", from this host to {self.where}" if self.where else ""
        return f" ({fit_line(said[0][0], _QUOTED)}{whence})"


@dataclass(frozen=True)
class Recovery:
    """Steady state was back at some instant in [earliest, latest], boottime.

    ``last_bad`` and ``first_good`` name the signals that set the bounds; ``left`` is False when steady state
    was never left at all.
    """

    earliest: float
    latest: float
    last_bad: str
    first_good: str
    samples: int
    left: bool = True


def build_signals(spec: Specification, orders: Iterable[Order], probes: Iterable[Sample]) -> list[Signal]:
    """Return the signals of steady state: every probe whose role counts, sampled or not, and the orders.

    Not those of the surge: it looks for what the exchange bears, and stands for no user.
    """
    limits = spec.thresholds
    found = []
    if spec.load is not None:
        points = [
            Point(
                order.sent,
                order.end,
                order.failed,
                order.ok and order.latency_ms > limits.p99_ms,
                order.latency_ms,
                order.at + limits.p99_ms / 1000,
                said=_words(order.error, order.status, order.kind),
            )
            for order in orders
            if order.telling and not order.surge
        ]
        found.append(
            _signal(ORDERS, _excuse(points), spec.load.rate or 1.0, tolerant=True, where=spec.load.url)
        )
    samples = list(probes)
    for probe in spec.probes:
        if probe.role in spec.steady_roles:
            points = [
                Point(one.at, one.end, not one.ok, said=_words(one.detail, one.status, one.kind))
                for one in samples
                if one.probe == probe.name
            ]
            where = probe.url or (write_endpoint(probe.address, probe.port) if probe.port else "")
            found.append(_signal(probe.name, points, probe.rate or 1.0, where=where))
    return found


def _words(told: str | None, status: int, kind: str) -> str:
    return told or (f"status {status}" if status else kind)


def _excuse(points: Iterable[Point]) -> list[Point]:
    """Return the points by send time, those left out of what is bad that were slow alone within a second."""
    ordered = sorted(points, key=lambda point: point.at)
    bad = [point.at for point in ordered if point.bad]
    return [
        point._replace(slow=False, alone=True)
        if point.slow and bisect_right(bad, point.at + ALONE_S) - bisect_left(bad, point.at - ALONE_S) == 1
        else point
        for point in ordered
    ]


def _signal(
    name: str, points: list[Point], rate: float, *, tolerant: bool = False, where: str = ""
) -> Signal:
    ordered = sorted(points, key=lambda point: point.at)
    gap = max(_LEAST_GAP_S, MISSED / rate)
    return Signal(name, ordered, gap, tolerant, [point.at for point in ordered], where)


@lru_cache(maxsize=4)
def signals_of(evidence: Evidence) -> Sequence[Signal]:
    """Return the signals of a whole run."""
    return build_signals(evidence.spec, evidence.orders, evidence.probes)


def unsteady_reasons(found: Sequence[Signal], start: float, end: float, limits: Thresholds) -> list[str]:
    """Return in words what kept (start, end] from being steady; an empty list says that it was."""
    if not found:
        return ["nothing was sampled"]
    broken = (signal.broken(start, end, limits) for signal in found)
    return [reason for reason in broken if reason is not None]


def unsteady_stretches(found: Sequence[Signal], start: float, end: float, limits: Thresholds) -> list[str]:
    """Return in words what keeps (start, end] from being a steady stretch after a fault.

    Stricter than :func:`reasons`: its first third must be clean, so that what is tolerated is not the outage's tail.
    """
    clean = start + (end - start) * CLEAN_SHARE
    tails = [
        f"{signal.name}: bad samples at the start of the steady stretch"
        for signal in found
        if any(point.bad for point in signal.between(start, clean))
    ]
    return unsteady_reasons(found, start, end, limits) or tails


def unsettled_reasons(
    found: Sequence[Signal], since: float, now: float, steady_s: float, limits: Thresholds
) -> list[str]:
    """Return in words why a run under way may not be called steady again at ``now``.

    Its last ``steady_s`` seconds must be steady, and those who judge afterwards must find as long a stretch after the
    fault at ``since``: they let one begin at the end of a gap, such as a sample leaves that timed out.
    """
    kept = unsteady_stretches(found, now - steady_s, now, limits)
    if kept or find_recovery(found, since, now, steady_s, limits) is not None:
        return kept
    return ["steady for too short since the last gap"]


def unseen_signals(found: Sequence[Signal], start: float, end: float) -> list[str]:
    """Return the names of the signals that were not watched all through (start, end]."""
    return [signal.name for signal in found if signal.widest_gap(start, end) > signal.gap_s]


def find_recovery(
    found: Sequence[Signal], since: float, until: float, steady_s: float, limits: Thresholds
) -> Recovery | None:
    """Find the first ``steady_s`` seconds after ``since`` in which all thresholds hold, None if there are none.

    Only samples sent in (since, until] count. May be called on a run under way, with ``until`` set to now.
    """
    if not found:
        return None
    bad = sorted(point.at for signal in found for point in signal.between(since, until) if point.bad)
    for start in sorted({since, *bad, *_gap_ends(found, since, until)}):
        following = bisect_right(bad, start)
        if following < len(bad) and bad[following] <= start + steady_s * CLEAN_SHARE:
            continue  # as unsteady() would find, at a fraction of its cost
        if start + steady_s <= until and not unsteady_stretches(found, start, start + steady_s, limits):
            return _interval(found, since, start, until)
    return None


def _gap_ends(found: Sequence[Signal], since: float, until: float) -> Iterable[float]:
    """Yield the first sample after each gap: where nothing was seen, steady state can begin at its end at best."""
    for signal in found:
        times = [since, *(point.at for point in signal.between(since, until))]
        yield from (later for earlier, later in zip(times, times[1:]) if later - earlier > signal.gap_s)


def _interval(found: Sequence[Signal], since: float, start: float, until: float) -> Recovery:
    """Bound the instant: after the last bad sample up to ``start``, before each signal's first good one after its own.

    Where ``start`` is the end of a gap, what was good before the gap proves nothing: the bound is the sample there.
    """
    earliest, latest = (since, ""), (since, "")
    samples = 0
    for signal in found:
        seen = signal.between(since, start)
        samples += len(seen) + 1
        bad = [point for point in seen if point.bad]
        if bad:
            good_at = _first_good(signal, bad[-1].at, until)
            earliest = max(earliest, (min(good_at, max(point.bad_at for point in bad)), signal.name))
            latest = max(latest, (good_at, signal.name))
    if earliest[0] < start:
        ends = [
            (point.end, signal.name)
            for signal in found
            for point in signal.between(since, start)
            if point.at == start
        ]
        latest = max([latest, *ends])
    return Recovery(earliest[0], latest[0], earliest[1], latest[1], samples, left=start > since)


def _first_good(signal: Signal, after: float, until: float) -> float:
    """The earliest end of a good sample sent after ``after``: answers need not come in the order of the questions."""
    return min(point.end for point in signal.between(after, until) if not point.bad)
