# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other way to exhaust connections: a lower max_connections, by ALTER SYSTEM and a restart of the database.

Nothing of ours need live while it is in force, and nothing but the undo takes it back: the setting is on the
database's own disk. The undo restores the setting, and whether ALTER SYSTEM had set it at all.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...host.docker_engine import Container
from ...host.postgres.server import Server
from ...run import lease, timeline
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene
from .container_end import explain_return
from .own_sessions import administer_database

#: The run is renewed for this long, in which the database stops and starts.
_RESTART_S = 90.0


@dataclass(frozen=True)
class LimitPlan:
    """max_connections from ``before`` to ``limit``; ``written``: what ALTER SYSTEM had set, None for nothing."""

    fault: str
    target: Container
    limit: int
    before: int
    written: str | None
    administrator: str
    database: str
    port: int

    @property
    def service(self) -> str:
        """Return the database's service."""
        return self.target.service

    def lines(self) -> list[str]:
        """Return the plan in words."""
        back = f"set it to {self.written} again" if self.written is not None else "take the setting out again"
        return [
            f"ALTER SYSTEM SET max_connections = {self.limit} (now {self.before}) in {self.target.name} "
            f"({self.service}) and restart it; undo: {back}, and restart it once more"
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "max_connections",
            "mode": "limit",
            "project": self.target.project,
            "service": self.service,
            "container": self.target.id,
            "limit": self.limit,
            "before": self.before,
            "written": self.written,
            "administrator": self.administrator,
            "port": self.port,
            "database": self.database,
            "held": True,
        }


def plan_limit(
    fault: str,
    container: Container,
    limit: int,
    administrator: str,
    database: str,
    server: Server | None,
    *,
    port: int,
) -> LimitPlan:
    """Plan it. Raises ChaosError when the limit is no lower one, or so low that the server might not start."""
    if server is None:
        raise ChaosError(
            "A lower max_connections is planned from the present one; the engine is needed to ask."
        )
    before, least = server.read_limit(), server.smallest_limit()
    if not least <= limit < before:
        raise ChaosError(
            f"The limit of connections is {limit}; in {container.name} it must be from {least} "
            f"(one more than what is reserved) to {before - 1} (max_connections is {before})."
        )
    return LimitPlan(fault, container, limit, before, server.file_setting(), administrator, database, port)


def apply(change: LimitPlan, entry: Entry, scene: Scene) -> Applied:
    """Write the setting, restart the database, and read what is in force."""
    server = administer_database(scene, change.target, change.undo())
    scene.run.write_event(
        timeline.MEASURED, fault=entry.fault, name="connections", when="before", limit=change.before
    )
    lease.renew_lease(scene.run, _RESTART_S)
    with scene.instant():
        server.write_setting(str(change.limit))
        at = clock.read()
    server.restart()
    proof = replace(_in_force(server, change.limit, "max_connections after the restart"), name="full")
    return Applied(at, [proof], {"engine": "limit", "started": server.started_at()})


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read the setting at the end of the window; it can only have changed if the server was started anew."""
    server, _target = _server(entry, scene)
    proof = _in_force(server, int(entry.undo["limit"]), "max_connections at the end of the window")
    whole = proof.holds and server.started_at() == entry.facts.get("started")
    share = 1.0 if whole else None if proof.holds else 0.0
    return [replace(proof, share=share, name="full_at_end")]


def undo(entry: Entry, scene: Scene) -> str:
    """Put the setting back as it was written, or unwritten, and restart the server if it runs with another one."""
    wanted = entry.undo
    server, container = _server(entry, scene)
    server.wait_until_up()
    found, said = server.file_setting(), []
    if found != wanted["written"]:
        server.write_setting(wanted["written"])
        said.append(
            "max_connections taken out of postgresql.auto.conf"
            if wanted["written"] is None
            else f"max_connections written as {wanted['written']} again"
        )
    if server.read_limit() != wanted["before"]:
        server.restart()
        said.append(f"{container.name} restarted")
    now, written = server.read_limit(), server.file_setting()
    if (now, written) != (wanted["before"], wanted["written"]):
        raise ChaosError(
            f"max_connections of {container.name} is {now} after the undo, not {wanted['before']}."
        )
    with contextlib.suppress(ChaosError):
        scene.run.write_event(
            timeline.MEASURED, fault=entry.fault, name="connections", when="after", limit=now
        )
    return "; ".join([*said, f"max_connections is {now}"])


def _in_force(server: Server, limit: int, fact: str) -> Proof:
    now = server.read_limit()
    return Proof("engine", fact, now, clock.read(), now == limit)


def _server(entry: Entry, scene: Scene) -> tuple[Server, Container]:
    """Look the database up again: its setting lies in its volume, whichever container runs it now."""
    wanted = entry.undo
    found = scene.engine.containers(wanted["project"], wanted["service"])
    if not found:
        raise ChaosError(
            f"No container of {wanted['service']} is left to put max_connections back in; "
            f"{explain_return(wanted['project'], wanted['service'], found)}, and end the run once more"
        )
    container = next((one for one in found if one.running), found[0])
    if not container.running:
        scene.engine.start(container.id)
    return administer_database(scene, container, wanted), container
