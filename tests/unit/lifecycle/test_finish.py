# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending a run never depends on judging it, nor on a disk that takes what is written, nor on a watchdog in order."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, disk_room, json_files, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import undo
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.judge import unjudged
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import finish as finishing
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import watchdog
from ansible_collections.exchange.chaos.plugins.module_utils.run import lease
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Thresholds
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit.scenario import Scenario

RUN = "exp-01-a"
_RECORD = json.loads((Path(__file__).resolve().parents[3] / "files" / "record.schema.json").read_text())
HOST_SCHEMA = {"$defs": _RECORD["$defs"], "$ref": "#/$defs/host"}


class Undone:
    """A fault that counts how often it was undone."""

    def __init__(self) -> None:
        self.times = 0

    def undo(self, entry: Entry, scene: Any) -> str:
        self.times += 1
        return "as before"

    def in_force(self, entry: Entry, scene: Any) -> list[Any]:
        return []


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Undone:
    made = Undone()
    monkeypatch.setattr(undo, "by_kind", lambda kind: made)
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: object()))
    return made


@pytest.fixture
def home(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def opened(home: StateDir, **spec: Any) -> RunDir:
    home.lock_project("lab", RUN, "anna")
    run = home.create_run_dir(RUN)
    run.keep_room()
    anchor = {"boottime": clock.read(), "realtime": time.time(), "boot_id": clock.boot_id()}
    known = {
        "project": "lab",
        "anchor": anchor,
        "run_id": RUN,
        "faults": [],
        "services": {},
        "probes": [],
        **spec,
    }
    write_json(run.file("spec.json"), known)
    Journal(run).write_planned("outage", "kill", "postgres", ["kill"], {}, 60.0)
    return run


@pytest.mark.parametrize("wrong", [{"p99_ms": None}, 5, {"error_ratio": "many"}, [1], {"p99_ms": [1]}])
def test_a_run_that_cannot_be_judged_is_undone_ended_and_says_so(
    home: StateDir, fault: Undone, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(home, thresholds=wrong)

    def raises(evidence: Any) -> Any:
        raise TypeError("'<' not supported between instances of 'float' and 'NoneType'")

    monkeypatch.setattr(unjudged.parts, "host_record", raises)
    record = finishing.finish_run(run, by="watchdog")
    assert fault.times == 1
    assert home.lock_holder("lab") is None
    found = json.loads(record.file("record.json").read_text())
    jsonschema.validate(found, HOST_SCHEMA)
    assert found["judged"] is False
    assert found["outcome"] != "passed"
    assert "could not be judged (ChaosError: chaos_thresholds" in found["notes"][0]


def test_what_can_be_told_of_an_unjudged_run_is_told(tmp_path: Path) -> None:
    evidence = Scenario(restore={"leftovers": [], "restarts": {}, "unchecked": []}).evidence(tmp_path)
    found = unjudged.unjudged_record(evidence, "TypeError: no number")
    jsonschema.validate(found, HOST_SCHEMA)
    assert found["verdicts"] == {"effect": "unknown", "hypothesis": "unknown", "restored": "pass"}
    assert found["faults"]
    assert found["load"]["requests"] > 0


def test_a_threshold_that_is_no_number_costs_the_judgement_and_nothing_else(tmp_path: Path) -> None:
    evidence = Scenario().evidence(tmp_path)
    broken = replace(evidence.spec, thresholds=Thresholds(error_ratio=None, p99_ms=None))  # type: ignore[arg-type]
    found = unjudged.safe_record(replace(evidence, spec=broken))
    assert found["judged"] is False
    jsonschema.validate(found, HOST_SCHEMA)


# -- a disk that refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_whatever_the_disk_says_the_fault_is_undone(
    home: StateDir, fault: Undone, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(home)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, "refused")

    with monkeypatch.context() as broken:
        broken.setattr(jsonl.Writer, "write", refuse)
        broken.setattr(json_files, "_replace", refuse)
        with pytest.raises(Exception, match="undone, but its record cannot be written"):
            finishing.finish_run(run, by="halt")
        assert fault.times == 1
    record = finishing.finish_run(run, by="halt")
    assert fault.times == 1, "what is gone is not undone again"
    assert record.file("record.json").exists()
    assert home.lock_holder("lab") is None


def test_the_room_that_was_kept_is_given_when_the_disk_is_full(
    home: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(home)
    real: Callable[..., None] = json_files._replace

    def full(path: Path, value: Any, sync: bool) -> None:
        if run.file(disk_room.RESERVE).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, value, sync)

    monkeypatch.setattr(json_files, "_replace", full)
    write_json(run.file("restore.json"), {"leftovers": []})
    assert json.loads(run.file("restore.json").read_text()) == {"leftovers": []}
    assert not run.file(disk_room.RESERVE).exists()


# -- keepers ----------------------------------------------------------------------------------------------------


class Steps:
    """A life of so many looks."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stopping(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_guard_that_cannot_look_ends_the_run_and_undoes(
    home: StateDir, fault: Undone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a limit was accepted once: the guard died at every look, and the run passed."""
    run = opened(home, abort_when={"free_disk_mb": ["200"]})
    run.extend_deadline(60)
    monkeypatch.setattr(watchdog, "_GUARD_S", 0.0)
    monkeypatch.setattr(watchdog, "_TICK_S", 0.0)
    monkeypatch.setattr(watchdog.Watchdog, "_keep_standby", lambda self: None)
    watchdog.Watchdog(run, Steps(3)).keep_watch()  # type: ignore[arg-type]
    assert fault.times == 1
    assert [event["duty"] for event in run.read_timeline() if event["event"] == "watchdog_failed"] == [
        "guard"
    ]
    assert [event["by"] for event in run.read_timeline() if event["event"] == "aborted"] == ["guard"]


def test_a_duty_that_fails_keeps_no_other_from_being_done(
    home: StateDir, fault: Undone, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(home)
    Journal(run).write_planned("second", "kill", "postgres", ["kill"], {}, -1.0)
    run.extend_deadline(60)

    def raises(self: Any) -> None:
        raise KeyError("pid")

    monkeypatch.setattr(watchdog, "_TICK_S", 0.0)
    for duty in ("_keep_standby", "_watch_observers", "_heed_abort"):
        monkeypatch.setattr(watchdog.Watchdog, duty, raises)
    watchdog.Watchdog(run, Steps(3)).keep_watch()  # type: ignore[arg-type]
    assert fault.times == 1
    assert len([event for event in run.read_timeline() if event["event"] == "watchdog_failed"]) == 3


def test_a_watchdog_that_failed_is_never_a_pass(tmp_path: Path) -> None:
    evidence = Scenario().evidence(tmp_path)
    assert unjudged.safe_record(evidence)["outcome"] == "passed"
    failed = {
        "t": evidence.timeline[-1]["t"],
        "event": "watchdog_failed",
        "duty": "all",
        "error": "TypeError: x",
    }
    timeline = Timeline([*evidence.timeline, failed])
    found = unjudged.safe_record(replace(evidence, timeline=timeline))
    assert found["outcome"] == "failed"
    assert any("the watchdog failed at its duty all (TypeError: x)" in note for note in found["notes"])


def test_that_both_watchdogs_were_killed_is_a_note(home: StateDir, fault: Undone) -> None:
    run = opened(home)
    run.file("processes").mkdir()
    for name in ("watchdog", "standby"):
        write_json(run.file("processes") / f"{name}.json", {"command": name, "pid": 2**22 + 7, "start": 1})
    record = json.loads(finishing.finish_run(run, by="module").file("record.json").read_text())
    assert any("Both watchdogs of the run were gone" in note for note in record["notes"])


# -- whose word was missing ---------------------------------------------------------------------------------------


def test_the_reason_of_an_ended_lease_names_who_was_here_last_and_when(home: StateDir) -> None:
    run = opened(home)
    assert "since when is not known" in lease.expiry_reason(run)
    lease.renew_on_contact(run, "module window")
    assert lease.expiry_reason(run).startswith(
        "no module came after module window, which was here 0 s ago (20"
    )
    run.extend_deadline(100)
    run.shorten_deadline(1, earliest=0)
    assert "module window" in lease.expiry_reason(run), (
        "who renews on the host is no word of the controller's"
    )
    run.note("module_failed", module="disk", error="it lives in cgroup /")
    assert lease.expiry_reason(run).endswith("and it failed: it lives in cgroup /")


# -- a target that goes meanwhile ---------------------------------------------------------------------------------


def test_a_target_that_goes_while_it_is_undone_is_looked_up_again(
    home: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Going(Undone):
        def undo(self, entry: Entry, scene: Any) -> str:
            self.times += 1
            if self.times == 1:
                raise finishing.ChaosError("Process 7 lives in cgroup /, which is not the container's own.")
            return "undone by replacement: postgres is gone"

    class Gone:
        def inspect(self, container_id: str) -> None:
            return None

    going = Going()
    monkeypatch.setattr(undo, "by_kind", lambda kind: going)
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: Gone()))
    run = opened(home)
    journal = Journal(run)
    journal.write_undone(journal.open_entries()[0], "test", "away")
    journal.write_planned(
        "throttle", "disk", "postgres", ["limit"], {"containers": [{"id": "c" * 64, "pid": 7}]}, 60.0
    )
    assert undo.undo(run, by="module") == [
        "Fault throttle undone by module: undone by replacement: postgres is gone"
    ]
