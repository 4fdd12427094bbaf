# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observer: the engine's own events of the project's containers as they happen; the gauges, and memory's use.

A start is written with the new main process and addresses, so that the other observers find the target again.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

from ..common import clock
from ..common.errors import ChaosError
from ..common.jsonl import Writer
from ..common.shapes import Line
from ..exchange.endpoints import write_moved
from ..faults import planning
from ..host.docker_engine import DockerEngine, Event
from ..run.folder import RunDir
from ..run.lifespan import Lifespan
from .gauges import Gauges

_SHOWN = ("die", "start", "stop", "kill", "oom", "restart", "create", "destroy", "pause", "unpause")
_HEALTH = "health_status"


def main(run: RunDir) -> int:
    """Follow the events until the run ends. Returns 1, and tells why, when they cannot be followed any more."""
    life = Lifespan(run)
    engine = DockerEngine.connect_for(run)
    writer = Writer(run.file("engine.jsonl"))
    said: list[str] = []
    thread = threading.Thread(target=_follow_or_tell, args=(run, engine, writer, said), daemon=True)
    thread.start()
    gauges = Gauges(run)
    planning.start_samplers(run)
    run.register_process("events")
    while not life.stopping and thread.is_alive():
        gauges.take_events(life.marks())
        time.sleep(0.1)
    if said:
        sys.stderr.write(f"{said[0]}\n")
    return len(said)


def _follow_or_tell(run: RunDir, engine: DockerEngine, writer: Writer, said: list[str]) -> None:
    """Follow the events; what ends that goes into ``said``, since nobody waits for a thread's exception."""
    try:
        _follow(run, engine, writer)
    except ChaosError as error:
        said.append(str(error))


def _follow(run: RunDir, engine: DockerEngine, writer: Writer) -> None:
    anchor = run.anchor
    for event in engine.events(run.spec.project, anchor.realtime, (*_SHOWN, _HEALTH)):
        if event.action in _SHOWN or event.action.startswith(_HEALTH):
            # by the clocks as they stand: the host's may have been set since the run began
            at = clock.take_anchor().boot(event.at)
            if at >= anchor.boottime:
                writer.write(_line(event, at, engine))
                if event.action == "start":
                    # the others learn of a new address by this; where it fails they ask on where it was
                    with contextlib.suppress(ChaosError, OSError):
                        write_moved(run, engine)


def _line(event: Event, at: float, engine: DockerEngine) -> Line:
    line: Line = {
        "t": at,
        "service": event.service,
        "container": event.name,
        "id": event.container_id,
        "action": event.action,
        "exit_code": event.exit_code,
    }
    if event.signal:
        line["signal"] = event.signal
    container = engine.inspect(event.container_id) if event.action == "start" else None
    if container is not None:
        line.update(
            pid=container.pid, addresses=list(container.addresses.values()), started_at=container.started_at
        )
    return line
