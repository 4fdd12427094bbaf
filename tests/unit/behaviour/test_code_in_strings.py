# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests hand code of their own to other Pythons as text, where no tool sees a name of ours that is none any more."""

from __future__ import annotations

import ast
import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
OURS = "ansible_collections.exchange.chaos.plugins"


def scripts(path: Path) -> Iterator[tuple[int, ast.Module]]:
    """Yield (line, code) of each text in a module that is Python and imports something of ours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and f"{OURS}." in node.value:
            try:
                code = ast.parse(node.value)
            except SyntaxError:
                continue  # prose, or a part of a text with braces
            if imports_of(code):
                yield node.lineno, code


def imports_of(code: ast.Module) -> list[ast.ImportFrom]:
    """Return what a script takes from our modules."""
    nodes = [node for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
    return [node for node in nodes if str(node.module).startswith(OURS)]


def missing_names(code: ast.Module) -> list[str]:
    """Return the names of ours that a script uses and that are not there."""
    taken = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in imports_of(code)
        for alias in node.names
    }
    found = [path for path in taken.values() if look_up(path) is None]
    for part in ast.walk(code):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in taken:
            home = look_up(taken[part.value.id])
            if isinstance(home, ModuleType) and not hasattr(home, part.attr):
                found.append(f"{part.value.id}.{part.attr}")
    return found


def look_up(path: str) -> object:
    """Return the module of a path, or what a module has by its last name; None for what is not there."""
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(path)
    module, _, name = path.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):
        return getattr(importlib.import_module(module), name, None)
    return None


SCRIPTS = [
    (f"{path.relative_to(ROOT)}:{line}", code)
    for path in sorted((ROOT / "tests").rglob("*.py"))
    for line, code in scripts(path)
]


def test_there_is_such_code() -> None:
    assert len(SCRIPTS) > 3


@pytest.mark.parametrize(("where", "code"), SCRIPTS, ids=[where for where, _code in SCRIPTS])
def test_code_in_a_string_knows_today_s_names(where: str, code: ast.Module) -> None:
    assert missing_names(code) == [], where


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("from {0}.module_utils.common import clock\nclock.read()", []),
        ("from {0}.module_utils.common import clock\nclock.now()", ["clock.now"]),
        ("from {0}.module_utils.common.clock import now", ["{0}.module_utils.common.clock.now"]),
        ("from {0}.module_utils.rundir import RunDir", ["{0}.module_utils.rundir.RunDir"]),
    ],
)
def test_a_name_of_yesterday_is_found(script: str, found: list[str]) -> None:
    assert missing_names(ast.parse(script.format(OURS))) == [each.format(OURS) for each in found]
