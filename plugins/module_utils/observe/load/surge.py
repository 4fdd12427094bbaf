# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many orders a surge may bring: found in the placebo window, step by step, and given up at the first strain. Pure.

The surge is there to show a short loss: the closer together acknowledgements come before a kill, the less can vanish
between two of them. It goes no further than that needs, and no further than the exchange bears.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...common.stats import find_percentile
from .outcomes import Outcomes, latency_ms

#: Orders per second on top of the others; the run's own most follows them.
STEPS = (25.0, 50.0, 100.0, 150.0)
STEP_S = 0.5
#: From the placebo's begin to the first step: observers have their rate by then, and the first gaps were seen.
SETTLE_S = 0.6
#: The other streams' median may grow so many times, and by this much at least (ms), before it is strain.
TIMES, LEAST_MS = 2.0, 10.0
#: An order that has waited longer than this many times the 99th percentile before, and this long (s), is strain.
WAITS, LEAST_WAIT_S = 4.0, 0.25
#: Orders that went out so late (ms, 90th percentile of a step) say that this very host is at its end.
LATE_MS = 10.0
#: The baseline that is compared with, s before the placebo.
BASELINE_S = 8.0
#: Share of instants at which the last acknowledgement must have been near enough.
VISIBLE_Q = 99.0


@dataclass(frozen=True)
class Calm:
    """What the orders were like before: median and 99th percentile in ms, None of too few."""

    p50: float | None
    p99: float | None

    @classmethod
    def before(cls, outcomes: Outcomes, at: float) -> Calm:
        """Read it from the last seconds before an instant."""
        found = outcomes.ended(at - BASELINE_S, at)
        return cls(latency_ms(found), latency_ms(found, 99))

    @property
    def most_ms(self) -> float:
        """The median beyond which the other streams suffer."""
        return float("inf") if self.p50 is None else max(TIMES * self.p50, self.p50 + LEAST_MS)

    @property
    def most_wait_s(self) -> float:
        """How long an order may wait before something is wrong."""
        return max(LEAST_WAIT_S, WAITS * (self.p99 or 0.0) / 1000)


def explain_strain(outcomes: Outcomes, since: float, now: float, calm: Calm, what: str) -> str:
    """Return in words what the exchange, or this host, could not bear since an instant; "" while all is well."""
    seen = outcomes.ended(since, now)
    failed = [one for one in seen if not one.ok and one.at >= since]
    if failed:
        return f"{len(failed)} of {len(seen)} orders failed at {what}"
    if outcomes.waited_s(now) > calm.most_wait_s:
        return f"an order waited longer than {calm.most_wait_s:.2f} s at {what}"
    return ""


def explain_suffering(outcomes: Outcomes, since: float, now: float, calm: Calm, what: str) -> str:
    """Return in words how the other streams suffered in a whole stretch; "" while they did not."""
    seen = [one for one in outcomes.ended(since, now) if one.at >= since]
    median = latency_ms(seen)
    if median is not None and median > calm.most_ms:
        return f"the median answer took {median:.0f} ms at {what}, and {calm.p50:.0f} ms before"
    late = find_percentile([one.late_ms for one in seen], 90)
    if late is not None and late > LATE_MS:
        return f"this host sent its orders {late:.0f} ms late at {what}"
    return ""


def visible_ms(outcomes: Outcomes, start: float, end: float) -> float | None:
    """Return how long ago (ms) the last acknowledgement was at most, at 99 of 100 instants of a stretch; or None."""
    ends = [one.end for one in outcomes.ended(start - 1.0, end) if one.ok]
    instants = [start + k * 0.001 for k in range(int((end - start) * 1000))]
    gaps = []
    for instant in instants:
        before = bisect_right(ends, instant)
        gaps.append(1000 * (instant - ends[before - 1]) if before else float("inf"))
    found = find_percentile(gaps, VISIBLE_Q)
    return None if found is None or found == float("inf") else round(found, 1)


@dataclass
class Climb:
    """The steps of one placebo. ``rate`` is what the surge brings now; ``plan`` what came of it, once it is over."""

    most: float
    wanted_ms: float
    begun: float
    calm: Calm
    rate: float = 0.0
    plan: dict[str, Any] | None = None
    reached: float = 0.0
    _steps: Sequence[float] = ()
    _stepped: float = 0.0
    _good: list[tuple[float, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._steps = [*(step for step in STEPS if step < self.most), self.most]
        self._stepped = self.begun

    def tick(self, outcomes: Outcomes, now: float) -> float:
        """Look at what came of the step under way; returns the surge's rate from now on."""
        if self.plan is None and now >= self.begun + (SETTLE_S if not self.rate else 0.0):
            told = explain_strain(outcomes, self._stepped, now, self.calm, self._what)
            if told:
                self.end(told)
            elif not self.rate or now >= self._stepped + STEP_S:
                self._judge(outcomes, now)
        return self.rate

    def end(self, reason: str = "") -> None:
        """Stop climbing; the last good step is the plan."""
        if self.plan is None:
            rate, visible = self._good[-1] if self._good else (0.0, None)
            self.plan = {"rate": rate, "reached": self.reached, "visible_ms": visible, "reason": reason}
        self.rate = 0.0

    @property
    def _what(self) -> str:
        return f"{self.rate:g} orders/s more" if self.rate else "the rate of a fault's watch"

    def _judge(self, outcomes: Outcomes, now: float) -> None:
        """A step is over: go on, or be content with it, or with the one before."""
        told = explain_suffering(outcomes, self._stepped, now, self.calm, self._what)
        if told:
            self.end(told)
            return
        # what a step begins with is still the gaps of the one before
        visible = visible_ms(outcomes, min(self._stepped + 0.1, now), now)
        self._good.append((self.rate, visible))
        higher = [step for step in self._steps if step > self.rate]
        if visible is not None and visible <= self.wanted_ms:
            self.end()
        elif not higher:
            self.end(f"{self.most:g} orders/s more is the most this run may send")
        else:
            self.rate = self.reached = higher[0]
            self._stepped = now
