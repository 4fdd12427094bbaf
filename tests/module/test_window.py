# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a window through its module, while orders and probes come in as they do in a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module import core_support
from tests.module.core_support import Host, Project, sentence

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
RUN = "exp-01-core"


class Exchange:
    """Writes what load and probes would: 40 orders and 20 probes a second, good or bad as told."""

    def __init__(self, run: RunDir) -> None:
        self.good = True
        self._over = threading.Event()
        self._run = run
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        load, probes = (jsonl.Writer(self._run.file(f"{name}.jsonl")) for name in ("load", "probes"))
        number, due = 0, clock.read()
        while not self._over.is_set():
            number, due = number + 1, due + 0.025
            clock.sleep(due - clock.read())
            now, ok = clock.read(), self.good
            answer = {"ok": ok, "status": 201 if ok else 500, "kind": "ok" if ok else "error"}
            load.write(
                {"n": number, "stream": "steady", "at": now - 0.01, "sent": now - 0.01, "end": now, **answer}
            )
            if number % 2:
                for probe, role in (("ready", "readiness"), ("database", "store")):
                    probes.write({"probe": probe, "role": role, "at": now - 0.001, "end": now, **answer})


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(Project("exchange-chaos-test-nobody"), tmp_path / "state")
    yield made
    made.clear()


@pytest.fixture
def run(host: Host) -> RunDir:
    return host.inert()


@pytest.fixture
def exchange(run: RunDir) -> Iterator[Exchange]:
    made = Exchange(run)
    yield made
    made.stop()


def window(host: Host, phase: str = "baseline", **arguments: Any) -> dict[str, Any]:
    found = host.module("window", run_id=RUN, phase=phase, **arguments)
    assert not found.get("failed"), found
    return found


def said(run: RunDir, event: str) -> list[dict[str, Any]]:
    return [line for line in run.read_timeline() if line["event"] == event]


def test_a_baseline_is_watched_in_slices_to_its_end(host: Host, run: RunDir, exchange: Exchange) -> None:
    run.file("deadline.json").unlink()
    began = clock.read()
    first = window(host, seconds=2.5, slice=1)
    assert (first["done"], first["changed"], first["aborted"]) == (False, False, "")
    assert clock.read() - began >= 1.0
    assert run.read_deadline() > clock.read() + 5, "nobody renewed the run while it was watched"
    progress = first["chaos_progress"]
    assert (progress["phase"], progress["total_s"], progress["errors"]) == ("baseline", 2.5, 0)
    assert progress["requests"] > 10
    while not (found := window(host, seconds=2.5, slice=1))["done"]:
        pass
    assert 2.5 <= clock.read() - began < 8
    assert (found["steady"], found["reasons"]) == (True, [])
    (begin,), (end,) = said(run, "phase"), said(run, "phase_end")
    assert end["t"] - begin["t"] >= 2.5
    assert said(run, "no_steady_state") == []


def test_no_steady_state_is_said_with_its_reasons(host: Host, run: RunDir, exchange: Exchange) -> None:
    exchange.good = False
    found = window(host, seconds=1.5, slice=5)
    assert (found["done"], found["steady"]) == (True, False)
    assert found["reasons"]
    (told,) = said(run, "no_steady_state")
    assert told["reasons"] == found["reasons"]


def test_a_baseline_with_a_hiccup_begins_anew_while_there_is_time(
    host: Host, run: RunDir, exchange: Exchange
) -> None:
    spec = run.spec.to_data()
    write_json(run.file("spec.json"), {**spec, "windows": {**spec["windows"], "baseline_timeout_s": 8}})
    exchange.good = False
    first = window(host, seconds=1.5, slice=5)
    assert (first["done"], first["steady"]) == (False, False)
    exchange.good = True
    while not (found := window(host, seconds=1.5, slice=5))["done"]:
        assert found["reasons"], "the hiccup is in this one still"
    assert (found["steady"], found["reasons"]) == (True, [])
    assert len(said(run, "phase")) >= 2
    assert len(said(run, "phase_end")) == 1
    assert said(run, "no_steady_state") == []


def test_no_load_is_no_steady_state(host: Host, run: RunDir) -> None:
    found = window(host, seconds=1, slice=5)
    assert (found["done"], found["steady"]) == (True, False)


def test_a_recovery_ends_as_soon_as_it_is_steady(host: Host, run: RunDir, exchange: Exchange) -> None:
    exchange.good = False
    time.sleep(0.5)
    asked: dict[str, Any] = {"fault": "crash", "seconds": 20, "until": "steady"}
    assert window(host, "crash", slice=1, **asked)["done"] is False
    exchange.good = True
    began = clock.read()
    found = window(host, "crash", slice=10, **asked)
    assert (found["done"], found["steady"]) == (True, True)
    assert 0.9 < clock.read() - began < 6, "steady for a second is enough, and soon seen"
    assert [event["fault"] for event in said(run, "steady")] == ["crash"]
    again = window(host, "crash_recovery", slice=10, **asked)
    assert (again["done"], again["steady"]) == (True, True), "what is steady needs no second watch"


def test_an_abort_ends_the_window_at_once_and_is_no_verdict_on_the_exchange(
    host: Host, run: RunDir, exchange: Exchange
) -> None:
    threading.Timer(
        1.0, lambda: RunDir(run.path).write_event("aborted", reason="halt was called", by="halt")
    ).start()
    began = clock.read()
    found = window(host, seconds=20, slice=10)
    assert clock.read() - began < 6
    assert (found["done"], found["steady"], found["aborted"]) == (True, False, "halt was called")
    assert said(run, "no_steady_state") == []
    assert not [line for line in found["chaos_lines"] if "No steady state" in line["text"]]


def test_word_of_a_sibling_aborts_the_run_and_ends_the_window(
    host: Host, run: RunDir, exchange: Exchange
) -> None:
    began = clock.read()
    found = window(host, seconds=20, slice=10, abort="h1 was aborted")
    assert clock.read() - began < 6
    assert (found["done"], found["steady"], found["aborted"]) == (True, False, "h1 was aborted")
    assert [(event["by"], event["reason"]) for event in said(run, "aborted")] == [
        ("sibling", "h1 was aborted")
    ]
    assert any(line["text"].startswith("Stopped with its wave: h1") for line in found["chaos_lines"])
    window(host, seconds=20, slice=10, abort="h1 was aborted")
    assert len(said(run, "aborted")) == 1


def test_a_run_that_was_ended_between_two_slices_was_aborted(host: Host, run: RunDir) -> None:
    run.write_event("aborted", reason="halt was called", by="halt")
    host.state.keep_record(run)
    found = window(host, seconds=20, slice=10)
    assert (found["done"], found["steady"], found["aborted"]) == (True, False, "halt was called")


def test_check_mode_and_a_run_that_is_not_there(host: Host) -> None:
    found = host.module("window", check=True, run_id=RUN, phase="baseline", seconds=60)
    assert (found["done"], found["steady"], found["changed"]) == (True, True, False)
    assert not host.state_dir.exists()
    text = sentence(host.module("window", run_id=RUN, phase="baseline", seconds=60))
    assert f"No run {RUN} is under way" in text
