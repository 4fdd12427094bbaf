# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples for a fleet load as they stand: inventories, execution environment, survey."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.validation import check_type_list
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import waves

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
BIN = Path(sys.executable).parent
GROUPS = {
    "one-host": {"exchange": 1},
    "one-group": {"exchange": 5, "production": 3},
    "two-zones": {"exchange": 4, "zone_a": 2, "zone_b": 2},
    "database-on-its-own-host": {"exchange": 2, "database": 1},
}


def inventory(name: str) -> dict[str, Any]:
    path = EXAMPLES / "inventories" / f"{name}.yml"
    done = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(path), "--list"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true"},
    )
    return dict(json.loads(done.stdout))


def members(found: dict[str, Any], group: str) -> set[str]:
    entry = found[group]
    return set(entry.get("hosts", [])).union(*(members(found, child) for child in entry.get("children", [])))


def variables() -> set[str]:
    """Every variable that a role describes."""
    found: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= set(entry.get("options", {}))
    return found


#: The same file name whichever container program is here.
NAMED = ("--output-filename", "Containerfile")


def test_every_inventory_of_the_examples_is_looked_at() -> None:
    assert {path.stem for path in (EXAMPLES / "inventories").iterdir()} == set(GROUPS)
    shown = (ROOT / "docs" / "fleet-inventories.md").read_text()
    assert all(f"`{name}.yml`" in shown for name in GROUPS)


@pytest.mark.parametrize("name", GROUPS)
def test_an_inventory_has_the_groups_it_is_for(name: str) -> None:
    found = inventory(name)
    groups = set(found) - {"_meta", "all"}
    assert {group: len(members(found, group)) for group in groups} == GROUPS[name]
    for host, given in found["_meta"]["hostvars"].items():
        chaos = {key for key in given if key.startswith(("chaos_", "network_"))}
        assert chaos <= variables(), f"{host}: {chaos - variables()}"
    for group in set(GROUPS[name]) & {"production", "database"}:
        assert not members(found, group) & members(found, "exchange")


def test_the_execution_environment_has_the_versions_of_the_controller() -> None:
    def lines(name: str) -> list[str]:
        return [line for line in (ROOT / name).read_text().splitlines() if "==" in line and line[0] != "#"]

    direct = (ROOT / "requirements.txt").read_text().split("\n\n")[0].splitlines()
    pinned = [line for line in direct if "==" in line and not line.startswith("ansible-core")]
    assert lines("meta/ee-requirements.txt") == pinned


def test_ansible_builder_finds_the_collections_dependencies(tmp_path: Path) -> None:
    builder = BIN / "ansible-builder"
    if not builder.exists():
        pytest.skip("ansible-builder is not in the environment")
    target = tmp_path / "ansible_collections" / "exchange" / "chaos"
    shutil.copytree(ROOT / "meta", target / "meta")
    shutil.copy(ROOT / "galaxy.yml", target)
    done = subprocess.run(
        [str(builder), "introspect", "--sanitize", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = yaml.safe_load(done.stdout[done.stdout.index("---") :])
    named = {line.split("==")[0] for line in found["python"]}
    assert named == {"docker", "jmespath", "pyroute2"}
    assert any(line.startswith("openssh-clients") for line in found["system"])


def test_ansible_builder_makes_the_context_of_the_example(tmp_path: Path) -> None:
    builder = BIN / "ansible-builder"
    if not builder.exists():
        pytest.skip("ansible-builder is not in the environment")
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLES / "execution-environment", folder)
    artifact = "exchange-chaos-{}.tar.gz".format(yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"])
    (folder / artifact).touch()
    (folder / "wheels").mkdir()
    (folder / "wheels" / "docker-7.2.0-py3-none-any.whl").touch()
    done = subprocess.run(
        [
            str(builder),
            "create",
            "--file",
            "execution-environment.yml",
            "--context",
            str(tmp_path / "context"),
            *NAMED,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    context = tmp_path / "context"
    assert artifact in (context / "_build" / "requirements.yml").read_text()
    assert (context / "_build" / artifact).exists()
    assert (context / "_build" / "wheels" / "docker-7.2.0-py3-none-any.whl").exists()
    assert "/usr/share/exchange-chaos/wheels" in (context / "Containerfile").read_text()


def test_the_survey_asks_for_what_there_is_and_never_for_production() -> None:
    survey = json.loads((EXAMPLES / "awx" / "survey.json").read_text())
    assert set(survey) == {"name", "description", "spec"}
    for question in survey["spec"]:
        assert {"question_name", "question_description", "variable", "type", "required"} <= set(question)
        assert question["type"] in ("text", "multiplechoice", "integer", "float", "textarea", "multiselect")
        assert question["type"] != "multiplechoice" or question["default"] in question["choices"]
    asked = [question["variable"] for question in survey["spec"]]
    assert len(asked) == len(set(asked))
    assert set(asked) <= variables()
    assert "chaos_i_accept_production" not in asked


@pytest.mark.parametrize("variable", ["chaos_sample", "chaos_waves"])
def test_every_answer_the_survey_lets_through_is_one_the_run_takes(variable: str) -> None:
    """A text that need not be answered comes as an empty one."""
    survey = json.loads((EXAMPLES / "awx" / "survey.json").read_text())
    (question,) = (each for each in survey["spec"] if each["variable"] == variable)
    hosts = ["a", "b", "c"]
    for answer in {question["default"], *([] if question["required"] else [""])}:
        if variable == "chaos_waves":
            made = [host for wave in waves.split_waves(hosts, check_type_list(answer)) for host in wave]
        else:
            made = waves.draw_sample(hosts, answer, "seed")
        assert made == hosts
    assert question["required"] == (question["min"] > 0)


def test_navigators_settings_are_what_it_reads() -> None:
    settings = yaml.safe_load((EXAMPLES / "navigator" / "ansible-navigator.yml").read_text())
    (top,) = settings
    assert top == "ansible-navigator"
    assert set(settings[top]) == {"execution-environment", "mode", "playbook-artifact"}
