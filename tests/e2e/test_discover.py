# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discover on the embedded exchange: its inventory is whole, and the other playbooks run with it unchanged."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e import support


def run_with(inventory: Path, playbook: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook with an inventory that was written."""
    return subprocess.run(
        [*support.command(playbook, **variables), "-i", str(inventory)], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=300,
    )  # fmt: skip


def read_table(said: str) -> list[str]:
    """The table of what the host is ready for."""
    lines = said.splitlines()
    return lines[lines.index("READINESS of localhost") :]


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The inventory of the embedded exchange, and what was printed meanwhile."""
    support.lab()
    path = tmp_path_factory.mktemp("discovered") / "found.yml"
    done = support.ansible(
        "playbooks/discover.yml",
        chaos_project=support.PROJECT,
        discover_inventory=str(path),
        discover_trial="true",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return path, done.stdout


def test_all_but_one_thing_is_found(discovered: tuple[Path, str]) -> None:
    path, said = discovered
    text = path.read_text()
    assert text.count("# fill in:") <= 1, text
    known = yaml.safe_load(text)["exchange"]["vars"]
    assert known["chaos_services"]["api"] == "trading-api"
    assert known["chaos_ports"] == {"database": 5432, "cache": 6379, "api": 8080, "proxy": 80}
    assert "Trial order accepted" in said
    assert "trading_user" in text
    assert '-->|"5432"|' in path.with_suffix(".mmd").read_text()


def test_what_is_there_already_is_not_overwritten(discovered: tuple[Path, str]) -> None:
    path, _said = discovered
    before = path.read_text()
    done = support.ansible(
        "playbooks/discover.yml", chaos_project=support.PROJECT, discover_inventory=str(path)
    )
    assert done.returncode != 0
    assert "discover_replace" in done.stdout
    assert path.read_text() == before


@pytest.mark.full
def test_preflight_runs_with_it(discovered: tuple[Path, str]) -> None:
    done = run_with(discovered[0], "playbooks/00-preflight.yml")
    assert done.returncode == 0, done.stdout[-4000:]
    by_hand = support.ansible("playbooks/00-preflight.yml")
    assert read_table(done.stdout) == read_table(by_hand.stdout)
    assert re.search(r"^01 .*✓ ready$", done.stdout, re.MULTILINE), done.stdout[-4000:]


@pytest.mark.full
def test_the_first_experiment_passes_with_it(discovered: tuple[Path, str], tmp_path: Path) -> None:
    done = run_with(discovered[0], support.EXPERIMENT, chaos_report_dir=str(tmp_path), **support.SHORT)
    assert done.returncode == 0, done.stdout[-4000:]
    assert support.report(tmp_path).record["outcome"] == "passed"
