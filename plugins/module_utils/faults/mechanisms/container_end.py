# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container has ended, and whether it runs again, as the engine tells: for the faults that end one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
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


def start_again(wanted: Mapping[str, Any], engine: DockerEngine) -> str:
    """See that the containers of a journaled undo run, start those that do not, in their order; return how.

    ``wanted``: ``containers`` (ids), ``project``, ``service``, and ``services`` (by id) where they are of several. One
    that is gone is undone by its replacement. Raises ChaosError where nothing of a service runs in the end.
    """
    how = []
    for container_id in wanted["containers"]:
        container = engine.inspect(container_id)
        if container is None:
            service = wanted.get("services", {}).get(container_id) or wanted["service"]
            how.append(_find_replacement(wanted["project"], service, engine))
        elif container.running:
            how.append(f"{container.name} was running again")
        else:
            _start(container_id, engine)
            how.append(f"{container.name} started through the engine")
    return "; ".join(how)


def _start(container_id: str, engine: DockerEngine) -> None:
    engine.start(container_id)
    container = wait_until_running(container_id, engine)
    if container is not None and not container.running:
        raise ChaosError(
            f"Container {container_id[:12]} was started but does not run; see docker logs {container_id[:12]}."
        )


def _find_replacement(project: str, service: str, engine: DockerEngine) -> str:
    found = engine.containers(project, service)
    running = [container for container in found if container.running]
    if not running:
        raise ChaosError(
            f"The container of {service} that was ended is gone and no other of that service runs; "
            f"{explain_return(project, service, found)}"
        )
    return f"undone by replacement: {running[0].name} runs in its stead"


def explain_return(project: str, service: str, found: Sequence[Container]) -> str:
    """Return how a service of which nothing runs is brought back by hand, by the names of its containers.

    A compose file need not be at hand on the host, nor compose itself.
    """
    if found:
        return f"start it with: docker start {' '.join(container.name for container in found)}"
    return f"bring service {service} of project {project} up again"
