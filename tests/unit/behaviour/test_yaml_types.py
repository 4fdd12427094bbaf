# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What YAML makes of a value that somebody wrote in an inventory: dates, sets, bytes, sixties, loops."""

from __future__ import annotations

import pytest

from tests.unit.behaviour.test_generated_variables import Case, play
from tests.unit.behaviour.wrong_values import check_screen

pytestmark = pytest.mark.usefixtures("no_engine", "one_process")

WRITTEN = [
    ("chaos_symbol", "2026-11-30"),
    ("chaos_rate", "2026-11-30"),
    ("chaos_thresholds", "{error_ratio: 2026-11-30 10:00:00}"),
    ("chaos_services", "{database: !!set {a, b}}"),
    ("chaos_symbol", "!!binary aGVsbG8="),
    ("chaos_rate", "!!binary aGVsbG8="),
    ("chaos_abort_when", "!!set {a: }"),
    ("chaos_order", "{x: 2026-11-30}"),
    ("chaos_allowed_hours", "9:00"),
    ("chaos_rate", "1:30"),
    ("chaos_database", "{name: 2026-11-30}"),
    ("chaos_services", "{1: a, database: b}"),
    ("chaos_thresholds", "{true: 1}"),
    ("chaos_thresholds", "{null: 1}"),
    ("chaos_order", "&a {x: *a}"),
    ("chaos_peers", "&a [*a]"),
    ("chaos_services", "&a {database: *a}"),
    ("chaos_rate", "0o17"),
    ("chaos_rate", ".inf"),
    ("chaos_rate", "-.NaN"),
    ("chaos_rate", "0x7fffffffffffffffffffffffffff"),
    ("chaos_order", "{x: !!binary aGVsbG8=}"),
    ("chaos_order", "{x: !!set {a, b}}"),
    ("chaos_headers", "{X-A: 2026-11-30}"),
]


@pytest.mark.parametrize(("name", "written"), WRITTEN)
def test_it_is_taken_or_told(name: str, written: str) -> None:
    played = play(Case("placebo", {}, group=f"{name}: {written}\n"))
    check_screen(played.code, played.screen, name)
