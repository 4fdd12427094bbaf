# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of a wave that is done with a window hears nothing until the others are: its run must not end meanwhile."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import window
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.window import Observation
from ansible_collections.exchange.chaos.plugins.module_utils.run import lease
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal

RECOVERY = Observation("crash_recovery", "crash", 60.0, True)


def opened(folder: Path, patience_s: float) -> RunDir:
    """A run whose host has ``patience_s`` + 1 hosts in its wave, steady after its fault crash."""
    run = RunDir(folder)
    spec = {
        "anchor": asdict(clock.take_anchor()),
        "patience_s": patience_s, "load": {"rate": 1}, "thresholds": {},
        "windows": {"baseline_s": 0.2, "baseline_timeout_s": 50.0},
    }  # fmt: skip
    write_json(run.file("spec.json"), spec)
    run.write_event("steady", fault="crash")
    lease.renew_lease(run, lease.LEASE_S)
    return run


def left(run: RunDir) -> float:
    return run.read_deadline() - clock.read()


def test_a_host_that_recovered_at_once_lives_as_long_as_the_others_may_take(tmp_path: Path) -> None:
    run = opened(tmp_path, 2.0)
    assert window.watch_slice(run, RECOVERY, 2.0)["done"]
    assert left(run) > RECOVERY.seconds


def test_a_host_alone_waits_for_nobody(tmp_path: Path) -> None:
    run = opened(tmp_path, 0.0)
    assert window.watch_slice(run, RECOVERY, 2.0)["done"]
    assert left(run) <= lease.LEASE_S


def test_a_baseline_may_begin_anew_on_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(tmp_path, 1.0)
    monkeypatch.setattr(window, "_reasons", lambda *_given: [])
    assert window.watch_slice(run, Observation("baseline", None, 0.2, False), 0.2)["steady"]
    assert left(run) > 50


@pytest.mark.parametrize(("accepted", "injectable"), [(False, False), (True, True)])
def test_a_host_too_busy_to_learn_from_is_injected_into_only_if_its_owner_says_so(
    accepted: bool, injectable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, 0.0)
    spec = {**run.spec.to_data(), "accept_noise": accepted, "windows": {"baseline_s": 0.8}}
    write_json(run.file("spec.json"), spec)
    now = clock.read()
    busy = {"cpu_others": 1.7, "psi_cpu": 0.8, "top": {"command": "stress", "cgroup": "/", "cores": 1.7}}
    lines = [{"t": now + tick / 10, **busy} for tick in range(9)]
    run.file("interference.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.setattr(window, "_reasons", lambda *_given: [])
    found = window.watch_slice(RunDir(tmp_path), Observation("baseline", None, 0.8, False), 1.0)
    assert (found["done"], found["steady"], found["injectable"]) == (True, injectable, injectable)
    told = run.read_timeline().unsteady_starts
    assert [event["busy"].split(" for")[0] for event in told] == ["others took the machine"] * (not accepted)
    said = [
        line for line in run.file("timeline.jsonl").read_text().splitlines() if "nothing is injected" in line
    ]
    assert [line.count("others took the machine") for line in said] == [1] * (not accepted), "said once"


def test_what_a_placebo_disturbed_may_be_watched_for_long_on_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, 1.0)
    monkeypatch.setattr(window, "_reasons", lambda *_given: [])
    monkeypatch.setattr(window.placebo, "begin_placebo", lambda *_given: None)
    monkeypatch.setattr(window.placebo, "end", lambda *_given, **_more: None)
    assert window.watch_slice(run, Observation("placebo", None, 0.2, False), 0.2)["steady"]
    assert left(run) > run.spec.windows.recovery_timeout_s


def test_a_fault_in_force_keeps_its_time_to_live(tmp_path: Path) -> None:
    run = opened(tmp_path, 2.0)
    with Journal(run).lock():
        Journal(run).write_planned("outage", "kill", "postgres", ["kill"], {}, 15.0)
    assert window.watch_slice(run, RECOVERY, 2.0)["done"]
    assert left(run) <= 15.0


def test_a_run_that_was_aborted_is_not_kept(tmp_path: Path) -> None:
    run = opened(tmp_path, 2.0)
    run.write_event("aborted", reason="halt", by="halt")
    assert window.watch_slice(run, RECOVERY, 2.0)["aborted"] == "halt"
    assert left(run) <= lease.LEASE_S + 2.0


@pytest.mark.parametrize("died", ["load", "probes"])
def test_nobody_waits_for_what_nobody_sees(tmp_path: Path, died: str) -> None:
    """Load or probes died, as on a full disk: the fault is undone at once, and no recovery is waited for."""
    run = opened(tmp_path, 0.0)
    until_steady = Observation("outage", "outage", 60.0, True)
    for name in ("load", "probes"):
        run.register_process(name)
    assert not window.watch_slice(run, until_steady, 0.2)["done"]
    path = run.file("processes") / f"{died}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "start": 1}))
    assert not window.watch_slice(run, Observation("held", "outage", 60.0, False), 0.2)["done"]
    begun = clock.read()
    seen = window.watch_slice(run, until_steady, 20.0)
    assert (seen["done"], seen["steady"]) == (True, False)
    assert clock.read() - begun < 2
    assert "Not waited for, load or probes died: orders" in run.read_timeline().log_lines[-1]["text"]
