# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair of watchdogs as real processes: whatever dies, the host undoes what was done to it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module import core_support
from tests.module.core_support import Host, sentence, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
RUN = "exp-01-core"


#: ``store`` as a service whose settings nobody compares: where a database's cannot be, Restored is unknown.
NO_DATABASE: dict[str, Any] = {"needs": ["api"], "services": {"api": "store"}}


def hold(host: Host, ttl: float) -> None:
    """Kill ``store`` through the engine and hold it down."""
    host.kill(fault="outage", mode="engine", hold=True, ttl=ttl)


def pid_of(run: RunDir, name: str) -> int:
    """Return the pid a process of the run registered with, 0 when it did not or is gone."""
    path = run.file("processes") / f"{name}.json"
    if not path.exists():
        return 0
    pid = int(json.loads(path.read_text())["pid"])
    try:
        return 0 if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" else pid
    except OSError:
        return 0


def kill_both(run: RunDir) -> None:
    """Kill both watchdogs so that neither has an instant to start another."""
    standby = wait_for(lambda: pid_of(run, "standby"))
    first = pid_of(run, "watchdog")
    os.kill(first, signal.SIGSTOP)
    for pid in (standby, first):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid_of(run, "standby") == 0 and pid_of(run, "watchdog") == 0)


def last(run: RunDir, entry: str) -> dict[str, Any]:
    """Return the journal's last line of a kind, {} when there is none."""
    return next(
        (line for line in reversed(jsonl.read_lines(run.file("journal.jsonl"))) if line["entry"] == entry), {}
    )


def test_a_fault_ends_with_its_time_to_live_though_nobody_asks(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=4)
    planned = last(run, "planned")
    assert planned["expires"] - planned["t"] == pytest.approx(4)
    assert host.project.running(store.id) is None
    wait_for(lambda: last(run, "undone"), 8)
    assert host.project.running(store.id) is not None
    undone = last(run, "undone")
    assert undone["by"] == "watchdog"
    assert 0 <= undone["t"] - planned["expires"] < 1.5, "not before its time, and soon after"
    # what is undone by the watchdog is nothing to undo for the module
    assert host.kill(fault="outage", ttl=4, state="absent")["changed"] is False


def test_whichever_watchdog_dies_another_takes_its_place_and_the_fault_is_undone(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    first, second = pid_of(run, "watchdog"), wait_for(lambda: pid_of(run, "standby"))
    assert first != second
    # the standby dies: the watchdog starts another
    os.kill(second, signal.SIGKILL)
    third = wait_for(lambda: pid_of(run, "standby") not in (0, second) and pid_of(run, "standby"))
    assert third != first
    assert pid_of(run, "watchdog") == first
    # the watchdog dies within a fault: the standby takes over and starts another
    hold(host, ttl=3)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pid_of(run, "watchdog") == third)
    fourth = wait_for(lambda: pid_of(run, "standby") not in (0, third) and pid_of(run, "standby"))
    assert fourth not in (first, second, third)
    wait_for(lambda: last(run, "undone"), 8)
    assert last(run, "undone")["by"] == "watchdog"
    assert host.project.running(store.id) is not None
    # and the new one can do the same again
    os.kill(third, signal.SIGKILL)
    wait_for(lambda: pid_of(run, "watchdog") == fourth)
    taken = [event for event in run.read_timeline() if event["event"] == "watchdog_takeover"]
    assert [event["pid"] for event in taken] == [third, fourth]


def ended_by_itself(host: Host, run: RunDir) -> dict[str, Any]:
    """Let the run's lease run out; returns its record."""
    record = host.state.record_dir(RUN)
    write_json(run.file("deadline.json"), {"t": clock.read() + 0.5})
    wait_for(lambda: record.file("record.json").exists() and not run.path.exists(), 30)
    return dict(json.loads(record.file("record.json").read_text()))


def test_a_run_that_nobody_renews_is_ended_with_a_record_and_leaves_no_process(host: Host) -> None:
    store = host.project.up("store")
    run = host.open(**NO_DATABASE)
    hold(host, ttl=600)
    record = host.state.record_dir(RUN)
    assert host.processes()
    assert host.state.lock_holder(host.project.name) is not None
    outcome = ended_by_itself(host, run)["outcome"]
    wait_for(lambda: not host.processes(), 5)
    assert host.project.running(store.id) is not None
    assert last(record, "undone")["by"] == "watchdog"
    assert host.state.lock_holder(host.project.name) is None
    assert outcome == "aborted"
    assert not record.file("deadline.json").exists()
    # the next run is free to go
    host.state.lock_project(host.project.name, "exp-01-next", "somebody")


@pytest.mark.full
def test_a_run_that_found_no_steady_state_is_invalid_though_nobody_comes_for_it(host: Host) -> None:
    """The siblings of its wave go on for minutes, and it has no part in that."""
    host.project.up("store")
    run = host.open()
    assert host.module("window", run_id=RUN, phase="baseline", seconds=1, slice=2)["steady"] is False
    record = ended_by_itself(host, run)
    assert record["outcome"] == "invalid"
    assert any("no steady state" in note for note in record["notes"])
    assert not any("aborted" in note for note in record["notes"])


@pytest.mark.full
def test_a_run_whose_fault_was_refused_is_invalid_though_nobody_comes_for_it(host: Host) -> None:
    host.project.up("store")
    run = host.open()
    with pytest.raises(AssertionError, match="service of fault outage is 'nothing' here"):
        host.kill(fault="outage", service="nothing")
    record = ended_by_itself(host, run)
    assert record["outcome"] == "invalid"
    assert any("is 'nothing' here" in note for note in record["notes"]), record["notes"]


@pytest.mark.full
def test_a_run_with_a_fault_in_force_is_aborted_when_nobody_comes_whatever_else_it_found(host: Host) -> None:
    host.project.up("store")
    run = host.open(**NO_DATABASE)
    hold(host, ttl=600)
    run.write_event("no_more_faults", reason="not steady again")
    assert ended_by_itself(host, run)["outcome"] == "aborted"


def test_both_killed_then_halt_undoes_at_once(host: Host) -> None:
    store = host.project.up("store")
    run = host.open(**NO_DATABASE)
    hold(host, ttl=4)
    kill_both(run)
    time.sleep(max(0.0, last(run, "planned")["expires"] - clock.read()) + 0.7)
    assert host.project.running(store.id) is None, (
        "somebody undid it though all were killed: nothing is tested here"
    )
    would = host.module("halt", check=True)
    assert (would["changed"], would["ended"]) == (True, [RUN])
    assert host.project.running(store.id) is None, "check mode undid"
    done = host.module("halt")
    assert (done["changed"], done["ended"]) == (True, [RUN])
    assert host.project.running(store.id) is not None
    record = host.state.record_dir(RUN)
    assert last(record, "undone")["by"] == "halt"
    assert json.loads(record.file("record.json").read_text())["outcome"] == "aborted"
    assert not host.processes()
    again = host.module("halt")
    assert (again["changed"], again["ended"]) == (False, [])


@pytest.mark.full
def test_both_killed_then_the_next_preflight_undoes(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=600)
    spec = host.spec()
    examine: dict[str, Any] = {
        "project": spec["project"],
        "services": spec["services"],
        "experiments": [{**spec["experiment"], "needs": spec.get("needs", []), "faults": spec["faults"]}],
        "remote": False,
    }
    held = host.module("preflight", **examine)
    assert host.project.name in " ".join(line["text"] for line in held["chaos_lines"])
    assert RUN in held["held_by"]
    assert host.project.running(store.id) is None, "a preflight beside a run that is looked after ended it"
    kill_both(run)
    found = host.module("preflight", check=True, **examine)
    assert (found["clean"], found["changed"]) == (False, False)
    assert host.project.running(store.id) is None
    found = host.module("preflight", **examine)
    assert (found["clean"], found["changed"], found["held_by"]) == (False, True, "")
    assert host.project.running(store.id) is not None
    assert last(host.state.record_dir(RUN), "undone")["by"] == "preflight"
    assert not host.processes()
    assert host.module("preflight", **examine)["clean"] is True


@pytest.mark.full
def test_halt_ends_a_run_that_is_looked_after_and_the_run_cannot_go_on(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=600)
    assert host.module("halt", project="another-project")["ended"] == []
    assert host.project.running(store.id) is None
    assert host.module("halt")["ended"] == [RUN]
    assert host.project.running(store.id) is not None
    assert not host.processes(), "halt has returned, and not all is over"
    assert not run.path.exists()
    pid = host.project.pid(store.id)
    assert "No run exp-01-core is under way" in sentence(host.module("kill", run_id=RUN, fault="second"))
    assert host.project.pid(store.id) == pid


def orders(run: RunDir, ok: bool, latency: float, count: int = 40) -> None:
    """Write orders as the load does, all just finished."""
    now = clock.read()
    lines = [
        {
            "n": n,
            "at": now - latency,
            "sent": now - latency,
            "end": now,
            "ok": ok,
            "kind": "ok" if ok else "error",
        }
        for n in range(count)
    ]
    writer = jsonl.Writer(run.file("load.jsonl"))
    writer.write(*lines)
    writer.close()


def test_the_guard_undoes_at_once_and_aborts_the_run(host: Host) -> None:
    store = host.project.up("store")
    run = host.open(abort_when={"error_ratio": 0.5, "latency_ms": None})
    hold(host, ttl=600)
    orders(run, ok=True, latency=0.01)
    time.sleep(1.2)
    assert host.project.running(store.id) is None, "the guard struck at orders that are good"
    # the good ones from before still count: far more bad ones are needed to cross half
    orders(run, ok=False, latency=0.01, count=200)
    wait_for(lambda: last(run, "undone"), 6)
    assert last(run, "undone")["by"] == "guard"
    assert host.project.running(store.id) is not None
    time.sleep(1.5)
    (aborted,) = [event for event in run.read_timeline() if event["event"] == "aborted"]
    assert (aborted["by"], aborted["reason"].split()[0]) == ("guard", "error_ratio")
    assert "aborted" in sentence(host.module("kill", run_id=RUN, fault="second"))


@pytest.mark.full
def test_the_guard_of_the_host_itself_stops_a_run_too(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=600)
    spec = json.loads(run.file("spec.json").read_text())
    write_json(run.file("spec.json"), {**spec, "abort_when": {"free_memory_mb": 1e9}})
    # a watchdog reads the specification once: the standby had it already, the one it starts has the new limit
    first, second = pid_of(run, "watchdog"), pid_of(run, "standby")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pid_of(run, "watchdog") == second and pid_of(run, "standby") not in (0, second))
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: last(run, "undone"), 8)
    assert last(run, "undone")["by"] == "guard"
    assert host.project.running(store.id) is not None


def test_a_full_disk_does_not_keep_the_watchdog_from_undoing(host: Host, tmp_path: Path) -> None:
    store = host.project.up("store")
    with core_support.small_disk(tmp_path / "state", "6m") as folder:
        run = host.open(facts={"kernel": "6.1", "capabilities": {"docker": "20.10", "root": True}})
        wait_for(lambda: pid_of(run, "standby"))
        hold(host, ttl=4)
        ballast = core_support.fill(folder)
        wait_for(lambda: host.project.running(store.id), 10)
        time.sleep(1)
        assert pid_of(run, "watchdog"), "the full disk killed the watchdog"
        # room was set aside for that: what was done is told though the disk is full
        wait_for(lambda: last(run, "undone"), 5)
        assert run.read_timeline().undone("outage")
        assert host.module("halt")["ended"] == [RUN]
        record = json.loads(host.state.record_dir(RUN).file("record.json").read_text())
        (told,) = (fault for fault in record["faults"] if fault["undone_at"])
        assert told["undone_by"] == "watchdog"
        # nothing of what was known and done is forgotten because it could not be written any more
        assert told["injected_at"]
        assert told["proof"]
        assert "nothing was injected" not in " ".join(record["notes"])
        assert (record["capabilities"]["docker"], record["capabilities"]["root"]) == ("20.10", True)
        assert record["kernel"] == "6.1"
        ballast.unlink()
        host.clear()


@pytest.mark.full
def test_what_cannot_be_undone_is_tried_until_it_can_and_the_run_does_not_end_before(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=4)
    host.project.client.containers.get(store.id).remove(force=True)
    write_json(run.file("deadline.json"), {"t": clock.read()})

    def told(words: str) -> int:
        return len([e for e in run.read_timeline() if e["event"] == "log" and words in e["text"]])

    wait_for(lambda: told("An overdue fault could not be undone yet") and told("its watchdog tries on"), 15)
    time.sleep(1)
    assert run.file("spec.json").exists(), "ended with a fault in force"
    assert told("An overdue fault could not be undone yet") == 1, "said once, not at every try"
    assert told("its watchdog tries on") == 1
    new = host.project.up("store")
    record = host.state.record_dir(RUN)
    wait_for(lambda: record.file("record.json").exists(), 30)
    assert last(record, "undone")["how"] == f"undone by replacement: {new.name} runs in its stead"
    wait_for(lambda: not host.processes(), 5)


@pytest.mark.full
def test_processes_of_a_run_whose_folder_is_gone_end_by_themselves(host: Host) -> None:
    host.project.up("store")
    run = host.open()
    wait_for(lambda: pid_of(run, "standby"))
    assert len(host.processes()) >= 3
    run.path.rename(host.state_dir / "elsewhere")
    wait_for(lambda: not host.processes(), 5)


def test_two_who_end_a_run_at_the_same_time_make_one_record(host: Host) -> None:
    store = host.project.up("store")
    run = host.open()
    hold(host, ttl=600)
    results: list[dict[str, Any]] = []
    ends = [
        threading.Thread(target=lambda: results.append(host.module("halt"))),
        threading.Thread(target=lambda: results.append(host.module("record", run_id=RUN))),
    ]
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    assert [result.get("msg") for result in results if result.get("failed")] == []
    assert host.project.running(store.id) is not None
    assert host.state.record_dir(RUN).file("record.json").exists()
    assert (
        len(
            [
                line
                for line in jsonl.read_lines(host.state.record_dir(RUN).file("journal.jsonl"))
                if line["entry"] == "undone"
            ]
        )
        == 1
    )
    assert not run.path.exists()
    wait_for(lambda: not host.processes(), 5)


@pytest.mark.full
def test_who_ends_a_run_waits_for_another_who_ends_it(host: Host) -> None:
    host.project.up("store")
    run = host.open()
    results: list[dict[str, Any]] = []
    lock = os.open(run.path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        end = threading.Thread(target=lambda: results.append(host.module("record", run_id=RUN)))
        end.start()
        time.sleep(2)
        assert end.is_alive()
        assert not run.file("record.json").exists(), "two at once would end it"
    finally:
        os.close(lock)
    end.join()
    assert results[0]["changed"] is True
    assert not run.path.exists()
