# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that are wider than a screen: broken at blanks, indented, and nothing lost."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import count_columns, wrap_line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "short",
        "  run         exp-01, exchange.chaos 0.1.0 and a good many words more than fit on one line of a screen",
        "[2026-11-23 18:00:00] ✓ Fault crash: SIGKILL to main process 11732; the restart policy starts it again",
        "🚨 " * 60,
        "x" * 200,
        "a " + "/tmp/" + "y" * 90 + " b",
    ],
)
@pytest.mark.parametrize("width", [40, 80, 110])
def test_what_is_too_wide_is_broken_at_blanks(line: str, width: int) -> None:
    parts = wrap_line(line, width)
    assert " ".join(" ".join(parts).split()) == " ".join(line.split())
    assert all(count_columns(part) <= width or len(part.split()) == 1 or "/tmp/" in part for part in parts)
    if count_columns(line) <= width:
        assert parts == [line]
    elif len(parts) > 1:
        assert parts[1].startswith("    ")


def test_columns_of_a_table_stay_apart() -> None:
    assert wrap_line("  name        value of it", 20) == ["  name        value", "      of it"]
