# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own code as data: its modules, whom each imports, and which words it writes and reads.

It is read, never run. Ansible's two ways to name a module are known: relative to the file, and from
``ansible_collections.exchange.chaos.plugins``. A module's name here is its path below ``plugins``, with dots.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

COLLECTION = "ansible_collections.exchange.chaos.plugins."
_PLACED = (ast.Import, ast.ImportFrom, ast.Call, ast.Compare, ast.Dict)


@dataclass(frozen=True)
class Import:
    """One name that a file imports, by its full path: of this collection without :data:`COLLECTION`, or foreign."""

    path: str
    line: int
    ours: bool


@dataclass(frozen=True)
class Field:
    """What a line's field is written as, or compared with: words, or the function's parameter that brings them.

    ``place``: that parameter's position in a call (``self`` is none), from which on all are its with ``rest``;
    ``parameter`` and ``function`` are "" for words.
    """

    words: frozenset[str]
    line: int
    function: str = ""
    parameter: str = ""
    place: int = -1
    rest: bool = False


@cache
def parse(text: str) -> ast.Module:
    """Return the tree of a file's text; each text is parsed once, however many trees it is copied to."""
    return ast.parse(text)


@cache
def imports(text: str, module: str, package: bool) -> tuple[Import, ...]:
    """Return what a file imports, in whatever function it does so. ``package``: the file is an ``__init__.py``."""
    here = module.split(".") if package else module.split(".")[:-1]
    found = []
    for _, node in placed(text):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level + 1], *filter(None, (node.module or "").split("."))]
            names = [COLLECTION + ".".join([*base, each.name]) for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" for each in node.names]
        else:
            continue
        for name in names:
            ours = name.startswith(COLLECTION)
            found.append(Import(name.removeprefix(COLLECTION), node.lineno, ours))
    return tuple(found)


class Source:
    """One file of the collection."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path
        self.package = path.name == "__init__.py"
        parts = path.relative_to(root / "plugins").with_suffix("").parts
        #: the path below plugins, with dots; a package's is its folder's
        self.module = ".".join(parts[:-1] if self.package else parts)
        self.text = path.read_text()
        self._where = path.relative_to(root)

    def at(self, line: int) -> str:
        """Return a place in the file for people."""
        return f"{self._where}:{line}"

    @property
    def tree(self) -> ast.Module:
        return parse(self.text)

    @property
    def imports(self) -> tuple[Import, ...]:
        return imports(self.text, self.module, self.package)


class SourceTree:
    """All Python of ``<root>/plugins``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = [Source(root, path) for path in sorted((root / "plugins").rglob("*.py"))]
        self.by_module = {source.module: source for source in self.files}

    def module_of(self, imported: str) -> str:
        """Return the module that an import of ours leads to: the name itself, or what holds it."""
        while imported and imported not in self.by_module:
            imported = imported.rpartition(".")[0]
        return imported

    def closure(self, module: str) -> dict[str, list[Import]]:
        """Return every module that importing ``module`` may ever load, packages on the way included, with its imports.

        An import inside a function counts as any other.
        """
        found: dict[str, list[Import]] = {}
        waiting = [module]
        while waiting:
            source = self.by_module.get(waiting.pop())
            if source is None or source.module in found:
                continue
            found[source.module] = list(source.imports)
            waiting.append(source.module.rpartition(".")[0])
            waiting.extend(self.module_of(each.path) for each in source.imports if each.ours)
        return found

    @cached_property
    def constants(self) -> dict[str, frozenset[str]]:
        """Every ``NAME = "word"`` of a module or class, by NAME; a tuple of words has all of them."""
        found: dict[str, frozenset[str]] = {}
        for source in self.files:
            for name, words in constants(source.text).items():
                found[name] = found.get(name, frozenset()) | words
        return found

    def words(self, node: ast.expr | None) -> frozenset[str]:
        """Return the words that an expression may stand for as far as constants tell; none if they do not."""
        if isinstance(node, ast.Name):
            return self.constants.get(node.id, frozenset())
        if isinstance(node, ast.Attribute):
            return self.constants.get(node.attr, frozenset())
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return frozenset().union(*(self.words(each) for each in node.elts))
        if isinstance(node, ast.IfExp):
            return self.words(node.body) | self.words(node.orelse)
        return literal(node)

    @cached_property
    def _calls(self) -> dict[str, list[tuple[Source, ast.Call]]]:
        found: dict[str, list[tuple[Source, ast.Call]]] = {}
        for source in self.files:
            for name, call in calls(source.text):
                found.setdefault(name, []).append((source, call))
        return found

    def given(self, field: Field) -> Iterator[tuple[str, str]]:
        """Yield the words that callers give for a field's parameter, each with its place: (place, word)."""
        for source, call in self._calls.get(field.function, []):
            named = [each.value for each in call.keywords if each.arg == field.parameter]
            last = None if field.rest else field.place + 1
            for value in [*call.args[field.place : last], *named]:
                for word in self.words(value):
                    yield source.at(call.lineno), word

    def written(self, source: Source, key: str) -> Iterator[Field]:
        """Yield what ``{key: …}`` is written as in a file."""
        for function, node in placed(source.text):
            if isinstance(node, ast.Dict):
                for name, value in zip(node.keys, node.values):
                    if literal(name) == {key}:
                        yield self._field(value, function, node.lineno)

    def compared(self, source: Source, key: str) -> Iterator[Field]:
        """Yield what ``…[key]`` and ``….get(key)`` are compared with in a file, directly or by a name they got."""
        for function, side in comparisons(source.text, key):
            yield self._field(side, function, side.lineno)

    def _field(self, value: ast.expr, function: ast.FunctionDef | None, line: int) -> Field:
        if isinstance(value, ast.Name) and function is not None:
            names = [each.arg for each in function.args.args if each.arg not in ("self", "cls")]
            if value.id in names:
                return Field(frozenset(), line, function.name, value.id, names.index(value.id))
            if function.args.vararg and value.id == function.args.vararg.arg:
                return Field(frozenset(), line, function.name, value.id, len(names), rest=True)
            looped = frozenset().union(*(self.words(each) for each in loops_over(function, value.id)))
            return Field(looped or self.words(value), line)
        return Field(self.words(value), line)


@cache
def constants(text: str) -> dict[str, frozenset[str]]:
    """Return every ``NAME = "word"`` of a file's modules and classes."""
    found: dict[str, frozenset[str]] = {}
    classes = [node for node in parse(text).body if isinstance(node, ast.ClassDef)]
    for node in [*parse(text).body, *(each for one in classes for each in one.body)]:
        if isinstance(node, ast.Assign):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        values = node.value.elts if isinstance(node.value, (ast.Tuple, ast.List, ast.Set)) else [node.value]
        words = frozenset().union(*(literal(each) for each in values))
        if words:
            found.update(dict.fromkeys((name for name in names if name.isupper()), words))
    return found


@cache
def placed(text: str) -> tuple[tuple[ast.FunctionDef | None, ast.AST], ...]:
    """Return the imports, calls, comparisons and dictionaries of a file, each with the innermost function around it."""
    found: list[tuple[ast.FunctionDef | None, ast.AST]] = []

    def visit(node: ast.AST, function: ast.FunctionDef | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _PLACED):
                found.append((function, child))
            visit(child, child if isinstance(child, ast.FunctionDef) else function)

    visit(parse(text), None)
    return tuple(found)


@cache
def calls(text: str) -> tuple[tuple[str, ast.Call], ...]:
    """Return the calls of a file with the last name of what is called."""
    found = [
        (str(getattr(node.func, "attr", None) or getattr(node.func, "id", "")), node)
        for _, node in placed(text)
        if isinstance(node, ast.Call)
    ]
    return tuple(found)


@cache
def comparisons(text: str, key: str) -> tuple[tuple[ast.FunctionDef | None, ast.expr], ...]:
    """Return what ``…[key]`` and ``….get(key)``, or names they were given, are compared with in a file."""
    found = []
    for function, node in placed(text):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            known = aliases(function, key) if function else frozenset()
            looked = [is_lookup(side, key) or getattr(side, "id", None) in known for side in sides]
            if any(looked):
                found += [(function, side) for side, itself in zip(sides, looked) if not itself]
    return tuple(found)


def literal(node: ast.expr | None) -> frozenset[str]:
    """Return the word that a node is, if it is one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return frozenset({node.value})
    return frozenset()


def is_lookup(node: ast.AST, key: str) -> bool:
    """Return whether a node is ``…[key]`` or ``….get(key, …)``."""
    if isinstance(node, ast.Subscript):
        return literal(node.slice) == {key}
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "get"
        and bool(node.args)
        and literal(node.args[0]) == {key}
    )


@cache
def aliases(function: ast.FunctionDef, key: str) -> frozenset[str]:
    """Return the names that a function gives to what it looks up: ``name = line[key]``, ``name, t = line[key], …``."""
    found: set[str] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs = (
                zip(target.elts, node.value.elts)
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                else [(target, node.value)]
            )
            found.update(
                one.id for one, value in pairs if isinstance(one, ast.Name) and is_lookup(value, key)
            )
    return frozenset(found)


def loops_over(function: ast.FunctionDef, name: str) -> list[ast.expr]:
    """Return what a function lets ``name`` run over, in loops and comprehensions."""
    return [
        node.iter
        for node in ast.walk(function)
        if isinstance(node, (ast.For, ast.comprehension)) and getattr(node.target, "id", None) == name
    ]


@cache
def capitals(text: str) -> frozenset[str]:
    """Return the words in capitals that a file holds as constants."""
    return frozenset(word for word, _ in spelled(text) if word.isupper())


@cache
def spelled(text: str) -> tuple[tuple[str, int], ...]:
    """Return the words that a file holds as constants, each with its line."""
    nodes = (node for node in ast.walk(parse(text)) if isinstance(node, ast.expr))
    return tuple((word, node.lineno) for node in nodes for word in literal(node))
