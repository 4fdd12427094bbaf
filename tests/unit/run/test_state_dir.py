# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder: who holds a project, whose run was left behind, how long a record waits."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive, clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run import (
    abort,
    claims,
    lease,
    liveness,
    state_dir,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir

RUN = "exp-01-20261123-180000"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    # names that nobody else binds: a run that is being opened on this host is none of these
    monkeypatch.setattr(claims, "_PREFIX", f"exchange-chaos-{tmp_path.name}-{os.getpid()}")
    # no folder is there before the first run needs it, and what is made must be private whatever the umask
    os.umask(0o022)
    return StateDir(tmp_path / "deep" / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def opened(home: StateDir, run_id: str = RUN, project: str = "lab", boot_id: str = "") -> RunDir:
    """Return a run's folder with its specification and lock, and no process."""
    home.lock_project(project, run_id, "anna")
    run = home.create_run_dir(run_id)
    anchor = {"boottime": clock.read(), "realtime": time.time(), "boot_id": boot_id or clock.boot_id()}
    write_json(run.file("spec.json"), {"project": project, "anchor": anchor})
    return run


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_all_that_is_made_is_private(home: StateDir) -> None:
    run = opened(home)
    run.write_event("opened")
    run.extend_deadline(5)
    for folder in (home.root, home.root / "runs", home.root / "locks", run.path):
        assert mode(folder) == 0o700, folder
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"lab.json", "spec.json", "timeline.jsonl", "deadline.json"}
    assert {mode(path) for path in files} == {0o600}
    home.keep_record(run)
    assert mode(home.root / "records") == 0o700


def test_the_second_is_told_who_holds_the_project_and_since_when(home: StateDir) -> None:
    opened(home)
    path = home.root / "locks" / "lab.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "since": time.time() - 90}))
    with pytest.raises(ChaosError) as told:
        home.lock_project("lab", "exp-02-other", "berta")
    assert f"run {RUN} of anna, 90 s old" in str(told.value)
    assert "halt.yml" in str(told.value)
    home.lock_project("another-project", "exp-02-other", "berta")
    assert sorted(path.name for path in (home.root / "locks").iterdir()) == [
        "another-project.json",
        "lab.json",
    ]


def test_of_many_at_once_one_gets_the_lock(home: StateDir) -> None:
    got: list[str] = []

    def take(run_id: str) -> None:
        try:
            home.lock_project("lab", run_id, "anna")
            got.append(run_id)
        except ChaosError:
            pass

    threads = [threading.Thread(target=take, args=(f"exp-01-{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = home.lock_holder("lab")
    assert held is not None
    assert got == [held.run_id]


def test_only_the_holder_gives_the_project_free(home: StateDir) -> None:
    home.lock_project("lab", RUN, "anna")
    home.unlock_project("lab", "exp-02-other")
    assert home.lock_holder("lab") is not None
    home.unlock_project("lab", RUN)
    assert home.lock_holder("lab") is None
    home.unlock_project("lab", RUN)


def test_a_lock_without_its_run_is_left_over(home: StateDir) -> None:
    opened(home)
    home.lock_project("other", "exp-03-other", "carla")
    assert [lock.project for lock in home.left_locks()] == ["other"]
    home.unlock_project("other", "exp-03-other")
    home.lock_project("other", "exp-04-next", "carla")


def test_a_damaged_lock_does_not_hold_a_project_for_ever(home: StateDir) -> None:
    home.lock_project("lab", RUN, "anna")
    (home.root / "locks" / "lab.json").write_text("{")
    with pytest.raises(ChaosError, match="taken by another run"):
        home.lock_project("lab", "exp-02-other", "berta")
    (left,) = home.left_locks()
    home.unlock_project(left.project, left.run_id)
    home.lock_project("lab", "exp-02-other", "berta")


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = StateDir(tmp_path / "file" / "state")
    with pytest.raises(
        ChaosError, match=r"state folder .*/file/state is not safe for user .*/file is no folder"
    ):
        home.lock_project("lab", RUN, "anna")
    with pytest.raises(ChaosError, match=r"file is no folder"):
        home.create_run_dir(RUN)


@pytest.mark.parametrize(
    "name", ["", "../etc", "a/b", "Exp-01", "-x", "exp 1", "exp-1\n", "x" * 82, "exp_1", ".."]
)
def test_a_run_id_is_never_a_path(home: StateDir, name: str) -> None:
    for use in (
        home.run_dir,
        home.record_dir,
        home.create_run_dir,
        lambda name: home.lock_project("lab", name, "anna"),
    ):
        with pytest.raises(ChaosError, match="is no run id"):
            use(name)
    assert not home.root.exists()


def test_a_run_id_is_taken_once(home: StateDir) -> None:
    run = opened(home)
    with pytest.raises(ChaosError, match="File exists"):
        home.create_run_dir(RUN)
    home.keep_record(run)
    with pytest.raises(ChaosError, match="still waits on this host"):
        home.create_run_dir(RUN)
    home.discard_run(home.record_dir(RUN))
    home.create_run_dir(RUN)


def test_finishing_keeps_the_record_and_drops_what_only_the_run_needed(home: StateDir) -> None:
    run = opened(home)
    for name in (
        "chaos.pyz",
        "deadline.json",
        "watchdog.lock",
        "journal.lock",
        "finish.lock",
        "record.json",
        "load.jsonl",
    ):
        run.file(name).write_text("{}")
    (run.path / "processes").mkdir()
    (run.path / "processes" / "watchdog.json").write_text("{}")
    record = home.keep_record(run)
    assert record.path == home.root / "records" / RUN
    kept = ["chaos.pyz", "load.jsonl", "record.json", "spec.json"]
    assert sorted(path.name for path in record.path.iterdir()) == kept
    assert not run.path.exists()
    assert home.lock_holder("lab") is None
    assert [left.path.name for left in home.list_records()] == [RUN]
    home.discard_run(record)
    assert not home.root.exists(), "a state folder without a use stays"


def finished(home: StateDir, number: int, size: int = 10, age_s: float = 0.0) -> RunDir:
    run = opened(home, f"exp-01-{number}", project=f"lab-{number}")
    run.file("load.jsonl").write_bytes(b"x" * size)
    record = home.keep_record(run)
    aged(record.path, age_s)
    return record


def test_old_records_go(home: StateDir) -> None:
    finished(home, 1, age_s=8 * 86400)
    finished(home, 2, age_s=6 * 86400)
    home.tidy_up()
    assert [record.path.name for record in home.list_records()] == ["exp-01-2"]


def test_the_oldest_records_go_when_all_take_too_much_room(
    home: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, age in ((1, 300), (2, 200), (3, 100)):
        finished(home, number, size=4000, age_s=age)
    monkeypatch.setattr(state_dir, "RECORD_BYTES", 9500)
    home.tidy_up()
    assert [record.path.name for record in home.list_records()] == ["exp-01-2", "exp-01-3"]


def test_the_record_about_to_be_collected_stays_however_big(
    home: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dir, "RECORD_BYTES", 1000)
    record = finished(home, 1, size=5000)
    assert record.file("load.jsonl").exists()


def test_opening_a_run_that_is_none_says_where_it_looked(home: StateDir) -> None:
    with pytest.raises(ChaosError, match=f"No run {RUN} is under way on this host") as told:
        state_dir.attach_run(RUN, home.root)
    assert str(home.run_dir(RUN).path) in str(told.value)


def test_whoever_works_on_a_run_renews_it_and_never_shortens_it(home: StateDir) -> None:
    run = opened(home)
    state_dir.attach_run(RUN, home.root)
    assert run.read_deadline() == pytest.approx(clock.read() + lease.LEASE_S, abs=1)
    run.extend_deadline(500)
    state_dir.attach_run(RUN, home.root)
    assert run.read_deadline() == pytest.approx(clock.read() + 500, abs=1)


def test_in_a_large_wave_the_controllers_next_word_may_come_later(home: StateDir) -> None:
    alone, many = (home.create_run_dir(name) for name in ("exp-01-alone", "exp-01-many"))
    write_json(alone.file("spec.json"), {"patience_s": 0.0})
    write_json(many.file("spec.json"), {"patience_s": 49.0})
    for run in (alone, many):
        lease.renew_lease(run, lease.LEASE_S)
    assert many.read_deadline() - alone.read_deadline() == pytest.approx(49.0, abs=0.5)
    with lease.extended_lease(many, 300):
        pass
    assert many.read_deadline() - alone.read_deadline() == pytest.approx(49.0, abs=0.5)


def test_a_wave_of_slow_hosts_passes_that_many_times_as_slowly(home: StateDir) -> None:
    run = home.create_run_dir("exp-01-slow")
    write_json(run.file("spec.json"), {"patience_s": 49.0, "slow_host": 4})
    lease.renew_lease(run, lease.LEASE_S)
    with lease.extended_lease(run, 300):
        pass
    assert run.read_deadline() == pytest.approx(clock.read() + 4 * (lease.LEASE_S + 49.0), abs=1)


def test_a_long_piece_of_work_leaves_no_long_lease_behind(home: StateDir) -> None:
    run = opened(home)
    with lease.extended_lease(run, 300):
        assert run.read_deadline() == pytest.approx(clock.read() + 300, abs=1)
    assert run.read_deadline() == pytest.approx(clock.read() + lease.LEASE_S, abs=1)
    run.extend_deadline(500)
    with lease.extended_lease(run, 300):
        pass
    assert run.read_deadline() == pytest.approx(clock.read() + 500, abs=1), "who had more keeps it"


def register(run: RunDir, command: str, *, start: int | None = None) -> None:
    """Register this very process, or one of an earlier life with the same pid."""
    run.register_process(command)
    if start is not None:
        path = run.file("processes") / f"{command}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "start": start}))


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "BAD"])
def test_of_a_name_that_is_none_the_host_holds_nothing(home: StateDir, name: str) -> None:
    opened(home)
    assert home.knows_run(RUN)
    assert not home.knows_run(name)
    assert abort.abort_reason(home, name) == ""


def test_a_run_is_abandoned_when_its_watchdogs_are_dead(home: StateDir) -> None:
    run = opened(home)
    register(run, "watchdog")
    assert not liveness.is_abandoned(run)
    # the pid lives on, but it is somebody else's now
    register(run, "watchdog", start=1)
    assert liveness.is_abandoned(run)
    register(run, "load")
    assert liveness.is_abandoned(run), "an observer alone undoes nothing"
    register(run, "standby")
    assert not liveness.is_abandoned(run)


def test_a_run_of_another_boot_is_abandoned_whatever_its_pids(home: StateDir) -> None:
    run = opened(home, boot_id="an earlier one")
    register(run, "watchdog")
    assert liveness.is_abandoned(run)


def test_a_run_being_opened_is_not_abandoned(home: StateDir) -> None:
    run = opened(home)
    with claims.claim_opening("lab"):
        assert not liveness.is_abandoned(run)
        aged(run.file("spec.json"), liveness.BEGINNING_S + 1)
        assert liveness.is_abandoned(run), "a name that is held for ever is no opening"


def test_a_run_whose_opening_died_is_abandoned_at_once(home: StateDir) -> None:
    assert liveness.is_abandoned(opened(home))


def test_where_nobody_can_see_who_opens_a_run_it_is_given_its_time(
    home: StateDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(claims, "_SOCKETS", tmp_path / "nothing")
    run = opened(home)
    assert not liveness.is_abandoned(run)
    aged(run.file("spec.json"), liveness.BEGINNING_S + 1)
    assert liveness.is_abandoned(run)


def test_where_a_user_without_root_keeps_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert archive.default_root() == tmp_path / "exchange-chaos"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/anna")
    assert archive.default_root() == Path("/home/anna/.local/state/exchange-chaos")
    monkeypatch.setenv("XDG_STATE_HOME", "runs")  # elsewhere for each caller: none, by the specification
    assert archive.default_root() == Path("/home/anna/.local/state/exchange-chaos")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert archive.default_root() == Path("/var/lib/exchange-chaos")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user without a name")
def test_a_user_without_a_name_and_a_home_has_a_folder_of_their_number(root: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"from {archive.__package__} import archive, files\n"
         "print(archive.default_root(), files.find_base('XDG_CACHE_HOME', '.cache'))"],
        env={"PYTHONPATH": str(root / ".collections"), "PATH": os.environ["PATH"]},
        user=54321, group=54321, extra_groups=[], capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert told.stdout.split() == ["/var/tmp/exchange-chaos-54321", "None"], told.stderr
