# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: on disk before a change, newest undone first, readable whatever happened to its last line."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import read_json, write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import inject, undo
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Proof
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kind import Kind
from ansible_collections.exchange.chaos.plugins.module_utils.faults.registry import by_kind
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal

UNDO = {"op": "running", "project": "lab", "service": "postgres", "containers": ["c1"], "held": True}


class FakeFault:
    """A fault whose undo is told to work or not; it remembers what was undone."""

    KIND = Kind()

    def __init__(self) -> None:
        self.undone: list[str] = []
        self.resists: set[str] = set()
        self.unreadable = False

    def undo(self, entry: Entry, engine: DockerEngine) -> str:
        if entry.fault in self.resists:
            raise ChaosError(f"{entry.fault} resists.")
        self.undone.append(entry.fault)
        return "as before"

    def in_force(self, entry: Entry, engine: DockerEngine) -> list[Proof]:
        if self.unreadable:
            raise ChaosError("The engine does not say.")
        return [Proof("engine", "still down", True, clock.read(), True)]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> FakeFault:
    made = FakeFault()
    monkeypatch.setattr(undo, "by_kind", lambda kind: made)
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: object()))
    return made


def plan(run: RunDir, fault: str, ttl: float = 60) -> Entry:
    return Journal(run).write_planned(fault, "kill", "postgres", [f"kill for {fault}"], UNDO, ttl)


def test_an_entry_goes_from_planned_to_applied_to_undone(run: RunDir) -> None:
    before = clock.read()
    entry = plan(run, "crash", ttl=30)
    assert before + 30 <= entry.expires <= clock.read() + 30
    (read,) = Journal(run).entries()
    assert (read.plan, read.undo, read.expires, read.open) == (entry.plan, UNDO, entry.expires, True)
    assert read.applied_at is None
    Journal(run).write_applied(entry, 12.5, pids=[7])
    (read,) = Journal(run).entries()
    assert (read.applied_at, read.facts, read.open) == (12.5, {"pids": [7]}, True)
    Journal(run).write_undone(entry, "watchdog", "started", 13.5)
    (read,) = Journal(run).entries()
    assert (read.undone_at, read.undone_by, read.how, read.open) == (13.5, "watchdog", "started", False)


def test_open_entries_come_newest_first_whether_applied_or_not(run: RunDir) -> None:
    entries = [plan(run, name) for name in ("one", "two", "three", "four")]
    Journal(run).write_applied(entries[0], 1.0)
    Journal(run).write_undone(entries[1], "module", "gone")
    assert [entry.fault for entry in Journal(run).open_entries()] == ["four", "three", "one"]
    assert [entry.seq for entry in Journal(run).entries()] == [1, 2, 3, 4]


def test_the_plan_is_written_and_flushed_before_the_change(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run.file("journal.jsonl")
    happened: list[tuple[str, list[str]]] = []
    flush = os.fsync

    def fsync(fd: int) -> None:
        flush(fd)
        if os.readlink(f"/proc/self/fd/{fd}") == str(path):
            happened.append(("flushed", [line["entry"] for line in jsonl.read_lines(path)]))

    def act(entry: Entry) -> inject.Applied:
        happened.append(("changed", [line["entry"] for line in jsonl.read_lines(path)]))
        return inject.Applied(clock.read(), [])

    monkeypatch.setattr(os, "fsync", fsync)
    inject.inject_fault(run, inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60), act, lead=0)
    assert happened == [
        ("flushed", ["planned"]),
        ("changed", ["planned"]),
        ("flushed", ["planned", "applied"]),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_change_that_fails_half_way_is_undone_at_once(run: RunDir, fault: FakeFault) -> None:
    def act(entry: Entry) -> inject.Applied:
        raise ChaosError("It broke half-way.")

    order = inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60)
    with pytest.raises(ChaosError, match="half-way"):
        inject.inject_fault(run, order, act, lead=0)
    assert fault.undone == ["crash"]
    (entry,) = Journal(run).entries()
    assert (entry.open, entry.undone_by, entry.applied_at) == (False, "module", None)


def test_what_then_resists_its_undo_stays_open_for_the_watchdog(run: RunDir, fault: FakeFault) -> None:
    fault.resists = {"crash"}

    def act(entry: Entry) -> inject.Applied:
        raise ChaosError("It broke half-way.")

    with pytest.raises(ChaosError, match="half-way"):
        inject.inject_fault(
            run, inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60), act, lead=0
        )
    assert [entry.fault for entry in Journal(run).open_entries()] == ["crash"]


@pytest.mark.parametrize("event", ["aborted", "finishing"])
def test_a_run_that_is_aborted_or_ending_injects_nothing(run: RunDir, event: str) -> None:
    run.write_event(event, reason="halt", by="halt")
    acted: list[bool] = []

    def act(entry: Entry) -> inject.Applied:
        acted.append(True)
        return inject.Applied(clock.read(), [])

    with pytest.raises(ChaosError, match="nothing was changed"):
        inject.inject_fault(
            run, inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60), act, lead=0
        )
    assert acted == []
    assert not run.file("journal.jsonl").exists()


@pytest.mark.parametrize("lost", ["watchdogs", "boot"])
def test_a_run_that_nobody_keeps_any_more_injects_nothing(run: RunDir, lost: str) -> None:
    """Its time to live would be nobody's to keep."""
    if lost == "watchdogs":
        for name in ("watchdog", "standby"):
            run.register_process(name)
            path = run.file("processes") / f"{name}.json"
            write_json(path, {**read_json(path), "start": 1})
    else:
        write_json(
            run.file("spec.json"), {"anchor": {**vars(clock.take_anchor()), "boot_id": "an earlier one"}}
        )
    acted: list[bool] = []

    def act(entry: Entry) -> inject.Applied:
        acted.append(True)
        return inject.Applied(clock.read(), [])

    order = inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60)
    with pytest.raises(ChaosError, match=r"No watchdog of this run .* nothing was changed"):
        inject.inject_fault(run, order, act, lead=0)
    assert acted == []
    assert not run.file("journal.jsonl").exists()


def test_no_journal_no_change(run: RunDir) -> None:
    # a link is never followed, so this journal cannot be written
    run.file("journal.jsonl").symlink_to(run.path / "elsewhere")
    acted: list[bool] = []

    def act(entry: Entry) -> inject.Applied:
        acted.append(True)
        return inject.Applied(clock.read(), [])

    with pytest.raises(ChaosError, match=r"cannot be written .* nothing was changed") as told:
        inject.inject_fault(
            run, inject.Injection("crash", "kill", "postgres", ["kill"], UNDO, 60), act, lead=0
        )
    assert acted == []
    assert not run.file("elsewhere").exists()
    assert str(run.file("journal.jsonl")) in str(told.value)


@pytest.mark.parametrize("torn", [b'{"t": 1, "seq": 2, "entry": "undo', b"{", b"\xff\xfe"])
def test_a_torn_last_line_is_left_out_and_what_follows_is_not(run: RunDir, torn: bytes) -> None:
    entry = plan(run, "crash")
    with run.file("journal.jsonl").open("ab") as stream:
        stream.write(torn)
    assert [found.fault for found in Journal(run).open_entries()] == ["crash"]
    # the next line stands on its own: glued to the torn one, it would be lost with it
    Journal(run).write_undone(entry, "watchdog", "started")
    assert Journal(run).open_entries() == []
    second = plan(run, "outage")
    assert second.seq == 2
    assert [found.fault for found in Journal(run).open_entries()] == ["outage"]


def test_a_line_that_names_no_plan_is_no_entry(run: RunDir) -> None:
    writer = jsonl.Writer(run.file("journal.jsonl"))
    writer.write({"t": 1.0, "seq": 7, "entry": "undone", "fault": "x", "by": "module", "how": "gone"})
    writer.close()
    assert Journal(run).entries() == []


def test_only_one_at_a_time_holds_the_journal(run: RunDir) -> None:
    with Journal(run).lock():
        fd = os.open(run.file("journal.lock"), os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
    with Journal(run).lock():
        pass


def test_the_undo_goes_newest_first_and_on_after_one_that_resists(run: RunDir, fault: FakeFault) -> None:
    for name in ("one", "two", "three"):
        plan(run, name)
    fault.resists = {"two"}
    with pytest.raises(ChaosError, match="two resists"):
        undo.undo(run, by="halt")
    assert fault.undone == ["three", "one"]
    assert [entry.fault for entry in Journal(run).open_entries()] == ["two"]
    fault.resists = set()
    assert undo.undo(run, by="watchdog") == ["Fault two undone by watchdog: as before"]
    assert undo.undo(run, by="watchdog") == []
    assert fault.undone == ["three", "one", "two"]


def test_the_undo_takes_only_what_is_wanted(run: RunDir, fault: FakeFault) -> None:
    plan(run, "late", ttl=-1)
    plan(run, "young", ttl=60)
    undo.undo(run, by="watchdog", wanted=undo.is_overdue)
    assert fault.undone == ["late"]


def test_the_proof_at_the_end_of_the_window_is_read_before_the_undo(run: RunDir, fault: FakeFault) -> None:
    plan(run, "crash")
    undo.undo(run, by="module")
    (proof,) = [event for event in run.read_timeline() if event["event"] == "proof"]
    (undone,) = [event for event in run.read_timeline() if event["event"] == "fault_undone"]
    assert (proof["fault"], proof["end_of_window"], proof["holds"]) == ("crash", True, True)
    assert proof["t"] <= undone["t"]


def test_a_fault_whose_proof_cannot_be_read_is_undone_all_the_same(run: RunDir, fault: FakeFault) -> None:
    plan(run, "crash")
    fault.unreadable = True
    undo.undo(run, by="module")
    assert fault.undone == ["crash"]


def test_a_disk_that_refuses_does_not_keep_a_fault_in_force(
    run: RunDir, fault: FakeFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(run, "one")
    plan(run, "two")

    def refuse(self: Any, *items: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl.Writer, "write", refuse)
    undo.undo(run, by="watchdog")
    assert fault.undone == ["two", "one"]
    # what is gone is gone, though nothing could be written: it is not undone again, and not forgotten
    undo.undo(run, by="watchdog")
    assert fault.undone == ["two", "one"]
    monkeypatch.undo()
    undo.undo(run, by="watchdog")
    assert fault.undone == ["two", "one"]
    assert [
        line["by"] for line in jsonl.read_lines(run.file("journal.jsonl")) if line["entry"] == "undone"
    ] == [
        "watchdog",
        "watchdog",
    ]
    run.note("anything")
    assert [event["fault"] for event in run.read_timeline().named("fault_undone")] == ["two", "one"]


def test_a_journal_can_only_name_a_kind_of_ours() -> None:
    for kind in ("os", "inject", "planning", "", "..kill"):
        with pytest.raises(ChaosError, match="no kind of fault"):
            by_kind(kind)
    assert callable(by_kind("kill").undo)
