# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a comparison of two phases can be trusted. Pure, without chance, and whatever way latencies are spread.

The bounds of a percentile are order statistics: how many of n samples lie below the true percentile is binomial,
whatever the distribution. Source: W. J. Conover, Practical Nonparametric Statistics, 3rd edition 1999, section 3.2;
G. J. Hahn and W. Q. Meeker, Statistical Intervals, 1991, section 5.2. The bounds of a ratio or a difference take the
worst corner of the two: each end is then wrong in at most twice ERROR of all runs (Bonferroni).
Samples must not hang together. Those of a stall do, so a short one makes the interval narrower than it should be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

Bounds = tuple[float, float]
#: How often one bound of one percentile may be wrong; either end of a comparison is then right in 19 of 20 runs.
ERROR = 0.025


def percentile_bounds(values: Sequence[float], q: float, error: float = ERROR) -> Bounds:
    """Return between which values the true ``q``-th percentile (0 < q < 100) of non-negative figures lies.

    The lower bound is 0 and the upper infinity where there are too few values for one.
    """
    below, above = _ranks(len(values), q / 100, error)
    ordered = sorted(values)
    low = ordered[below - 1] if below >= 1 else 0.0
    high = ordered[above - 1] if above <= len(ordered) else math.inf
    return low, high


def bound_ratio(during: Bounds, before: Bounds, least: float = 0.0) -> Bounds:
    """Return the bounds of ``during / before``, where a ``before`` under ``least`` counts as that."""
    high, low = max(before[1], least), max(before[0], least)
    smallest = 0.0 if math.isinf(high) or not high else during[0] / high
    return smallest, math.inf if not low else during[1] / low


def bound_difference(during: Bounds, before: Bounds) -> Bounds:
    """Return the bounds of ``during - before``."""
    return during[0] - before[1], during[1] - before[0]


def seconds_to_tell(interval: Bounds, value: float, limit: float, seconds: float) -> float | None:
    """Return about how long a window would tell on which side of ``limit`` a value lies; None if no length would.

    The interval shrinks with the square root of the number of samples. One without a bound has none to shrink: there
    the window is doubled, as the least that could bring it.
    """
    gap = abs(limit - value)
    end = interval[1] if value <= limit else interval[0]
    if not gap:
        return None
    if math.isinf(end):
        return 2 * seconds
    return seconds * max(1.0, (abs(end - value) / gap) ** 2)


@lru_cache(maxsize=256)
def _ranks(count: int, share: float, error: float) -> tuple[int, int]:
    """Return the ranks (from 1) of the bounds among ``count`` sorted values; 0 and count + 1 stand for none."""
    below, above = 0, count + 1
    cumulated = 0.0
    for rank in range(count + 1):  # P(exactly `rank` values lie below the percentile)
        cumulated += math.exp(
            math.lgamma(count + 1)
            - math.lgamma(rank + 1)
            - math.lgamma(count - rank + 1)
            + rank * math.log(share)
            + (count - rank) * math.log1p(-share)
        )
        if cumulated <= error:
            below = rank + 1
        if cumulated >= 1 - error:
            above = rank + 1
            break
    return min(below, count), above
