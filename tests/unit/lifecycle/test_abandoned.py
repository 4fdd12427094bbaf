# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending runs from outside: which are ended, through which code, and what is only named."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned
from ansible_collections.exchange.chaos.plugins.module_utils.run import claims
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir

_RECORD = json.loads((Path(__file__).resolve().parents[3] / "files" / "record.schema.json").read_text())
HOST_SCHEMA = {"$defs": _RECORD["$defs"], "properties": {"host": {"$ref": "#/$defs/host"}}}

#: A runtime that says how it was called and takes the folder and its lock away, as the real one does.
ENDS = """
import os, pathlib, shutil, sys
run = pathlib.Path(sys.argv[2])
for lock in run.parents[1].glob("locks/*.json"):
    if run.name in lock.read_text():
        lock.unlink()
open(os.path.join(os.environ["CALLS"]), "a").write(f"{sys.argv[1]} {sys.argv[2]} {os.environ['EXCHANGE_CHAOS_BY']}\\n")
shutil.rmtree(sys.argv[2])
"""
FAILS = "import sys; sys.stderr.write('first words\\nIt resists.\\n'); sys.exit(1)"


class Said(list[tuple[str, str]]):
    """Collects what is said."""

    def say(self, level: str, text: str) -> None:
        self.append((level, text))

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    # names that nobody else binds: what is halted here must not be another's run on this host
    monkeypatch.setattr(claims, "_PREFIX", f"exchange-chaos-{tmp_path.name}-{os.getpid()}")
    return StateDir(tmp_path / "state")


@pytest.fixture
def said() -> Said:
    return Said()


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def opened(
    home: StateDir,
    run_id: str = "exp-01-a",
    project: str = "lab",
    *,
    watched: bool = False,
    runtime: str = ENDS,
) -> RunDir:
    home.lock_project(project, run_id, "anna")
    run = home.create_run_dir(run_id)
    anchor = {
        "boottime": clock.read(),
        "realtime": time.time(),
        "boot_id": clock.boot_id() if watched else "old",
    }
    write_json(run.file("spec.json"), {"project": project, "anchor": anchor, "python": sys.executable})
    run.file("chaos.pyz").write_text(runtime)
    if watched:
        run.register_process("watchdog")
    return run


def test_a_run_left_behind_is_ended_through_its_own_runtime(
    home: StateDir, said: Said, tmp_path: Path
) -> None:
    run = opened(home)
    assert abandoned.end_abandoned(home, said.say) == 1
    assert calls(tmp_path) == [f"finish {run.path} preflight"]
    assert said == [("warn", "Run exp-01-a was left behind; it was undone and ended")]


def test_a_run_that_is_looked_after_is_left_alone(home: StateDir, said: Said, tmp_path: Path) -> None:
    run = opened(home, watched=True)
    assert abandoned.end_abandoned(home, said.say) == 0
    assert (calls(tmp_path), said) == ([], [])
    assert run.path.exists()
    assert [event for event in run.read_timeline() if event["event"] == "aborted"] == []


def test_without_leave_to_act_it_only_says_so(home: StateDir, said: Said, tmp_path: Path) -> None:
    run = opened(home)
    before = sorted(run.path.iterdir())
    assert abandoned.end_abandoned(home, said.say, act=False) == 1
    assert abandoned.halt_runs(home, None, said.say, act=False) == ["exp-01-a"]
    assert calls(tmp_path) == []
    assert sorted(run.path.iterdir()) == before
    assert "it must be undone" in said.text
    assert "would be ended" in said.text


def test_halt_ends_all_or_those_of_a_project(home: StateDir, said: Said, tmp_path: Path) -> None:
    opened(home, "exp-01-a", "lab", watched=True)
    opened(home, "exp-02-b", "shop")
    assert abandoned.halt_runs(home, "nobody", said.say) == []
    assert abandoned.halt_runs(home, "shop", said.say) == ["exp-02-b"]
    assert abandoned.halt_runs(home, None, said.say) == ["exp-01-a"]
    assert [call.split()[2] for call in calls(tmp_path)] == ["halt", "halt"]
    assert abandoned.halt_runs(home, None, said.say) == []
    assert said[-1] == ("ok", "No run is under way on this host: nothing to undo")


def test_halt_goes_on_after_a_run_that_resists_and_says_its_last_words(
    home: StateDir, said: Said, tmp_path: Path
) -> None:
    first = opened(home, "exp-01-a", "lab", runtime=FAILS)
    Journal(first).write_planned("outage", "of a later version", "postgres", ["cut"], {}, 60.0)
    opened(home, "exp-02-b", "shop")
    with pytest.raises(ChaosError, match=r"exp-01-a could not be ended: It resists\."):
        abandoned.halt_runs(home, None, said.say)
    assert [call.split()[1].rpartition("/")[2] for call in calls(tmp_path)] == ["exp-02-b"]
    # whoever still works on it injects nothing more
    assert [event["by"] for event in first.read_timeline() if event["event"] == "aborted"] == ["halt"]


def test_what_its_own_runtime_cannot_end_ours_does(home: StateDir, said: Said, tmp_path: Path) -> None:
    """Such as one of an earlier version that dies of a threshold before it has undone anything."""
    run = opened(home, "exp-01-a", "lab", runtime=FAILS)
    assert abandoned.halt_runs(home, None, said.say) == ["exp-01-a"]
    assert not run.path.exists()
    assert home.record_dir("exp-01-a").file("record.json").exists()
    assert home.lock_holder("lab") is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"project": 5, "anchor": 7}',
        b"\xff\xfe",
        b'{"anchor": {"boottime": NaN}}',
    ],
)
@pytest.mark.parametrize(
    "name", ["spec.json", "deadline.json", "journal.jsonl", "timeline.jsonl", "processes/watchdog.json"]
)
def test_halt_ends_a_run_whose_files_are_damaged(
    home: StateDir, said: Said, tmp_path: Path, name: str, damage: bytes
) -> None:
    run = opened(home, "exp-01-a", "lab", runtime=FAILS)
    run.register_process("watchdog")
    run.file("processes/watchdog.json").unlink()
    run.write_event("opened")
    run.file(name).write_bytes(damage + b"\n")
    assert abandoned.halt_runs(home, "lab", said.say) == ["exp-01-a"]
    assert not run.path.exists()
    assert home.lock_holder("lab") is None
    record = json.loads(home.record_dir("exp-01-a").file("record.json").read_text())
    jsonschema.validate({"host": record}, HOST_SCHEMA)
    if name == "journal.jsonl" and damage:
        assert any("could not be understood" in note for note in record["notes"])


def test_a_journal_without_its_specification_is_undone_and_not_thrown_away(
    home: StateDir, said: Said, tmp_path: Path
) -> None:
    run = opened(home, "exp-01-a", "lab", runtime=FAILS)
    Journal(run).write_planned("outage", "of a later version", "postgres", ["cut"], {}, 60.0)
    run.file("spec.json").unlink()
    os.utime(run.path, (0, 0))
    with pytest.raises(ChaosError, match="exp-01-a could not be ended"):
        abandoned.end_abandoned(home, said.say)
    assert run.path.exists()


def test_a_run_that_lives_is_named(home: StateDir, said: Said) -> None:
    opened(home, watched=True)
    assert [run.path.name for run in abandoned.living_runs(home)] == ["exp-01-a"]


@pytest.mark.parametrize("caller", ["preflight", "halt"])
def test_a_folder_that_never_became_a_run_goes_but_not_while_it_may_yet_become_one(
    home: StateDir, said: Said, caller: str
) -> None:
    def called(*, act: bool = True) -> None:
        if caller == "halt":
            assert abandoned.halt_runs(home, None, said.say, act=act) == []
        else:
            abandoned.end_abandoned(home, said.say, act=act)

    run = home.create_run_dir("exp-01-a")
    home.lock_project("lab", "exp-01-a", "anna")
    with claims.claim_opening("lab"):
        called()
        assert run.path.exists()
        assert home.lock_holder("lab") is not None, "a lock that was just taken is nobody's leftover"
    called(act=False)
    assert run.path.exists()
    called()
    assert not home.root.exists(), "the folder, its lock, and the state folder with them"
    assert "Run exp-01-a never began; its folder was removed" in said.text


def test_a_run_whose_opening_died_before_it_had_watchdogs_is_ended_at_once(
    home: StateDir, said: Said
) -> None:
    run = opened(home, watched=True)
    (run.file("processes") / "watchdog.json").unlink()
    with claims.claim_opening("lab"):
        assert abandoned.end_abandoned(home, said.say) == 0
    assert abandoned.end_abandoned(home, said.say) == 1
    assert said.text == "Run exp-01-a was left behind; it was undone and ended"


def test_a_lock_that_was_being_written_when_its_owner_died_is_taken_away(home: StateDir, said: Said) -> None:
    home.lock_project("lab", "exp-01-a", "anna")
    half = home.root / "locks" / ".exp-02-b"
    half.write_text("{")
    with claims.claim_opening("other"):
        abandoned.end_abandoned(home, said.say)
        assert half.exists()
    abandoned.end_abandoned(home, said.say)
    assert not half.exists()


@pytest.mark.parametrize("caller", ["preflight", "halt"])
def test_a_lock_that_was_left_is_taken_away(home: StateDir, said: Said, caller: str) -> None:
    home.lock_project("lab", "exp-01-a", "anna")
    path = home.root / "locks" / "lab.json"
    path.write_text(
        path.read_text().replace('"since":', f'"since":{time.time() - 100},"_":').replace(',"_"', ',"_"')
    )
    write_json(path, {"project": "lab", "run_id": "exp-01-a", "owner": "anna", "since": time.time() - 100})
    for act in (False, True):
        if caller == "halt":
            abandoned.halt_runs(home, None, said.say, act=act)
        else:
            assert abandoned.end_abandoned(home, said.say, act=act) == 1
        assert path.exists() is not act
    assert "The lock of project lab was left by run exp-01-a of anna, 100 s old" in said.text
