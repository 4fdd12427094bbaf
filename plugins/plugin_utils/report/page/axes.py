# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From times and values to places in a drawing, with the ticks a reader expects."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...record.samples import Span

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True)
class TimeAxis:
    """Time from left to right."""

    span: Span
    left: float
    width: float

    def x(self, at: float) -> float:
        """Return the place of an instant; what lies outside stands at the edge."""
        share = (at - self.span.start) / self.span.seconds
        return self.left + min(max(share, 0.0), 1.0) * self.width

    def ticks(self, most: int = 10) -> list[float]:
        """Return instants at whole steps, ``most`` of them at the most."""
        step = next((each for each in _STEPS if self.span.seconds / each <= most), self.span.seconds / most)
        first = math.ceil(self.span.start / step)
        return [number * step for number in range(first, math.floor(self.span.end / step) + 1)]


@dataclass(frozen=True)
class LogAxis:
    """Values from bottom to top, every tenfold as far as the next. ``low`` and ``high`` are positive."""

    low: float
    high: float
    top: float
    height: float

    def y(self, value: float) -> float:
        """Return the place of a value; what lies outside stands at the edge."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.top + self.height * (1 - share)

    def ticks(self) -> list[float]:
        """Return the powers of ten within."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def log_axis(least: float, most: float, top: float, height: float) -> LogAxis:
    """Return an axis on which values from ``least`` to ``most`` fit, from one power of ten to another."""
    low = 10.0 ** math.floor(math.log10(max(least, 0.1)))
    high = 10.0 ** math.ceil(math.log10(max(most, low * 10)))
    return LogAxis(low, max(high, low * 10), top, height)
