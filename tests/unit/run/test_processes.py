# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run's own processes: started detached, known by pid and start time, ended for sure, nobody else with them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.entry import COMMANDS
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes, timeline
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir, process_start

#: Stands in for the runtime: registers as the real one does, and then behaves as its command says.
RUNTIME = """
import json, os, signal, sys, time
command, folder = sys.argv[1], sys.argv[2]
if command == "dies":
    sys.exit("first words\\nlast words")
if command == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if command == "silent":
    print("still thinking", file=sys.stderr, flush=True)
else:
    stat = open("/proc/self/stat").read().rpartition(")")[2].split()
    os.makedirs(f"{folder}/processes", exist_ok=True)
    path = f"{folder}/processes/{command}.json"
    with open(f"{path}.new", "w") as stream:
        json.dump({"command": command, "pid": os.getpid(), "start": int(stat[19]), "sid": os.getsid(0),
                   "cwd": os.getcwd(), "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))}, stream)
    os.rename(f"{path}.new", path)
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    (tmp_path / "chaos.pyz").write_text(RUNTIME)
    made = RunDir(tmp_path)
    yield made
    for path in tmp_path.glob("processes/*.json"):
        processes.stop_process(made, path.stem, 0.1)


def test_a_process_is_started_apart_from_us_and_once(run: RunDir) -> None:
    open_on = fcntl.fcntl(0, fcntl.F_DUPFD, 50)  # inheritable
    try:
        started = processes.start_process(run, "works")
    finally:
        os.close(open_on)
    assert started["pid"] != os.getpid()
    assert started["sid"] == started["pid"], "a session of its own: no terminal's end reaches it"
    assert started["cwd"] == "/", "it holds no folder that somebody may want to unmount"
    # what Ansible holds open must not be held open by what outlives it; 3 and 4 are its own
    assert started["fds"] == [0, 1, 2, 3, 4]
    assert processes.start_process(run, "works") == started
    assert run.file("works.err").stat().st_mode & 0o777 == 0o600


def test_one_that_ends_at_once_is_told_with_its_own_last_words(run: RunDir) -> None:
    with pytest.raises(ChaosError, match=r"The dies process ended at once with code 1: last words"):
        processes.start_process(run, "dies")


def test_one_that_never_gets_ready_is_ended(run: RunDir) -> None:
    with pytest.raises(
        ChaosError, match=r"silent process was not ready after 1 s and was ended: still thinking"
    ):
        processes.start_process(run, "silent", timeout=1.0)
    mine = str(run.path)
    assert not [argv for argv in _command_lines() if mine in argv]


@pytest.mark.parametrize(("command", "patience"), [("works", 5.0), ("deaf", 0.3)])
def test_stopping_ends_it_whether_it_listens_or_not(run: RunDir, command: str, patience: float) -> None:
    pid = processes.start_process(run, command)["pid"]
    assert processes.stop_process(run, command, patience) is True
    assert process_start(pid) is None
    assert processes.living_process(run, command) is None
    assert processes.stop_process(run, command) is False
    # whoever watches the processes knows that this was no death
    assert [event["command"] for event in run.read_timeline() if event["event"] == "observer_stopped"] == [
        command
    ]


def test_a_pid_that_is_somebody_elses_by_now_is_never_hit(run: RunDir) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        entry: dict[str, Any] = {"command": "works", "pid": stranger.pid, "start": 1}
        run.file("processes").mkdir()
        (run.file("processes") / "works.json").write_text(json.dumps(entry))
        assert processes.living_process(run, "works") is None
        assert processes.stop_process(run, "works") is False
        time.sleep(0.1)
        assert stranger.poll() is None
        stranger.kill()


def _command_lines() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return found


def test_observers_are_the_runtime_s_commands_that_keep_and_end_nothing(run: RunDir) -> None:
    others = {"finish", "recover", "watchdog"}
    assert set(processes.OBSERVERS) == set(COMMANDS) - others


def test_observers_are_ended_with_the_load_first_and_the_engine_s_events_last(run: RunDir) -> None:
    for command in ("events", "probes", "load"):
        processes.start_process(run, command)
    processes.stop_observers(run)
    stopped = [event["command"] for event in run.read_timeline().named(timeline.OBSERVER_STOPPED)]
    assert stopped == ["load", "probes", "events"]
    assert not any(processes.living_process(run, command) for command in processes.OBSERVERS)


def test_both_watchdogs_are_ended_but_not_by_itself_the_one_that_asks(run: RunDir) -> None:
    for command in processes.WATCHDOGS:
        processes.start_process(run, command)
    processes.stop_watchdogs(run)
    assert not any(processes.living_process(run, name) for name in processes.WATCHDOGS)
    run.register_process("watchdog")
    processes.start_process(run, "standby")
    processes.stop_watchdogs(run)
    assert processes.living_process(run, "standby") is None
    known = processes.living_process(run, "watchdog")
    assert known is not None, "it ended itself"
    assert known["pid"] == os.getpid()
    run.file("processes/watchdog.json").unlink()  # or the fixture would end this process
