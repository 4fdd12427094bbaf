# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The placebo window on the host: announced like a fault, and the end of a run whose load is too much already."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import placebo, window
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.window import Observation
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.governor import Governor, Wanted
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.schedule import Schedule
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.schedule import Pace
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Event

LOAD = {"rate": 10, "watch_rate": 40, "burst_rate": 200, "burst_s": 2, "timeout_s": 1}


def opened(folder: Path, *kinds: str) -> RunDir:
    run = RunDir(folder)
    spec = {
        "anchor": asdict(clock.take_anchor()), "load": LOAD, "thresholds": {},
        "faults": [{"id": kind, "kind": kind} for kind in kinds],
        "windows": {"baseline_s": 0.2, "placebo_s": 0.3, "steady_s": 0.1},
    }  # fmt: skip
    write_json(run.file("spec.json"), spec)
    run.write_event("phase_end", id="baseline", steady=True)
    return run


def seen(run: RunDir, name: str) -> list[Event]:
    return [event for event in run.read_timeline() if event["event"] == name]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is not steady; a test may add to it."""
    reasons: list[str] = []
    monkeypatch.setattr(window, "_reasons", lambda *_given: list(reasons))
    return reasons


@pytest.mark.usefixtures("steady")
def test_it_is_announced_and_ended_for_the_observers(tmp_path: Path) -> None:
    run = opened(tmp_path, "kill")
    result = window.watch_slice(run, Observation("placebo", None, 0.3, False), 5.0)
    assert (result["done"], result["steady"], result["injectable"]) == (True, True, True)
    (begin,), (end,) = seen(run, "placebo_begin"), seen(run, "placebo_end")
    assert begin["kinds"] == ["kill"]
    assert end["steady"] is True
    assert end["wall_s"] == pytest.approx(end["t"] - seen(run, "phase_end")[0]["t"], abs=0.02)
    assert not seen(run, "fault_imminent") + seen(run, "fault_injected") + seen(run, "no_more_faults")


@pytest.mark.parametrize(("kinds", "streams"), [(["kill"], 3), ([], 3), (["cpu"], 2)])
def test_it_brings_what_the_run_s_own_faults_would_bring(
    kinds: list[str], streams: int, tmp_path: Path
) -> None:
    run = opened(tmp_path, *kinds)
    placebo.begin_placebo(run, 5.0)
    (begin,) = seen(run, "placebo_begin")
    schedule, pace = Schedule(LOAD, begin["t"]), Pace()
    governor = Governor(Wanted.from_spec(Specification.read({"load": LOAD})), schedule)
    governor.tick(begin["t"], [begin], [], None)
    governor.tick(begin["t"] + 0.7, [], [], None)  # the surge takes its first step
    assert pace.take_events([begin])
    assert pace.fast
    assert len({stream for _at, stream in schedule.due(begin["t"] + 1)}) == streams
    end = {"t": begin["t"] + 1.5, "event": "placebo_end"}
    governor.tick(end["t"], [end], [], None)
    pace.take_events([end])
    assert not pace.fast
    assert {stream for at, stream in schedule.due(begin["t"] + 5) if at > end["t"]} == {"steady"}


def test_an_exchange_that_was_disturbed_and_came_back_is_injected_into(
    tmp_path: Path, steady: list[str]
) -> None:
    run = opened(tmp_path, "kill")
    steady.append("orders: 3 of 9 failed")
    assert not window.watch_slice(run, Observation("placebo", None, 0.2, False), 5.0)["steady"]
    assert seen(run, "placebo_end")[0]["reasons"] == ["orders: 3 of 9 failed"]
    steady.clear()
    result = window.watch_slice(run, Observation("placebo_recovery", None, 2.0, True), 5.0)
    assert (result["done"], result["steady"], result["injectable"]) == (True, True, True)
    assert not seen(run, "placebo_strain")


def test_an_exchange_that_does_not_come_back_is_not(tmp_path: Path, steady: list[str]) -> None:
    run = opened(tmp_path, "kill")
    steady.append("orders: 3 of 9 failed")
    window.watch_slice(run, Observation("placebo", None, 0.2, False), 5.0)
    result = window.watch_slice(run, Observation("placebo_recovery", None, 0.3, True), 5.0)
    assert (result["done"], result["injectable"]) == (True, False)
    assert seen(run, "placebo_strain")[0]["reason"] == "orders: 3 of 9 failed"


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("event", placebo.YIELDS)
def test_a_load_that_withdraws_ends_it_at_once_and_is_taken_away(
    event: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, "kill")
    stopped = []
    monkeypatch.setattr(placebo.processes, "stop_process", lambda _run, name, **_more: stopped.append(name))
    threading.Timer(0.5, lambda: run.write_event(event, reason="29 of 30 orders failed")).start()
    since = clock.read()
    result = window.watch_slice(run, Observation("placebo", None, 20.0, False), 20.0)
    assert clock.read() - since < 1.5
    assert (result["done"], result["steady"], result["injectable"]) == (True, False, False)
    assert stopped == ["load"]
    assert seen(run, "placebo_strain")[0]["reason"] == "29 of 30 orders failed"


def test_an_exchange_that_comes_back_only_once_the_load_fell_is_injected_nothing(
    tmp_path: Path, steady: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, "kill")
    stopped: list[str] = []
    monkeypatch.setattr(placebo.processes, "stop_process", lambda _run, name, **_more: stopped.append(name))
    steady.append("orders: 3 of 9 failed")
    window.watch_slice(run, Observation("placebo", None, 0.2, False), 5.0)
    run.write_event("load_yielded", rate=1, level="trickle", reason="19 of 20 failed")
    steady.clear()
    result = window.watch_slice(run, Observation("placebo_recovery", None, 5.0, True), 5.0)
    assert (result["done"], result["steady"], result["injectable"]) == (True, False, False)
    assert stopped == ["load"]


def test_what_the_load_said_before_the_placebo_is_not_held_against_it(tmp_path: Path) -> None:
    run = opened(tmp_path, "kill")
    run.write_event("load_guard", reason="earlier")
    placebo.begin_placebo(run, 5.0)
    assert placebo.find_strain(run) == ""


def test_without_our_load_the_probes_alone_tell(tmp_path: Path) -> None:
    run = opened(tmp_path, "kill")
    spec = {**run.spec.to_data(), "probes": [{"name": "ready", "role": "readiness", "rate": 100}]}
    write_json(run.file("spec.json"), spec)
    now = clock.read()
    samples = [
        {"probe": "ready", "role": "readiness", "at": now + at / 100, "end": now + at / 100, "ok": True}
        for at in range(60)
    ]
    run = RunDir(tmp_path)
    run.file("probes.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in samples))
    clock.sleep(0.6)
    after = Observation("placebo_recovery", None, 5.0, True)
    evidence = window.recent_evidence(run)
    assert any("orders" in reason for reason in window._reasons(run, evidence, now, after))
    run.write_event("placebo_strain", reason="too much")
    assert window._reasons(run, evidence, now, after) == []
