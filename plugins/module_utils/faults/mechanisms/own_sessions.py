# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of ours in a database's container: how they are known, where they are now, and that none is left."""

from __future__ import annotations

from typing import Any, Protocol

from ...common import clock
from ...common.errors import AS_ROOT, ChaosError, Unsupported
from ...common.secret import Secret
from ...common.shapes import Arguments
from ...exchange.database import admin_of_run
from ...host import netns
from ...host.docker_engine import Container, DockerEngine
from ...host.postgres.locks import LockServer
from ...host.postgres.server import Server, Usage
from ...host.postgres.wire import TOO_MANY, attempt_login
from ...run.folder import RunDir
from ..contract import Scene

_GONE_S = 5.0


def mark_of(run: RunDir) -> str:
    """Return the application_name of the run's sessions; PostgreSQL keeps 63 bytes of it."""
    return f"exchange.chaos {run.path.name}"[:63]


class SessionPlan(Protocol):
    """What a plan of either kind of fault says of its database, and of who comes in there."""

    @property
    def target(self) -> Container:
        """The database's container."""

    @property
    def port(self) -> int:
        """Where it listens in there."""

    @property
    def database(self) -> str:
        """Its name."""

    @property
    def user(self) -> str:
        """The role that the application's sessions have, and ours."""

    @property
    def password(self) -> Secret:
        """That role's."""

    @property
    def clear_password(self) -> bool:
        """Whether a server that asks for it in clear text gets it."""

    @property
    def administrator(self) -> str:
        """The role that may see and end the sessions of all."""

    @property
    def admin(self) -> Secret:
        """The administrator's password."""


def login_of(plan: SessionPlan, name: str) -> dict[str, Any]:
    """Return with what a session of ours is opened; ``name``: its application_name."""
    return {
        "host": netns.find_listening(plan.target.pid, plan.port),
        "port": plan.port,
        "user": plan.user,
        "database": plan.database,
        "name": name,
        "password": plan.password.reveal(),
        "clear_password": plan.clear_password,
        # where the server offers it: one may let nobody in without
        "encrypt": True,
    }


def server_of(plan: SessionPlan, engine: DockerEngine) -> LockServer:
    """Return a plan's database server as its administrator asks it."""
    return LockServer(
        engine,
        plan.target.id,
        user=plan.administrator,
        database=plan.database,
        password=plan.admin,
        port=plan.port,
        clear_password=plan.clear_password,
    )


def require_login(fault: str, container: Container, login: Arguments, root: bool) -> None:
    """Open one session where ours will be, and close it. Raises Unsupported without root, ChaosError when refused."""
    user = login["user"]
    if not root:
        raise Unsupported(
            f"Fault {fault} opens sessions inside the network namespace of {container.name}, which needs root: "
            f"{AS_ROOT}."
        )
    answer = netns.call_inside(container.pid, attempt_login, dict(login))
    if answer["sqlstate"] == TOO_MANY:
        raise ChaosError(
            f"PostgreSQL in {container.name} refuses role {user} already ({answer['message']}): "
            "there is no session left to take, so the fault would show nothing."
        )
    if answer["sqlstate"]:
        raise ChaosError(
            f"PostgreSQL in {container.name} refuses role {user} at {login['host']}: {answer['message']} "
            f"(SQLSTATE {answer['sqlstate']}); look at chaos_database and at its pg_hba.conf."
        )


def administer_database(scene: Scene, container: Container, wanted: Arguments) -> LockServer:
    """Return the database's server as its administrator asks it, with the password that the run was given.

    ``wanted``: an undo with ``administrator``, ``database`` and, where it is not PostgreSQL's usual one, ``port``.
    """
    return LockServer(
        scene.engine,
        container.id,
        user=wanted["administrator"],
        database=wanted["database"],
        password=admin_of_run(scene.run),
        port=int(wanted.get("port") or 5432),
        clear_password=scene.run.spec.database.clear_password,
    )


def find_database(wanted: Arguments, engine: DockerEngine) -> tuple[Container | None, str]:
    """Return the database's container as it is now, None if none runs, and what changed since the fault.

    ``wanted``: an undo with ``container``, ``started_at``, ``project`` and ``service``.
    """
    container = engine.inspect(wanted["container"])
    if container is not None and container.running:
        restarted = container.started_at != wanted["started_at"]
        return container, "; PostgreSQL was restarted meanwhile, which had ended them" if restarted else ""
    running = [one for one in engine.containers(wanted["project"], wanted["service"]) if one.running]
    if not running:
        return None, ""
    return running[0], f"; undone by replacement: {running[0].name} runs in its stead"


def leave_none(server: Server, name: str) -> Usage:
    """Wait until the server has noticed; a session that outlives its client is ended by the server itself."""
    until = clock.read() + _GONE_S
    usage = server.count_connections(name)
    while usage.ours and clock.read() < until:
        clock.sleep(0.1)
        usage = server.count_connections(name)
    if usage.ours:
        server.end_sessions(name)
        clock.sleep(0.5)
        usage = server.count_connections(name)
    if usage.ours:
        raise ChaosError(
            f"PostgreSQL still has {usage.ours} sessions of ours; restart its container to end them."
        )
    return usage
