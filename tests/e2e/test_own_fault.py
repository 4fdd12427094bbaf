# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/writing-a-fault.md is a kind of fault: its own files are all it takes, and it runs end to end."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from tests.e2e import live, support

EXAMPLE = support.ROOT / "docs" / "examples" / "freeze"
SHORT = {**support.QUICK, "service_freeze_s": "4"}


def files(folder: Path) -> set[Path]:
    """The files below a folder that somebody wrote, by their path in it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".collections" not in path.parts
    }


def test_a_kind_of_fault_of_ones_own_touches_its_own_files_alone(tmp_path: Path) -> None:
    support.lab()
    tree, untouched = support.copy_tree(tmp_path / "tree"), support.copy_tree(tmp_path / "untouched")
    added = files(EXAMPLE)
    assert not added & files(untouched), "it takes nobody's place"
    shutil.copytree(EXAMPLE, tree, dirs_exist_ok=True)

    reports = tmp_path / "reports"
    reports.mkdir()
    report = live.run("playbooks/11-service-freeze.yml", reports, passes=None, tree=tree, **SHORT)

    fault = live.fault(report)
    assert (fault["kind"], fault["target"]) == ("freeze", "market-simulator")
    required = {proof["fact"].partition(" ")[0]: proof for proof in fault["proof"] if proof.get("required")}
    assert set(required) == {"freezer", "processor"}, "both ends of the window, by the kernel"
    assert all(proof["holds"] and proof["source"] == "kernel" for proof in required.values())
    verdicts = report.record["verdicts"]
    assert (verdicts["effect"], verdicts["restored"]) == ("pass", "pass"), report.log[-6000:]
    assert support.leftovers() == []
    assert set(live.limits("market-simulator", "freezer.state", "cgroup.freeze").values()) <= {
        "THAWED\n",
        "0\n",
    }

    assert files(tree) == files(untouched) | added
    changed = [
        name for name in files(untouched) if not filecmp.cmp(tree / name, untouched / name, shallow=False)
    ]
    assert changed == [], "a kind that needs a change elsewhere"
