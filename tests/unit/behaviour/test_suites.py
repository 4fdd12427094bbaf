# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The experiments and the suites made of them: each has all its parts, under the same name everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
NUMBERED = sorted(PLAYBOOKS.glob("[0-9][0-9]-*.yml"))[2:]
SUITES = {
    "all": ["01", "07", "08", "04", "09", "06", "02", "05", "03", "10"],
    "weekly": ["01", "07"],
    "predeploy": ["02", "03", "06", "09", "10", "16"],
    "extended": [path.name[:2] for path in NUMBERED[10:]],
}


def plays(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return found


def experiment(path: Path) -> dict[str, Any]:
    (play,) = plays(path)
    assert play["ansible.builtin.import_playbook"] == "shared/experiment.yml"
    found: dict[str, Any] = play["vars"]["chaos_experiment"]
    return found


def test_there_are_ten_and_some_beyond() -> None:
    assert [path.name[:2] for path in NUMBERED[:10]] == [f"{number:02d}" for number in range(1, 11)]


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_an_experiment_has_one_name_a_role_and_a_name_without_dashes(path: Path) -> None:
    number, _, dashed = path.stem.partition("-")
    found = experiment(path)
    assert (found["number"], found["name"]) == (int(number), dashed.replace("-", "_"))
    (twin,) = plays(PLAYBOOKS / f"{found['name']}.yml")
    assert twin["ansible.builtin.import_playbook"] == path.name
    role = PLAYBOOKS.parent / "roles" / found["name"]
    for part in (
        "README.md",
        "meta/argument_specs.yml",
        "meta/main.yml",
        "tasks/main.yml",
    ):
        assert (role / part).exists(), part


def test_the_placebo_is_an_experiment_without_a_fault() -> None:
    placebo = PLAYBOOKS / "00-placebo.yml"
    assert experiment(placebo)["number"] == 0
    (twin,) = plays(PLAYBOOKS / "placebo.yml")
    assert twin["ansible.builtin.import_playbook"] == placebo.name
    (task,) = plays(PLAYBOOKS.parent / "roles" / "placebo" / "tasks" / "main.yml")
    assert task["vars"]["chaos_faults"] == []
    assert task["vars"]["chaos_placebo"] is True


def test_preflight_knows_all_of_them() -> None:
    (play,) = plays(PLAYBOOKS / "00-preflight.yml")
    assert play["vars"]["chaos_catalogue"] == [experiment(path) for path in NUMBERED]


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_runs_its_experiments_in_order_and_sums_up(name: str) -> None:
    *steps, last = plays(PLAYBOOKS / f"{name}.yml")
    assert [step["ansible.builtin.import_playbook"][:2] for step in steps] == SUITES[name]
    assert all(step["vars"]["chaos_in_suite"] is True for step in steps)
    assert last["ansible.builtin.import_playbook"] == "shared/suite.yml"


@pytest.mark.parametrize("role", sorted((PLAYBOOKS.parent / "roles").iterdir()), ids=lambda role: role.name)
def test_what_a_run_finds_out_never_hides_a_variable_from_the_next_one(role: Path) -> None:
    """Registered results and facts outlive a play, and stand above a role's variables."""
    variables: set[str] = set()
    for part in ("defaults", "vars"):
        for path in (role / part).glob("*.yml"):
            variables |= set(yaml.safe_load(path.read_text()) or {})
    found: set[str] = set()
    for path in (role / "tasks").glob("*.yml"):
        text = path.read_text()
        found |= set(re.findall(r"^\s*register: (\w+)$", text, re.MULTILINE))
        for block in re.findall(r"set_fact:\n((?:\s{4,}.*\n)+)", text):
            found |= set(re.findall(r"^\s+(\w+):", block, re.MULTILINE))
    assert not found & variables
