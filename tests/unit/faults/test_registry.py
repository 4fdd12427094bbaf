# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind of fault declares what it is in its own file, and nothing else spells its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import proving, registry
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Proof
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kind import Kind, Required

ROOT = Path(__file__).resolve().parents[3]
KINDS = registry.known_kinds()
#: Where such a word means something else: a cgroup's controller, an event of the engine, a unit, a name of a sample.
OTHER_MEANINGS = {
    "bpf/sources.py": {"cpu", "memory"},
    "faults/mechanisms/connection_limit.py": {"connections"},
    "faults/mechanisms/memory_hog.py": {"memory"},
    "faults/mechanisms/memory_usage.py": {"memory"},
    "faults/mechanisms/relay.py": {"impair"},
    "host/cgroups.py": {"cpu", "memory"},
    "host/disks.py": {"partition"},
    "host/facts.py": {"cpu", "memory"},
    "host/usage.py": {"cpu", "memory"},
    "judge/metrics/exchange/connections.py": {"connections"},
    "judge/restarts.py": {"kill"},
    "observe/docker_events.py": {"kill"},
    "plugins/plugin_utils/report/details.py": {"disk", "memory"},
    "plugins/plugin_utils/report/page/lanes.py": {"kill"},
    "snapshot/host.py": {"cpu", "memory"},
}


def spelled(path: Path) -> set[str]:
    """The kinds that a file's strings spell."""
    tree = ast.parse(path.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in KINDS}


def test_nothing_outside_its_own_files_spells_a_kind() -> None:
    library = ROOT / "plugins/module_utils"
    files = [*library.rglob("*.py"), *(ROOT / "plugins/plugin_utils").rglob("*.py"),
             *(ROOT / "plugins/action").glob("*.py")]  # fmt: skip
    for path in files:
        name = str(path.relative_to(library if library in path.parents else ROOT))
        own = {path.stem} if path.parent.name in ("kinds", "proofs") else set()
        meant = OTHER_MEANINGS.get(name, set()) if path.parent.name != "kinds" else set(KINDS)
        assert spelled(path) <= own | meant, f"{name} spells {spelled(path) - own - meant}"


def test_nothing_imports_a_kind_but_its_own_module() -> None:
    for path in (ROOT / "plugins").rglob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("kinds")
            for alias in node.names
        }
        allowed = {path.stem} if path.parent.name == "modules" else set()
        assert imported & set(KINDS) <= allowed, path


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_says_of_itself_is_whole(kind: str) -> None:
    module, told = registry.by_kind(kind), registry.describe_kind(kind)
    for name in ("check", "trial", "from_spec", "apply", "in_force", "undo"):
        assert callable(getattr(module, name)), name
    assert told.required, "an effect that nothing need prove"
    assert all(one.source in ("kernel", "engine", "tcp") for one in told.required)
    assert {one.source for one in told.required} & {"kernel", "engine"}
    if told.process is not None:
        assert registry.process_module(told.process.command) == f"faults.{told.process.module}"


@pytest.mark.parametrize("kind", KINDS)
def test_its_module_documents_the_arguments_that_it_takes(kind: str) -> None:
    tree = ast.parse((ROOT / f"plugins/modules/{kind}.py").read_text())
    (text,) = (
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") == "DOCUMENTATION"
        and isinstance(node.value, ast.Constant)
    )
    documented = yaml.safe_load(text)["options"]
    keys = ("type", "elements", "choices", "default", "required")
    assert {
        name: {key: option[key] for key in keys if key in option} for name, option in documented.items()
    } == {
        name: {key: option[key] for key in keys if key in option}
        for name, option in registry.describe_kind(kind).arguments.items()
    }


def test_what_is_no_kind_is_refused() -> None:
    for word in ("nobody", "", "__init__", "../kill"):
        with pytest.raises(ChaosError, match="no kind of fault"):
            registry.by_kind(word)
    assert registry.process_module("os") is None


def test_a_required_proof_that_was_not_tried_is_told() -> None:
    kind = Kind(
        required=(Required("one", "it is gone"), Required("two", "still gone", "engine", at_end=True))
    )
    read = [Proof("tcp", "a connect", "refused", 1.0, True)]
    begun = proving.with_untried(read, kind, 2.0, at_end=False)
    assert [(proof.fact, proof.holds, proof.value) for proof in begun[1:]] == [
        ("it is gone", None, "not tried")
    ]
    ended = proving.with_untried([], kind, 3.0, at_end=True)
    assert [(proof.name, proof.source, proof.t) for proof in ended] == [("two", "engine", 3.0)]
    tried = [Proof("kernel", "it is gone", False, 1.0, False, name="one")]
    assert proving.with_untried(tried, kind, 2.0, at_end=False) == tried
