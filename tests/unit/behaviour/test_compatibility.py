# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to work is shown: each row of docs/compatibility.md names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "compatibility.md"


def find_unshown(text: str) -> list[str]:
    """Return the rows of tables whose last cell names no test that exists."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| trait")]
    return [row for row in rows if not is_shown(row)]


def is_shown(row: str) -> bool:
    """Return whether a row names a test that exists."""
    named = re.search(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[([^\]]+)\])?` \|$", row)
    if named is None:
        return False
    text = (ROOT / named[1]).read_text()
    return f"def {named[2]}(" in text and (named[3] is None or f'"{named[3]}"' in text)


def test_each_row_is_shown_by_a_test() -> None:
    text = PAGE.read_text()
    assert text.count("::test_") > 15
    assert find_unshown(text) == []


def test_each_trait_of_the_suite_has_a_row() -> None:
    files = sorted((ROOT / "tests" / "shapes").glob("test_*.py"))
    known = [
        (file.name, name)
        for file in files
        for name in re.findall(r'^    "([^"]+)": Trait\(', file.read_text(), re.MULTILINE)
    ]
    assert len(known) >= 25
    rows = PAGE.read_text()
    assert [
        one for one in known if f"tests/shapes/{one[0]}::" not in rows or f"[{one[1]}]` |" not in rows
    ] == []


@pytest.mark.parametrize(
    "cell",
    [
        "we believe so",
        "`tests/module/test_kill.py::test_that_is_not_there`",
        "`tests/shapes/test_api.py::test_a_trait_works_or_is_refused_with_what_helps[a moon of cheese]`",
    ],
)
def test_a_row_without_one_is_found(cell: str) -> None:
    row = f"| a trait | works | {cell} |"
    assert find_unshown(row) == [row]
