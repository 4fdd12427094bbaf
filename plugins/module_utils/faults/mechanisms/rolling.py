# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that restarts containers one after another: ``chaos.pyz roll <run folder>``, as a deployment does it.

``rolling.json`` says which, how long each has to end, and the pause. Each step is a line of ``rolling.jsonl``, written
before the engine is asked: whoever undoes the fault knows by it whether a stop is still under way, for that goes on in
the engine though this process is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Sequence
from typing import Any

from ...common import clock
from ...common.json_files import read_json
from ...common.jsonl import Writer, read_lines
from ...common.shapes import Arguments, Line
from ...host.docker_engine import Container, DockerEngine
from ...run.folder import RunDir
from ...run.instant import Instant
from ...run.lifespan import Lifespan
from . import container_end

COMMAND = "roll"
PARAMETERS, STEPS = "rolling.json", "rolling.jsonl"
#: The steps of a restart: the engine was asked to end it; it has ended; it runs again; its health check says so, too.
ASKED, ENDED, STARTED, READY = "asked", "ended", "started", "ready"
_TICK_S = 0.05
#: The engine takes so long at most, beyond the grace, until a stop is done, s.
_ENGINE_S = 5.0


def main(run: RunDir) -> int:
    """Restart one container after another until all are done, or it is told to stop, or the fault's time is over."""
    life = Lifespan(run)
    wanted = read_json(run.file(PARAMETERS))
    engine = DockerEngine.connect_for(run)
    expires = float(wanted["expires"])

    def over() -> bool:
        return life.stopping or clock.read() >= expires

    roll = Roll(engine, Writer(run.file(STEPS)), over, wanted)
    at = wanted.get("at")
    run.register_process(COMMAND)
    with contextlib.nullcontext() if at is None else Instant(run, str(wanted["fault"]), float(at)).moment():
        pass
    for number, container_id in enumerate(wanted["containers"]):
        if number and not roll.wait(lambda: False, float(wanted["pause"])):
            break
        roll.restart(str(container_id))
    roll.wait(lambda: False, expires - clock.read())
    return 0


class Roll:
    """Restarts containers and writes each step down; ``over`` ends it between two steps."""

    def __init__(
        self, engine: DockerEngine, steps: Writer, over: Callable[[], bool], wanted: Arguments
    ) -> None:
        self._engine = engine
        self._steps = steps
        self._over = over
        self._grace = float(wanted["grace"])
        self._ready_within = float(wanted["ready_within"])

    def restart(self, container_id: str) -> None:
        """Ask it to end, see it end, start it, and wait until its health check calls it healthy, if it has one.

        What was stopped is started though time is up meanwhile: it must not stay down for want of a moment.
        """
        before = self._engine.inspect(container_id)
        if before is None or not before.running or self._over():
            return
        with contextlib.ExitStack() as opened:
            pidfd = _watch_exit(before, opened)
            self._note(ASKED, before, signal=before.stop_signal)
            self._engine.stop(container_id, self._grace)
            exited = None if pidfd is None else bool(select.select([pidfd], [], [], _ENGINE_S)[0])
        ended = self._engine.inspect(container_id) or before
        self._note(ENDED, ended, exit_code=ended.exit_code, exited=exited, pid=before.pid)
        self._engine.start(container_id)
        after = container_end.wait_until_running(container_id, self._engine)
        if after is None or not after.running:
            return
        self._note(STARTED, after)
        if after.check_needs_s and self.wait(lambda: self._is_healthy(container_id), self._ready_within):
            self._note(READY, after, healthy=self._is_healthy(container_id))

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so, ``seconds`` at most; False when it is all over."""
        end = clock.read() + seconds
        while not self._over():
            if clock.read() >= end or until():
                return True
            clock.sleep(_TICK_S)
        return False

    def _is_healthy(self, container_id: str) -> bool:
        container = self._engine.inspect(container_id)
        return container is not None and container.health == "healthy"

    def _note(self, step: str, container: Container, **more: Any) -> None:
        self._steps.write(
            {
                "t": clock.read(),
                "step": step,
                "id": container.id,
                "service": container.service,
                "container": container.name,
                "started_at": container.started_at,
                **more,
            }
        )


def _watch_exit(container: Container, opened: contextlib.ExitStack) -> int | None:
    """Open a pidfd on a main process; None where we may not, or it is gone already."""
    try:
        pidfd = os.pidfd_open(container.pid)
    except OSError:
        return None
    opened.callback(os.close, pidfd)
    return pidfd


def read_steps(run: RunDir, *names: str) -> list[Line]:
    """Return the steps of these names so far, or all of them."""
    return [line for line in read_lines(run.file(STEPS)) if not names or line.get("step") in names]


def wait_for_stop(run: RunDir, engine: DockerEngine, grace: float) -> None:
    """Wait until a stop that was asked for and not seen to end is done, or was never begun."""
    ended = [step["id"] for step in read_steps(run, ENDED)]
    for step in read_steps(run, ASKED):
        until = float(step["t"]) + grace + _ENGINE_S
        while step["id"] not in ended and clock.read() < until:
            container = engine.inspect(str(step["id"]))
            if container is None or not container.running or container.started_at != step["started_at"]:
                break
            clock.sleep(_TICK_S)


def list_restarted(steps: Sequence[Line]) -> list[str]:
    """Return the ids of the containers that ended and run again, by the steps."""
    ended = {step["id"] for step in steps if step["step"] == ENDED}
    return [str(step["id"]) for step in steps if step["step"] == STARTED and step["id"] in ended]
