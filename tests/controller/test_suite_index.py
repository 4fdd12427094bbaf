# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite ends with the index of its report folder, whatever keeps it from being written decides nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.controller.test_callback import PLAYBOOK, Bench

SUITE = PLAYBOOK.with_name("suite_of_two.yml")
PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_index_has_every_run_of_the_suite_and_links_to_their_pages(bench: Bench) -> None:
    screen = bench.play(playbook=SUITE)
    index = bench.reports / "chaos-index.html"
    assert f"index: {index}" in screen
    text = index.read_text()
    assert "2 runs in" in text
    linked = re.findall(r'href="\./([^"]+\.html)"', text)
    assert sorted(linked) == sorted(path.name for path in bench.reports.glob("chaos-exp-*.html"))
    assert len(linked) == 2


@pytest.mark.full
def test_what_stands_in_its_place_stays_and_the_suite_ends_as_it_would(bench: Bench) -> None:
    (bench.reports / "chaos-index.html").write_text("somebody's")
    screen = bench.play(playbook=SUITE)
    assert "is no page of this user" in screen
    assert (bench.reports / "chaos-index.html").read_text() == "somebody's"


@pytest.mark.parametrize("name", ["all", "weekly", "predeploy", "extended", "monthly"])
def test_every_suite_has_that_end(name: str) -> None:
    last = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())[-1]["ansible.builtin.import_playbook"]
    assert last in ("shared/suite.yml", "all.yml")
