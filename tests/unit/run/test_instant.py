# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instant on a host whose clock is seconds off: armed before it, acted at it, not at all once aborted."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import inject, undo
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Applied
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import instant
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.instant import Instant
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal

#: A sleeper on a busy machine; what is asserted more tightly is measured where nothing else runs (module tests).
SOON_S = 0.05
ORDER = inject.Injection("crash", "kill", "postgres", ["kill"], {"op": "running"}, 60.0)


def opened(
    folder: Path, offset_ms: float | None = 0.0, uncertainty_ms: float | None = 0.5, **more: Any
) -> RunDir:
    """Return a run on a host whose own clock is ``offset_ms`` ahead of the controller's, which is this process's."""
    run = RunDir(folder)
    here = clock.take_anchor()
    anchor = {**vars(here), "realtime": here.realtime + (offset_ms or 0.0) / 1000}
    measured = {"offset_ms": offset_ms, "uncertainty_ms": uncertainty_ms, **more}
    write_json(run.file("spec.json"), {"anchor": anchor, "facts": {"clock": measured}})
    run.write_event("opened")
    return run


@pytest.mark.parametrize("offset_ms", [0.0, 5000.0, -7250.5])
def test_a_host_seconds_off_acts_when_the_controllers_clock_says_so(tmp_path: Path, offset_ms: float) -> None:
    run, at = opened(tmp_path, offset_ms), time.time() + 0.3
    agreed = Instant(run, "crash", at)
    before = os.sched_getscheduler(0)
    with agreed.moment():
        assert 0 <= time.time() - at + 0.001 < SOON_S
        assert 0 <= clock.read() - agreed.target < SOON_S
        during = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    assert os.sched_getscheduler(0) == before
    if os.geteuid() == 0:
        assert during[0] & os.SCHED_FIFO or during[1] < 0, (
            "before all ordinary processes, for that moment alone"
        )


def test_the_doubt_grows_with_the_time_since_the_clocks_were_compared(tmp_path: Path) -> None:
    run = opened(tmp_path, 5000.0, 0.5)
    assert instant.doubt_ms(run, run.anchor.boottime) == pytest.approx(0.5)
    assert instant.doubt_ms(run, run.anchor.boottime + 100) == pytest.approx(0.5 + 1.5)
    older = opened(tmp_path, 0.0, 0.5, measured_at=run.anchor.realtime - 5 - 100)
    assert instant.doubt_ms(RunDir(tmp_path), older.anchor.boottime) == pytest.approx(2.0, abs=0.01)


def test_an_unknown_clock_is_said(tmp_path: Path) -> None:
    run = opened(tmp_path, None, None, reason="no exchange was answered")
    assert instant.doubt_ms(run, clock.read()) is None
    said = instant.describe_instant(run, time.time())
    assert "is not known (no exchange was answered)" in said
    assert "fires by its own clock" in said


class Stage:
    """A run, an instant, and what was done at it."""

    def __init__(self, run: RunDir, ahead: float) -> None:
        self.run = run
        self.agreed = Instant(run, "crash", time.time() + ahead)
        self.acted: list[float] = []
        self.entries: list[Entry] = []

    def act(self, entry: Entry) -> Applied:
        self.entries.append(entry)
        with self.agreed.moment():
            self.acted.append(clock.read())
        return Applied(self.acted[-1], [], within=0.002)

    def inject(self, lead: float = 0.0) -> Any:
        proofs = inject.inject_fault(self.run, ORDER, self.act, lead=lead, agreed=self.agreed)
        return [proof for proof in proofs if proof.holds is not None]  # no kill was tried here

    def said(self, level: str) -> list[str]:
        return [e["text"] for e in self.run.read_timeline() if e["event"] == "log" and e["level"] == level]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(instant, "AHEAD_S", 0.2)
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: object()))
    return Stage(opened(tmp_path, 5000.0), ahead=0.8)


def test_announced_a_lead_before_journaled_before_and_acted_at_the_instant(stage: Stage) -> None:
    proofs = stage.inject(lead=0.5)
    (entry,) = Journal(stage.run).entries()
    (announced,) = [e["t"] for e in stage.run.read_timeline() if e["event"] == "fault_imminent"]
    target = stage.agreed.target
    assert announced == pytest.approx(target - 0.5, abs=SOON_S)
    assert entry.planned_at == pytest.approx(target - 0.2, abs=SOON_S)
    assert entry.expires >= target + ORDER.ttl, "the time to live is not shortened by the waiting"
    assert 0 <= stage.acted[0] - target < SOON_S
    assert [(proof.fact, proof.source) for proof in proofs] == [
        (instant.STARTED, "fault"),
        (instant.DOUBT, "fault"),
    ]
    assert proofs[0].value == pytest.approx(1000 * (stage.acted[0] - target), abs=0.01)
    assert proofs[1].value == pytest.approx(0.5 + 2.0, abs=0.1), "clocks and the fault's own"
    assert stage.said("warn") == []
    # the run lives until after the instant
    assert stage.run.read_deadline() > target + 15


def test_one_who_is_late_acts_at_once_and_says_so(tmp_path: Path) -> None:
    late = Stage(opened(tmp_path), ahead=-2.0)
    proofs = late.inject(lead=1.0)
    assert any(
        "armed 2.0" in text and "late, so it is injected at once" in text for text in late.said("warn")
    )
    assert proofs[0].value == pytest.approx(2000, abs=500)
    assert proofs[0].holds is False
    assert proofs[1].holds is True


def test_one_that_prepares_until_the_instant_has_passed_says_so(stage: Stage) -> None:
    """Armed in time, but what comes before the change took longer, as on a host that others keep busy."""
    in_time = stage.act

    def slow(entry: Entry) -> Applied:
        clock.sleep(stage.agreed.seconds_left + 0.3)
        return in_time(entry)

    stage.act = slow  # type: ignore[method-assign]
    proofs = stage.inject()
    assert proofs[0].holds is False
    (said,) = [text for text in stage.said("warn") if not text.startswith("Proof")]
    assert "Fault crash: injected 3" in said
    assert "ms after the instant agreed for the wave" in said


def test_a_host_that_fires_by_its_own_clock_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instant, "AHEAD_S", 0.0)
    unsure = Stage(opened(tmp_path, None, None, reason="no exchange was answered"), ahead=0.1)
    unsure.inject()
    assert any("fires by its own clock" in text for text in unsure.said("warn"))


def test_one_whose_time_to_prepare_is_short_says_so(stage: Stage) -> None:
    stage.inject(lead=5.0)
    assert any("armed only 0." in text for text in stage.said("warn"))
    assert 0 <= stage.acted[0] - stage.agreed.target < SOON_S


@pytest.mark.parametrize("event", ["aborted", "finishing"])
@pytest.mark.parametrize("when", [0.1, 0.68])
def test_aborted_while_armed_never_fires(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, event: str, when: float
) -> None:
    """Before it is journaled and after; the lock is free again long before a watchdog could miss it."""
    fault = type("Fake", (), {"undo": lambda *_: "as before", "in_force": lambda *_: []})()
    monkeypatch.setattr(undo, "by_kind", lambda kind: fault)
    threading.Timer(
        when, lambda: RunDir(stage.run.path).write_event(event, reason="guard", by="guard")
    ).start()
    with pytest.raises(ChaosError, match="was aborted"):
        stage.inject(lead=0.0)
    assert stage.acted == []
    assert len(stage.entries) == (1 if when > 0.6 else 0)
    assert Journal(stage.run).open_entries() == []
    assert not any(e["event"] == "fault_injected" for e in stage.run.read_timeline())


def test_a_run_that_was_taken_away_while_armed_never_fires(stage: Stage) -> None:
    threading.Timer(0.3, lambda: shutil.rmtree(stage.run.path)).start()
    with pytest.raises(ChaosError):
        stage.inject()
    assert stage.acted == []
