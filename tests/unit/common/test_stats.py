# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Percentiles by nearest rank."""

from __future__ import annotations

import random

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.stats import (
    find_median,
    find_percentile,
    round_or_none,
)


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([], 50, None),
        ([7.0], 1, 7.0),
        ([7.0], 100, 7.0),
        ([3.0, 1.0, 2.0, 4.0], 50, 2.0),
        ([3.0, 1.0, 2.0, 4.0], 51, 3.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 151)], 99, 149.0),
    ],
)
def test_percentile(values: list[float], q: float, expected: float | None) -> None:
    assert find_percentile(values, q) == expected


def test_percentile_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    source = random.Random(1)
    for _ in range(200):
        values = [source.uniform(0, 10) for _ in range(source.randint(1, 40))]
        q = source.uniform(0.1, 100)
        found = find_percentile(values, q)
        assert found in values
        assert sum(value <= found for value in values) >= q / 100 * len(values) - 1e-9
        assert sum(value < found for value in values) < q / 100 * len(values)


def test_median_and_rounding() -> None:
    assert find_median([5.0, 1.0, 9.0]) == 5.0
    assert round_or_none(None) is None
    assert round_or_none(1.23456) == 1.235
