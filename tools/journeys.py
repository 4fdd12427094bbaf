#!/usr/bin/env python3
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rooms (files) a thing passes on its way through the collection: an indicator of how it hangs together.

    python tools/journeys.py [-v] [ROOT]

A fault's argument passes each file on the way from the role to the undo that spells its name: as a parameter, an
attribute, a key or a word of YAML. It comes from one experiment's role, so of those the one with the most such files
counts, however many experiments there are. A BPF event and an order pass the modules of ours that are loaded by the
process that meets them, for that is what a reader may have to open. ROOT is a checkout, also one from before the
packages; docs/architecture.md has the table.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

#: The arguments that are followed.
ARGUMENTS = ("peer", "ttl")
CODE = ("plugins/module_utils", "plugins/plugin_utils", "plugins/modules", "plugins/action", "plugins/filter")
DATA = ("roles", "plugins/doc_fragments")
#: What only speaks of a fault afterwards, or of another thing by the same word, is no room on its way.
ASIDE = re.compile(r"(^|/)(bpf|evidence|clues|judge|metrics|record|report|lab)")
#: A file of an experiment's role; those that all experiments share are no experiment's.
OF_EXPERIMENT = re.compile(r"roles/(?!chaos/|host/|lab/)[^/]+/")
#: The process that meets it: its module in the packages, and what it was called before there were any.
PROCESSES = {
    "a BPF event": ("bpf/capture.py", "capture.py"),
    "an order": ("observe/load/main.py", "load.py"),
}


def spells(tree: ast.AST, name: str) -> bool:
    """Return whether code names it: a variable, parameter, attribute, keyword, or a key between quotes."""
    for node in ast.walk(tree):
        found = {
            ast.Name: "id", ast.arg: "arg", ast.Attribute: "attr", ast.keyword: "arg", ast.Constant: "value"
        }.get(type(node))  # fmt: skip
        if found and getattr(node, found) == name:
            return True
    return False


def follow_argument(root: Path, name: str) -> list[str]:
    """Return the files on its way that spell a fault's argument, those of the code first."""
    found = [
        path
        for folder in CODE
        for path in sorted((root / folder).rglob("*.py"))
        if spells(ast.parse(path.read_text()), name)
    ]
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
    for folder in DATA:
        for path in sorted([*(root / folder).rglob("*.yml"), *(root / folder).rglob("*.py")]):
            text = "\n".join(
                line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")
            )
            if word.search(text):
                found.append(path)
    rooms = [str(path.relative_to(root)) for path in found]
    return choose_role([room for room in rooms if not ASIDE.search(room)])


def choose_role(rooms: list[str]) -> list[str]:
    """Return rooms without those of other experiments' roles than the one that has the most of them."""
    roles = [match.group() for room in rooms for match in [OF_EXPERIMENT.match(room)] if match]
    most = max(sorted(set(roles)), key=roles.count, default="")
    return [room for room in rooms if not OF_EXPERIMENT.match(room) or room.startswith(most)]


def load_modules(root: Path, first: Path) -> list[str]:
    """Return the modules of ours that are loaded with one, itself first."""
    library, found = root / "plugins" / "module_utils", [first]
    for path in found:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for each in (base.with_suffix(".py"), *(base / f"{alias.name}.py" for alias in node.names)):
                    if each.is_file() and each.is_relative_to(library) and each not in found:
                        found.append(each)
    return [str(path.relative_to(root)) for path in found]


def count(root: Path) -> dict[str, list[str]]:
    """Return the rooms of each journey."""
    library = root / "plugins" / "module_utils"
    ways = {
        what: load_modules(root, next(library / name for name in names if (library / name).is_file()))
        for what, names in PROCESSES.items()
    }
    return {**ways, **{f"`{name}` of a fault": follow_argument(root, name) for name in ARGUMENTS}}


def main(argv: list[str]) -> int:
    """Print a line a journey, and its rooms with ``-v``."""
    root = Path(next((each for each in argv[1:] if not each.startswith("-")), "."))
    for what, rooms in count(root).items():
        print(f"{what:20} {len(rooms)}")
        if "-v" in argv:
            print("\n".join(f"    {room}" for room in rooms))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
