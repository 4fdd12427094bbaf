# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What watching costs a host is said of each run, from the kernel's own count of each process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import usage
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import finish
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes, timeline

from tests.module.load_api import Api, load_spec, make_run


@pytest.mark.parametrize(("budget", "over"), [(100.0, False), (0.0, True)])
def test_each_process_is_counted_and_what_is_over_the_budget_is_said(
    budget: float, over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "_BUDGET", budget)
    api = Api()
    run = make_run(tmp_path / "run", load_spec(api.url, rate=100))
    try:
        entry = processes.start_process(run, "load")
        processes.start_process(run, "interference")
        time.sleep(0.5)
        finish._tell_cost(run)
        found = usage.of_process(entry["pid"])
    finally:
        for name in ("load", "interference"):
            processes.stop_process(run, name)
        api.refuse()
    (cost,) = run.read_timeline().named(timeline.OWN_COST)
    assert found
    assert set(cost["cpu_s"]) == {"load", "interference"}
    assert 0 < cost["cpu_s"]["load"] <= found[1]
    assert cost["share"] > 0
    (line,) = [line for line in run.read_timeline().log_lines if "CPU s" in line["text"]]
    assert ("more than" in line["text"]) == over
    assert "load" in line["text"]


def test_a_run_whose_processes_are_gone_says_nothing_of_their_cost(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", load_spec("http://127.0.0.1:1"))
    finish._tell_cost(run)
    assert not run.read_timeline().named(timeline.OWN_COST)
