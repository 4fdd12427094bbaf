# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose clock is set amid a run: its times go on by boottime, and the run says what does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import undo
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Event, read_event
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import finish
from ansible_collections.exchange.chaos.plugins.module_utils.observe import docker_events
from ansible_collections.exchange.chaos.plugins.module_utils.run import instant
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal


def opened(folder: Path, set_by: float, **more: Any) -> RunDir:
    """Return a run whose host's clock was set forward by so many seconds since it was opened."""
    began = clock.take_anchor()
    anchor = {
        **vars(began),
        "boottime": began.boottime - 30,
        "realtime": began.realtime - set_by - 30,
        **more,
    }
    write_json(folder / "spec.json", {"anchor": anchor, "project": "lab"})
    return RunDir(folder)


@pytest.mark.parametrize("set_by", [5.0, -5.0])
def test_what_the_engine_tells_afterwards_is_dated_as_if_it_had_not_been(
    tmp_path: Path, set_by: float
) -> None:
    class Telling:
        def events(self, project: str, since: float, actions: Sequence[str]) -> list[Event]:
            return [read_event({"Action": "die", "timeNano": time.time_ns(), "Actor": {"ID": "c1"}})]

    run, writer = opened(tmp_path, set_by), jsonl.Writer(tmp_path / "engine.jsonl")
    docker_events.EventFollower(run, writer, Telling()).follow()  # type: ignore[arg-type]
    (line,) = jsonl.read_lines(tmp_path / "engine.jsonl")
    assert line["t"] == pytest.approx(clock.read(), abs=1)


@pytest.mark.parametrize(("set_by", "words"), [(5.0, "set by +5."), (-5.0, "set by -5."), (0.0, "")])
def test_the_run_says_so_at_its_end(tmp_path: Path, set_by: float, words: str) -> None:
    run = opened(tmp_path, set_by)
    finish._tell_step(run)
    said = [event["text"] for event in run.read_timeline() if event["event"] == "log"]
    assert [words in text for text in said] == ([True] if words else [])


def test_a_reboot_is_no_step(tmp_path: Path) -> None:
    assert clock.seconds_stepped(opened(tmp_path, 5.0, boot_id="an earlier one").anchor) == pytest.approx(
        0, abs=0.01
    )


def test_time_to_live_and_instant_do_not_move_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, 0.0)
    entry = Journal(run).write_planned("crash", "kill", "postgres", ["kill"], {}, 60)
    target = instant.boottime_of(run, run.anchor.realtime + 90)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert not undo.is_overdue(entry)
    assert instant.boottime_of(run, run.anchor.realtime + 90) == target
    assert entry.expires == pytest.approx(clock.read() + 60, abs=1)
