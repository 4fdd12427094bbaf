# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container has ended, and whether it runs again, as the engine tells: for the faults that kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...common import clock
from ...host.docker_engine import Container, DockerEngine
from ..contract import Proof

#: What the engine reports of a process that SIGKILL ended.
KILLED = 137
#: A killed process is gone within this time, a started container runs within that (s).
EXIT_S, UP_S = 5.0, 15.0


def prove_ended(
    container: Container, engine: DockerEngine, cause: Callable[[Container], tuple[str, Any, bool]]
) -> Proof:
    """Wait until the engine has seen the exit: the container is down, or was started anew meanwhile.

    ``cause`` reads of a container that is down the fact, its value, and whether that is the end it was to have.
    """
    until = clock.read() + EXIT_S
    while clock.read() < until:
        now = engine.inspect(container.id)
        if now is None:
            return Proof("engine", f"{container.name} is gone", True, clock.read(), True)
        if not now.running:
            fact, value, holds = cause(now)
            return Proof("engine", fact, value, clock.read(), holds)
        if now.started_at != container.started_at:
            return Proof(
                "engine", f"start time of {container.name} changed", now.started_at, clock.read(), True
            )
        time.sleep(0.02)
    return Proof(
        "engine", f"{container.name} still runs as before", container.started_at, clock.read(), False
    )


def wait_until_running(container_id: str, engine: DockerEngine) -> Container | None:
    """Wait until a container runs, and return it as it is then, or as it still is; None if there is no such."""
    until = clock.read() + UP_S
    while True:
        container = engine.inspect(container_id)
        if container is None or container.running or clock.read() >= until:
            return container
        time.sleep(0.05)
