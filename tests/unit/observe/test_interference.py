# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the interference observer makes of its counters: shares of the last interval, cores of the last half second."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import usage
from ansible_collections.exchange.chaos.plugins.module_utils.host.cgroups import Cgroup
from ansible_collections.exchange.chaos.plugins.module_utils.host.usage import Processors
from ansible_collections.exchange.chaos.plugins.module_utils.observe.interference import (
    Exchange,
    HostCounters,
    Processes,
    compare,
    list_containers,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

FIRST = HostCounters(10.0, (5.0, 1.0, 0.0), 2.0, Processors(100.0, 3.0), 20.0, 4.0)
BEFORE = replace(FIRST, t=10.4, stalls=(5.0, 1.0, 0.0), waited=2.0)
LAST = HostCounters(10.5, (5.08, 1.01, 0.0), 2.05, Processors(100.9, 3.1), 20.2, 4.1)


def test_stalls_are_of_the_last_interval_and_cores_of_the_whole_stretch() -> None:
    assert compare([FIRST, BEFORE, LAST], 0.0042) == {
        "t": 10.5,
        "psi_cpu": pytest.approx(0.8),
        "psi_io": pytest.approx(0.1),
        "psi_mem": 0.0,
        "waiting": pytest.approx(0.5),
        "steal": pytest.approx(0.2),
        "cpu_exchange": pytest.approx(0.4),
        "cpu_others": pytest.approx(1.2),
        "cpu_ours": pytest.approx(0.2),
        "run_delay_ms": 4.2,
    }


def test_a_kernel_without_psi_leaves_null_and_ticks_never_make_others_negative() -> None:
    blind = replace(FIRST, stalls=(None,) * 3, waited=None)
    line = compare([blind, replace(LAST, stalls=(None,) * 3, waited=None, processors=FIRST.processors)], 0.0)
    assert [line[name] for name in ("psi_cpu", "psi_io", "psi_mem", "waiting")] == [None] * 4
    assert line["cpu_others"] == 0.0


def test_a_container_that_was_started_anew_counts_on(tmp_path: Path) -> None:
    exchange = Exchange({"c": Cgroup(1, tmp_path, tmp_path)})
    used = []
    for nanoseconds in (5e9, 6e9, None, 0.25e9, 0.5e9):
        path = tmp_path / "cpuacct.usage"
        if nanoseconds is None:
            path.unlink()
        else:
            path.write_text(f"{nanoseconds:.0f}\n")
        used.append(exchange.poll())
    assert used == [0.0, 1.0, 1.0, 1.25, 1.5]


def test_containers_that_do_not_run_have_no_cgroup() -> None:
    spec = {"containers": {"api": [{"id": "a", "pid": 7}, {"id": "b", "pid": 0}], "db": []}}
    assert list(list_containers(Specification.read(spec))) == [("a", 7)]


def test_what_a_module_starts_is_ours_and_a_stranger_is_not(tmp_path: Path) -> None:
    known = Processes(RunDir(tmp_path))
    known.ours.clear()  # else all that this test starts is ours
    module = subprocess.Popen(["sh", "-c", "sleep 5; : AnsiballZ_kill.py"])
    stranger = subprocess.Popen(["sleep", "5"])
    children: set[int] = set()
    try:
        time.sleep(0.2)
        children = {pid for pid in usage.list_processes() if usage.parent_of(pid) == module.pid}
        known.meet(Exchange())
        assert children
        assert {module.pid, *children} <= known.ours
        assert stranger.pid not in known.ours
    finally:
        for pid in (*children, module.pid, stranger.pid):
            os.kill(pid, signal.SIGKILL)
        module.wait()
        stranger.wait()
