# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many signatures still say "a dictionary of anything": a budget that may fall and never rises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
#: A third of what there was (461) before the specification and the timeline were typed; and what is only read.
BUDGET = {"dict[str, Any]": 153, "Mapping[str, Any]": 270}


def annotations(text: str) -> Iterator[ast.expr]:
    """Yield what the functions of a file say of their arguments and of what they return."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            yield from (one.annotation for one in named if one is not None and one.annotation is not None)
            if node.returns is not None:
                yield node.returns


def count(text: str, what: str) -> int:
    """Return how often the signatures of a file say it."""
    return sum(
        ast.unparse(part) == what
        for one in annotations(text)
        for part in ast.walk(one)
        if isinstance(part, ast.Subscript)
    )


@pytest.mark.parametrize("what", BUDGET)
def test_signatures_say_what_they_take(what: str) -> None:
    found = {path: count(path.read_text(), what) for path in PLUGINS.rglob("*.py")}
    most = sorted(found.items(), key=lambda item: -item[1])[:5]
    told = ", ".join(f"{path.relative_to(PLUGINS)} {number}" for path, number in most)
    assert sum(found.values()) <= BUDGET[what], f"name what it is (common/shapes.py, or a dataclass): {told}"


def test_every_place_of_a_signature_is_counted() -> None:
    text = (
        "def f(a: dict[str, Any], *b: dict[str, Any], c: list[dict[str, Any]] | None = None) -> dict[str, Any]: ...\n"
        "x: dict[str, Any] = {}\n"
        "def g(a: Mapping[str, Any], b: int) -> None: ...\n"
    )
    assert count(text, "dict[str, Any]") == 4
    assert count(text, "Mapping[str, Any]") == 1
