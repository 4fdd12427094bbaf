# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value of JSON is, for whoever reads what others wrote."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import is_number, is_whole


@pytest.mark.parametrize("value", [0, -1, 1.5, 1e308, 10**300])
def test_numbers(value: object) -> None:
    assert is_number(value)


@pytest.mark.parametrize(
    "value", [True, False, None, "1", [1], float("nan"), float("inf"), 10**400, -(10**400)]
)
def test_no_numbers(value: object) -> None:
    assert not is_number(value)


@pytest.mark.parametrize(
    ("value", "whole"), [(0, True), (10**400, True), (True, False), (1.0, False), ("1", False)]
)
def test_whole_numbers(value: object, whole: bool) -> None:
    assert is_whole(value) is whole
