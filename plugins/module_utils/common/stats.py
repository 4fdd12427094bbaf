# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few statistics a record shows, defined once."""

from __future__ import annotations

import math
from collections.abc import Sequence


def find_percentile(values: Sequence[float], q: float) -> float | None:
    """Return the ``q``-th percentile (0 < q <= 100) by nearest rank, None of no values.

    Nearest rank always returns a value that was measured: the smallest one that at least ``q`` per cent of
    all values do not exceed.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q / 100 * len(ordered)) - 1)]


def find_median(values: Sequence[float]) -> float | None:
    """Return the median by nearest rank, None of no values."""
    return find_percentile(values, 50)


def percentile_of_buckets(buckets: Sequence[Sequence[float]], q: float) -> float | None:
    """Return the ``q``-th percentile (0 < q <= 100) of a histogram, None of an empty one.

    buckets: [low, high, count] each; the answer is the upper bound of the bucket the percentile lies in, so the
    true value is never more, and with buckets that double more than half of it.
    """
    total = sum(count for _low, _high, count in buckets)
    rank, seen = math.ceil(q / 100 * total), 0.0
    for _low, high, count in sorted(map(tuple, buckets)):
        seen += count
        if count and seen >= rank:
            return high
    return None


def round_or_none(value: float | None, digits: int = 3) -> float | None:
    """Round for a record; None stays None."""
    return None if value is None else round(value, digits)
