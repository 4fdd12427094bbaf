# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the load's own orders, kept for as long as the load itself has to judge by it. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...common.stats import find_percentile
from ...exchange.rush import STREAM

#: Seconds of outcomes that are kept: the baseline that a surge is compared with, and room to spare.
KEPT_S = 30.0
SURGE = "burst"
_RATE_LIMITED = 429


@dataclass(frozen=True)
class Outcome:
    """One order that ended. ``at``: when it was meant to go out, ``sent``: when it did; boottime, s."""

    at: float
    sent: float
    end: float
    ok: bool
    #: On top of what stands for users: the surge around a kill, or a fault that consists of orders.
    surge: bool
    #: Says something of the exchange: it was sent, and not refused for our own rate.
    telling: bool

    @property
    def latency_ms(self) -> float:
        """From the instant it was meant to go out."""
        return (self.end - self.at) * 1000

    @property
    def late_ms(self) -> float:
        """By how much it went out late."""
        return (self.sent - self.at) * 1000

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Outcome:
        """Read a line of load.jsonl."""
        telling = line["status"] != _RATE_LIMITED and line["kind"] != "dropped"
        surge = line["stream"] in (SURGE, STREAM)
        return cls(
            float(line["at"]), float(line["sent"]), float(line["end"]), bool(line["ok"]), surge, telling
        )


@dataclass
class Outcomes:
    """The outcomes of the last half minute, by the instant they ended; and since when the oldest order waits."""

    all: list[Outcome] = field(default_factory=list)
    #: When the oldest order under way was sent, None while none is.
    waiting_since: float | None = None
    _ends: list[float] = field(default_factory=list)

    def add(self, lines: Iterable[Mapping[str, Any]], waiting_since: float | None) -> None:
        """Take in what ended since the last call."""
        self.waiting_since = waiting_since
        found = sorted((Outcome.from_line(line) for line in lines), key=lambda outcome: outcome.end)
        self.all += found
        self._ends += [outcome.end for outcome in found]
        old = bisect_left(self._ends, self._ends[-1] - KEPT_S) if self._ends else 0
        if old > len(self._ends) // 2:  # now and then, not at each call
            del self.all[:old], self._ends[:old]

    def ended(self, start: float, end: float) -> list[Outcome]:
        """Return what ended in (start, end]."""
        return self.all[bisect_right(self._ends, start) : bisect_right(self._ends, end)]

    def waited_s(self, now: float) -> float:
        """Return for how long the oldest order under way has waited."""
        return 0.0 if self.waiting_since is None else now - self.waiting_since


def latency_ms(outcomes: Iterable[Outcome], q: float = 50) -> float | None:
    """Return a percentile of the latency of the good orders that are not the surge's, None of too few to tell."""
    values = [one.latency_ms for one in outcomes if one.ok and not one.surge]
    return find_percentile(values, q) if len(values) >= FEWEST else None


#: Fewer good orders than this have no median worth the name.
FEWEST = 5
