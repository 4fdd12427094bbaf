# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/writing-a-fault.md is a kind of fault: its own files are all it takes, and it runs end to end."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

import pytest

from tests.e2e import live, support

EXAMPLE = support.ROOT / "docs" / "examples" / "process_limit"
SHORT = {**support.QUICK, "service_process_limit_s": "4"}

pytestmark = pytest.mark.full


def files(folder: Path) -> set[Path]:
    """The files below a folder that somebody wrote, by their path in it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".collections" not in path.parts
    }


def test_a_kind_of_fault_of_ones_own_touches_its_own_files_alone(tmp_path: Path) -> None:
    support.lab()
    before = live.limits("postgres", "pids.max")
    tree, untouched = support.copy_tree(tmp_path / "tree"), support.copy_tree(tmp_path / "untouched")
    added = files(EXAMPLE)
    assert not added & files(untouched), "it takes nobody's place"
    shutil.copytree(EXAMPLE, tree, dirs_exist_ok=True)

    reports = tmp_path / "reports"
    reports.mkdir()
    report = live.run("playbooks/90-process-limit.yml", reports, passes=None, tree=tree, **SHORT)

    fault = live.fault(report)
    assert (fault["kind"], fault["target"]) == ("process_limit", "postgres")
    required = {proof["fact"].partition(" ")[0]: proof for proof in fault["proof"] if proof.get("required")}
    assert set(required) == {"pids.max", "a", "forks"}, "both ends of the window, by the kernel"
    assert all(proof["holds"] and proof["source"] == "kernel" for proof in required.values())
    assert required["a"]["value"] == "EAGAIN"
    assert required["forks"]["value"] > 0
    verdicts = report.record["verdicts"]
    assert (verdicts["effect"], verdicts["restored"]) == ("pass", "pass"), report.log[-6000:]
    assert support.leftovers() == []
    assert live.limits("postgres", "pids.max") == before

    assert files(tree) == files(untouched) | added
    changed = [
        name for name in files(untouched) if not filecmp.cmp(tree / name, untouched / name, shallow=False)
    ]
    assert changed == [], "a kind that needs a change elsewhere"
