# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rolling restart, what it refuses, and the steps that its undo goes by."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.jsonl import Writer
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import rolling as kind
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import rolling
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.unit.containers import down, target

FAULT: dict[str, Any] = {"id": "deployment", "target": "redis", "targets": ["redis", "nginx"], "window_s": 30}


class Engine:
    """An engine whose containers end and start at once; ``stops`` and ``starts`` remember for whom."""

    def __init__(self, *containers: Container) -> None:
        self.known = {one.id: one for one in containers}
        self.told: list[tuple[str, str]] = []

    def inspect(self, container_id: str) -> Container | None:
        return self.known.get(container_id)

    def stop(self, container_id: str, grace: float) -> None:
        service = self.known[container_id].service
        self.told.append((f"stop {grace:g}", service))
        state = {"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 0}
        self.known[container_id] = target(service, state=state)

    def start(self, container_id: str) -> None:
        service = self.known[container_id].service
        self.told.append(("start", service))
        self.known[container_id] = target(service, state={"StartedAt": "later", "Pid": 4712})


def roll(folder: Path, engine: Engine, over: Any = lambda: False) -> rolling.Roll:
    wanted = {"grace": 7, "ready_within": 1}
    return rolling.Roll(engine, Writer(folder / rolling.STEPS), over, wanted)  # type: ignore[arg-type]


def test_the_plan_names_each_container_its_signal_and_its_undo() -> None:
    config = {"Labels": {"com.docker.compose.service": "nginx"}, "StopSignal": "SIGQUIT"}
    chosen = [target("redis"), target("nginx", Config=config)]
    planned = kind.from_spec({**FAULT, "grace": "5", "pause": 2}, chosen, Site([], True))
    first, second = planned.lines()
    assert first.startswith("restart lab-redis-1 (redis): SIGTERM, SIGKILL after 5 s, then start; undo: ")
    assert second.startswith("2 s later restart lab-nginx-1 (nginx): SIGQUIT, ")
    undo = planned.undo()
    assert undo["containers"] == [one.id for one in planned.targets]
    assert undo["held"] is True
    assert set(undo["services"].values()) == {"redis", "nginx"}


def test_what_does_not_run_is_no_deployment() -> None:
    with pytest.raises(ChaosError, match="lab-redis-1 of service redis is exited, not running"):
        kind.from_spec(FAULT, [down("redis")], Site([], True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grace": 0}, "The grace of fault deployment is 0; it must be 1 to 120 seconds."),
        ({"grace": "long"}, "The grace of fault deployment is 'long'; it must be 1 to 120 seconds."),
        ({"pause": -1}, "The pause of fault deployment is -1; it must be 0 to 600 seconds."),
        (
            {"ready_within": True},
            "The ready_within of fault deployment is True; it must be 0 to 600 seconds.",
        ),
        (
            {"targets": ["redis", "redis"]},
            "The services of fault deployment are redis, redis; each can be restarted",
        ),
        (
            {"pause": 40},
            "The window of fault deployment is 30 s, and the pauses between 2 services take 40 s alone",
        ),
    ],
)
def test_each_wrong_argument_has_its_sentence(changes: dict[str, Any], words: str) -> None:
    (problem,) = kind.check({**FAULT, **changes})
    assert problem.startswith(words)


def test_good_arguments_as_text_are_good() -> None:
    assert kind.check({**FAULT, "grace": "10", "pause": "2.5", "window_s": "30"}) == []


def test_who_has_no_handler_is_told_beforehand() -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: None); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert kind.listens_to(child.pid, "SIGTERM") is True
        assert kind.listens_to(child.pid, "15") is True
        assert kind.listens_to(child.pid, "SIGUSR1") is False
        assert kind.listens_to(child.pid, "SIGNONSENSE") is None
        deaf = target("redis", state={"Pid": child.pid}, Config={"Labels": {}, "StopSignal": "SIGUSR1"})
        said = kind.trial(FAULT, [deaf], Site([], True))
        assert "lab-redis-1 does not listen to SIGUSR1, so that it will be killed after 10 s" in said
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


def test_an_init_that_passes_signals_on_listens_to_them() -> None:
    """It blocks them all and waits: nothing is caught, and nothing lost (``init: true`` of a compose file)."""
    code = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); print(flush=True); input(); "
        "signal.sigwait([signal.SIGTERM])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert kind.listens_to(child.pid, "SIGTERM") is True, "while it blocks them"
        child.stdin.write(b"\n")
        child.stdin.flush()
        place, until = Path(f"/proc/{child.pid}/wchan"), time.monotonic() + 20
        while not place.read_text().startswith("do_sigtimedwait") and time.monotonic() < until:
            time.sleep(0.01)
        assert kind.listens_to(child.pid, "SIGTERM") is True, "while it waits for them"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


def test_a_restart_is_written_down_step_by_step(tmp_path: Path) -> None:
    engine = Engine(target("redis"))
    (identity,) = engine.known
    roll(tmp_path, engine).restart(identity)
    steps = rolling.read_steps(RunDir(tmp_path))
    assert [step["step"] for step in steps] == [rolling.ASKED, rolling.ENDED, rolling.STARTED]
    assert engine.told == [("stop 7", "redis"), ("start", "redis")]
    assert rolling.list_restarted(steps) == [identity]
    assert rolling.list_restarted(steps[:2]) == [], "one that was not started is not restarted"


def test_what_is_over_is_not_begun_but_what_was_stopped_is_started(tmp_path: Path) -> None:
    engine = Engine(target("redis"))
    (identity,) = engine.known
    roll(tmp_path, engine, lambda: True).restart(identity)
    assert engine.told == []
    late = Engine(target("redis"))
    roll(tmp_path, late, lambda: ("stop 7", "redis") in late.told).restart(identity)
    assert late.told[-1] == ("start", "redis")


def test_a_stop_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    """The engine goes on with it though the process that asked is dead: who starts too early finds it ended again."""
    running = target("redis")
    line = {"t": clock.read(), "step": rolling.ASKED, "id": running.id, "started_at": running.started_at}
    Writer(tmp_path / rolling.STEPS).write(line)
    looked: list[int] = []

    class Slow(Engine):
        def inspect(self, container_id: str) -> Container | None:
            looked.append(1)
            return running if len(looked) < 4 else down("redis")

    rolling.wait_for_stop(RunDir(tmp_path), Slow(running), 10)  # type: ignore[arg-type]
    assert len(looked) == 4
    Writer(tmp_path / rolling.STEPS).write({**line, "step": rolling.ENDED})
    looked.clear()
    rolling.wait_for_stop(RunDir(tmp_path), Slow(running), 10)  # type: ignore[arg-type]
    assert not looked
