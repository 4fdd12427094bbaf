# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observer: the engine's own events of the project's containers as they happen; the gauges, and memory's use.

A start is written with the new main process and addresses, so that the other observers find the target again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from ..common import clock
from ..common.jsonl import Writer
from ..common.shapes import Line
from ..faults import planning
from ..host.docker_engine import SERVICE_LABEL, DockerEngine
from ..run.folder import RunDir
from ..run.lifespan import Lifespan
from .gauges import Gauges

_SHOWN = ("die", "start", "stop", "kill", "oom", "restart", "create", "destroy", "pause", "unpause")


def main(run: RunDir) -> int:
    """Follow the events until the run ends."""
    life = Lifespan(run)
    engine = DockerEngine.connect_for(run)
    writer = Writer(run.file("engine.jsonl"))
    thread = threading.Thread(target=_follow, args=(run, engine, writer), daemon=True)
    thread.start()
    gauges = Gauges(run)
    planning.start_samplers(run)
    run.register_process("events")
    while not life.stopping and thread.is_alive():
        gauges.take_events(life.marks())
        time.sleep(0.1)
    return 0


def _follow(run: RunDir, engine: DockerEngine, writer: Writer) -> None:
    anchor = run.anchor
    for event in engine.events(run.spec.project, since=anchor.realtime):
        action = str(event.get("Action", ""))
        if action in _SHOWN or action.startswith("health_status"):
            # by the clocks as they stand: the host's may have been set since the run began
            at = clock.take_anchor().boot(float(event.get("timeNano", 0)) / 1e9)
            if at >= anchor.boottime:
                writer.write(_line(event, action, at, engine))


def _line(event: Mapping[str, Any], action: str, at: float, engine: DockerEngine) -> Line:
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    code = attributes.get("exitCode")
    line = {
        "t": at,
        "service": attributes.get(SERVICE_LABEL, ""),
        "container": attributes.get("name", ""),
        "id": actor.get("ID", ""),
        "action": action,
        "exit_code": None if code is None else int(code),
    }
    if attributes.get("signal"):
        line["signal"] = str(attributes["signal"])
    container = engine.inspect(line["id"]) if action == "start" else None
    if container is not None:
        line.update(
            pid=container.pid, addresses=list(container.addresses.values()), started_at=container.started_at
        )
    return line
