# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names say what is meant: functions are a verb and its object, and code and documents share the glossary's terms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "plugins"
GLOSSARY = ROOT / "docs" / "glossary.md"
#: A public function may be one bare word if that is a verb whose object is plain from its module.
VERBS = """
    apply build check choose clean compare decode end join main mark measure read run send shorten sleep split undo
    unpack validate
"""
#: The contract of docs/writing-a-fault.md: each kind of fault offers the same functions, by the names that the protocol
#: has. Who calls them has a fault in hand (`fault.trial(…)`); they may stand in the files of the kinds alone.
PROTOCOL = ("plugins/module_utils/faults/contract.py", "Fault", "module_utils/faults/kinds")
#: Bare words that hid in the code before; none comes back, neither as a function nor as a method.
FORBIDDEN = "told why word of at up left moved reach yes keep heed tell rows words begin"
#: What was written several times before, each a little differently: one function for all, and none of its name beside.
ONCE = """
    clean escape_line is_number is_port is_whole find_percentile stop_observers stop_watchdogs write_endpoint
"""
#: Words for things that have another name now, as identifiers.
OLD_TERMS = frozenset({"Target", "open_run", "Away", "punctual", "netpath", "rundir", "aims", "clues"})


def functions(path: Path) -> Iterator[tuple[str, bool]]:
    """Give the public functions and methods of a module as (name, is it at the module's top)."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, True
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
                    yield each.name, False


def protocol_names() -> frozenset[str]:
    """Return the names of the functions that each kind of fault offers, as the protocol has them."""
    path, protocol, _kinds = PROTOCOL
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == protocol:
            return frozenset(each.name for each in node.body if isinstance(each, ast.FunctionDef))
    return frozenset()


def bare_names(folder: Path) -> list[str]:
    """Return one sentence for each public function whose name is one word that says not what is done to what."""
    found, contract = [], protocol_names()
    for path in sorted(folder.rglob("*.py")):
        for name, top in functions(path):
            if top and path.parent == folder / PROTOCOL[2] and name in contract:
                continue
            if name in FORBIDDEN.split() or (top and "_" not in name and name not in VERBS.split()):
                found.append(
                    f"{path.relative_to(folder)}: {name}() is a bare word; name what it does to what"
                )
    return found


def identifiers(path: Path) -> set[str]:
    """Return every name in a module's code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        for key in ("id", "attr", "name", "arg"):
            value = getattr(node, key, None)
            if isinstance(value, str):
                found.add(value)
    return found


def shared_class_names(folder: Path) -> dict[str, list[str]]:
    """Return the names that classes of several library modules have, with those modules: one class, or two names."""
    homes: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*_utils/**/*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(folder)))
    return {name: found for name, found in homes.items() if len(found) > 1}


def terms() -> list[str]:
    """Return the glossary's terms."""
    rows = [line.split("|")[1].strip() for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    return [term for row in rows if row not in ("term", "---") for term in row.split(", ")]


def test_public_functions_are_a_verb_and_its_object() -> None:
    assert bare_names(PLUGINS) == []


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("def told(run): ...", True),
        ("def listeners(pids): ...", True),
        ("class Run:\n    def heed(self): ...", True),
        ("def list_listeners(pids): ...", False),
        ("def validate(data): ...", False),
        ("def _told(run): ...", False),
        ("class Run:\n    def pids(self): ...", False),
    ],
)
def test_a_bare_word_is_found(tmp_path: Path, code: str, bad: bool) -> None:
    (tmp_path / "new.py").write_text(code)
    assert bool(bare_names(tmp_path)) is bad


def test_a_protocol_s_names_stand_in_the_files_that_keep_it_alone(tmp_path: Path) -> None:
    assert protocol_names() == {"check", "trial", "from_spec", "apply", "in_force", "undo"}
    kinds = tmp_path / PROTOCOL[2]
    kinds.mkdir(parents=True)
    for folder in (kinds, kinds.parent):
        (folder / "freeze.py").write_text("def trial(fault, chosen, site): ...\ndef frozen(pid): ...")
    found = [sentence.split(" is ")[0] for sentence in bare_names(tmp_path)]
    assert found == [
        "module_utils/faults/freeze.py: trial()",
        "module_utils/faults/freeze.py: frozen()",
        "module_utils/faults/kinds/freeze.py: frozen()",
    ]


def test_a_class_s_name_means_one_thing(tmp_path: Path) -> None:
    assert shared_class_names(PLUGINS) == {}
    places = ["module_utils/evidence.py", "plugin_utils/probes.py"]
    for place in places:
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text(f"class Sample: ...\nclass Of{place[-5].upper()}: ...")
    assert shared_class_names(tmp_path) == {"Sample": places}


def test_what_all_need_is_written_once() -> None:
    found = [
        node.name.lstrip("_")
        for path in sorted(PLUGINS.glob("*_utils/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and not any(each.arg == "self" for each in node.args.args[:1])
    ]
    counted = {name: found.count(name) for name in ONCE.split()}
    assert {name: count for name, count in counted.items() if count != 1} == {}


def test_old_terms_do_not_come_back() -> None:
    found = {str(path): identifiers(path) & OLD_TERMS for path in sorted(PLUGINS.rglob("*.py"))}
    assert {path: names for path, names in found.items() if names} == {}


def test_each_term_of_the_glossary_is_used_in_code_and_in_another_document() -> None:
    code = "\n".join(path.read_text() for path in sorted(PLUGINS.rglob("*.py"))).lower()
    documents = "\n".join(
        path.read_text() for path in sorted((ROOT / "docs").glob("*.md")) if path != GLOSSARY
    ).lower()
    assert len(terms()) > 50
    for term in terms():
        assert re.search(rf"\b{re.escape(term.lower())}", code), f"no code speaks of {term}"
        assert re.search(rf"\b{re.escape(term.lower())}", documents), f"no document speaks of {term}"


def test_each_place_the_glossary_names_is_there() -> None:
    places = [
        place
        for line in GLOSSARY.read_text().splitlines()
        if line.startswith("| ") and line.count("|") == 4
        for place in re.findall(r"`([a-z_/.]+)`", line.split("|")[3])
    ]
    assert len(places) > 40
    homes = (ROOT, PLUGINS, PLUGINS / "module_utils")
    missing = [place for place in places if not any((home / place).exists() for home in homes)]
    assert missing == []
