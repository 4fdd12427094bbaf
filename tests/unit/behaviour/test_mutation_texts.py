# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the live mutations change stands in the code exactly once: known in a second, not after an hour."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def changes() -> Iterator[tuple[str, str, str, str]]:
    """Yield (test file, path, old text, new text) of each tuple (path, old, new) in the end-to-end tests."""
    for test in sorted((ROOT / "tests" / "e2e").glob("test_*.py")):
        for node in ast.walk(ast.parse(test.read_text())):
            if not isinstance(node, ast.Tuple):
                continue
            texts = [part.value for part in node.elts if isinstance(part, ast.Constant)]
            if len(texts) == len(node.elts) == 3 and str(texts[0]).startswith(("plugins/", "roles/")):
                yield test.name, str(texts[0]), str(texts[1]), str(texts[2])


CHANGES = list(changes())


def test_there_are_mutations_to_look_at() -> None:
    assert len({test for test, _path, _old, _new in CHANGES}) >= 5


@pytest.mark.parametrize(("test", "path", "old", "new"), CHANGES, ids=lambda value: str(value)[:40])
def test_what_a_mutation_changes_stands_once_and_what_comes_of_it_is_code(
    test: str, path: str, old: str, new: str
) -> None:
    text = (ROOT / path).read_text()
    assert text.count(old) == 1, test
    if path.endswith(".py"):
        compile(text.replace(old, new), path, "exec")
