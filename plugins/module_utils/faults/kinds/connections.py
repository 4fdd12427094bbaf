# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exhausting a database's connections: by real sessions of the application's role, or by a lower max_connections.

``sessions`` (the default) takes slots until PostgreSQL refuses one more, and holds them in a process of ours, whose
end, however it comes, frees them. ``limit`` lowers the limit itself, which needs two restarts of the database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from ...common import clock
from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...common.json_files import write_json
from ...common.jsonl import read_lines
from ...common.peer_addresses import is_port
from ...common.schema import show_value
from ...common.secret import NO_SECRET, Secret
from ...exchange.database import store_of_run
from ...host.docker_engine import Container
from ...host.postgres.server import Server, Usage, find_administrator
from ...host.postgres.wire import TOO_MANY
from ...run import lease, processes, timeline
from ...run.folder import RunDir
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import connection_limit, session_holder
from ..mechanisms.connection_limit import LimitPlan
from ..mechanisms.own_sessions import (
    administer_database,
    find_database,
    leave_none,
    login_of,
    mark_of,
    require_login,
    server_of,
)

MODES = ("sessions", "limit")
_START_S = 30.0
#: A loaded server lets in so many sessions a second at least; for a server of many, that is waited for besides.
_LEAST_PER_S = 10
#: A server that is just starting is waited for this long before its sessions are counted.
_ANSWERS_S = 20.0
#: A sample speaks for this long at most: a holder that died or hangs holds nothing that we know of.
_SPEAKS_S = 1.0
#: Share of the slots of ordinary roles that are taken when the server counts as full.
_FULL = 0.9


def _as_entry(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"hold_s": 1}


KIND = Kind(
    arguments={
        "mode": {"type": "str", "choices": list(MODES), "default": MODES[0]},
        "user": {"type": "str"},
        "database": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "clear_password": {"type": "bool", "default": False, "no_log": False},
        "administrator": {"type": "str"},
        "port": {"type": "int", "default": 5432},
        "limit": {"type": "int"},
    },
    as_entry=_as_entry,
    required=(
        Required("full", "the server has no connection left, by its own count", "engine"),
        Required("full_at_end", "the server has none left at the end of the window", "engine", at_end=True),
    ),
    roles=("database",),
    process=Process(session_holder.COMMAND, "mechanisms.session_holder"),
)


@dataclass(frozen=True)
class SessionsPlan:
    """Sessions of ``user`` in the database of one container; ``superuser``: reserved slots are open to it, too."""

    fault: str
    target: Container
    port: int
    user: str
    database: str
    administrator: str
    superuser: bool
    password: Secret
    clear_password: bool = False
    admin: Secret = NO_SECRET

    @property
    def service(self) -> str:
        """Return the database's service."""
        return self.target.service

    def lines(self) -> list[str]:
        """Return the plan in words."""
        reserved = (
            "the role is a superuser, so the slots reserved for superusers are taken, too"
            if self.superuser
            else "the slots reserved for superusers stay free"
        )
        return [
            f"take sessions of role {self.user} in database {self.database} of {self.target.name} ({self.service}) "
            f"until PostgreSQL refuses one more (SQLSTATE {TOO_MANY}), and hold them; {reserved}; "
            "undo: end the process that holds them, whose end frees every one"
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "end_sessions",
            "mode": "sessions",
            "project": self.target.project,
            "service": self.service,
            "container": self.target.id,
            "started_at": self.target.started_at,
            "user": self.user,
            "database": self.database,
            "administrator": self.administrator,
            "port": self.port,
            "superuser": self.superuser,
            "held": True,
        }


Plan = Union[SessionsPlan, LimitPlan]


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    identity = fault.get("id")
    found = []
    mode = str(fault.get("mode", MODES[0]))
    if mode not in MODES:
        found.append(
            f"The mode of fault {identity} is {show_value(mode)}; it must be one of {', '.join(MODES)}."
        )
    for key in ("user", "database"):
        if not fault.get(key):
            found.append(f"Fault {identity} has no {key}; it must be the application's own (chaos_database).")
    if str(fault.get("replicas", "one")) not in ("one", "1"):
        found.append(f"Fault {identity} takes the connections of one database; replicas must be one.")
    if mode == "limit" and not _whole(fault.get("limit")):
        found.append(
            f"The limit of fault {identity} is {show_value(fault.get('limit'))}; it must be a number: "
            "the new max_connections."
        )
    if fault.get("port") is not None and not is_port(fault["port"]):
        found.append(
            f"The port of fault {identity} is {show_value(fault['port'])}; it must be from 1 to {PORT_MAX}."
        )
    return found


def _whole(value: Any) -> int:
    """Return a positive whole number, 0 for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() else 0


def trial(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
    """Open one session where the holder would, close it, and read what PostgreSQL says of its connections."""
    plan = from_spec(fault, chosen, site)
    if isinstance(plan, LimitPlan):
        return (
            f"ok: max_connections is {plan.before}; the database is restarted twice, "
            "so what happens to pooled sessions is the restart's doing as well"
        )
    require_login(str(fault["id"]), plan.target, login_of(plan, "exchange.chaos trial"), site.root)
    if site.engine is None:
        return "ok"
    server = server_of(plan, site.engine)
    usage = server.count_connections("exchange.chaos trial")
    _refuse_cap(plan, server, usage.limit - usage.reserved - usage.others)
    milder = (
        f"; role {plan.user} is a superuser, so even the slots reserved for superusers are taken"
        if plan.superuser
        else ""
    )
    return f"ok: {usage.others} of {usage.limit} connections in use, {usage.reserved} reserved{milder}"


def _refuse_cap(plan: SessionsPlan, server: Server, free: int) -> None:
    """Raise ChaosError where a limit of the role, or of its database, is met before the server's own."""
    caps = {} if plan.superuser else server.read_caps(plan.user)
    for statement, most in caps.items():
        if most < free:
            raise ChaosError(
                f"PostgreSQL in {plan.target.name} has {free} free connections, but {most} is the most by "
                f"{statement} CONNECTION LIMIT: that limit would be exhausted, not the server's. Lift it for the run "
                f"({statement} CONNECTION LIMIT -1), or lower the server's instead (mode limit)."
            )


def from_spec(fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> Plan:
    """Plan it for the one running container of the database. Reads the role and, for ``limit``, the setting."""
    if not chosen or not chosen[0].running or chosen[0].pid <= 0:
        what = f"{chosen[0].name} is {chosen[0].status}" if chosen else "there is no container"
        raise ChaosError(f"Connections can be taken of a running database only; {what}.")
    container = chosen[0]
    reader = find_administrator(container, str(fault.get("administrator") or ""))
    user, database, port = str(fault["user"]), str(fault["database"]), int(fault.get("port") or 5432)
    server = (
        Server(
            site.engine,
            container.id,
            user=reader,
            database=database,
            password=site.admin,
            port=port,
            clear_password=bool(fault.get("clear_password")),
        )
        if site.engine is not None
        else None
    )
    if str(fault.get("mode", MODES[0])) == "limit":
        return connection_limit.plan_limit(
            str(fault["id"]), container, int(fault["limit"]), reader, database, server, port=port
        )
    return SessionsPlan(
        fault=str(fault["id"]),
        target=container,
        port=port,
        user=user,
        database=database,
        administrator=reader,
        superuser=server.is_superuser(user) if server is not None else False,
        password=Secret(fault.get("password")),
        clear_password=bool(fault.get("clear_password")),
        admin=site.admin,
    )


def apply(change: Plan, entry: Entry, scene: Scene) -> Applied:
    """Take the sessions, or lower the limit; prove it by PostgreSQL's own word."""
    if isinstance(change, LimitPlan):
        return connection_limit.apply(change, entry, scene)
    run, server = scene.run, server_of(change, scene.engine)
    if processes.living_process(run, session_holder.COMMAND):
        raise ChaosError("Another fault of this run holds the database's sessions already.")
    name = mark_of(run)
    came_in = server.try_login(change.user, change.password).came_in
    before = server.count_connections(name)
    _measured(run, entry.fault, "before", before)
    patience = _START_S + before.limit / _LEAST_PER_S
    run.file(session_holder.SAMPLES).unlink(missing_ok=True)
    wanted = {
        "pid": change.target.pid,
        "expires": entry.expires,
        "login": login_of(change, name),
    }
    write_json(run.file(session_holder.PARAMETERS), wanted)
    with scene.instant():
        lease.renew_lease(run, 2 * patience)
    ready = processes.start_process(run, session_holder.COMMAND, timeout=patience)
    proofs = [
        Proof(
            "tcp",
            f"one more session of role {change.user} refused",
            f"SQLSTATE {ready['refusal']['sqlstate']}: {ready['refusal']['message']}",
            ready["full_at"],
            ready["refusal"]["sqlstate"] == TOO_MANY,
        )
    ]
    if came_in:
        proofs.append(
            replace(
                _turned_away(server, change.user, change.password), name="full" if change.superuser else ""
            )
        )
    if not change.superuser:
        usage = server.count_connections(name)
        _measured(run, entry.fault, "held", usage)
        proofs.append(replace(_in_activity("our sessions in pg_stat_activity", usage), name="full"))
    return Applied(float(ready["full_at"]), proofs, {"engine": "sessions", "sessions": ready["held"]})


def undo(entry: Entry, scene: Scene) -> str:
    """End the holder and see that PostgreSQL has none of its sessions left; or put the limit back."""
    if entry.undo.get("mode") == "limit":
        return connection_limit.undo(entry, scene)
    run, wanted = scene.run, entry.undo
    ended = processes.stop_process(run, session_holder.COMMAND)
    how = "the holder was ended, which freed its sessions" if ended else "the holder had ended before"
    container, changed = find_database(wanted, scene.engine)
    if container is None:
        return f"{how}; the database does not run, so it has none of our sessions"
    server = administer_database(scene, container, wanted)
    server.wait_until_up(_ANSWERS_S)
    usage = leave_none(server, mark_of(run))
    with contextlib.suppress(ChaosError):  # a full disk must not keep the undo from being told
        _measured(run, entry.fault, "after", usage)
    return f"{how}; PostgreSQL counts {usage.ours} of ours{changed}"


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Read how long no slot was free, from the holder's samples, and what PostgreSQL says now."""
    if entry.undo.get("mode") == "limit":
        return connection_limit.in_force(entry, scene)
    now = clock.read()
    samples = read_lines(scene.run.file(session_holder.SAMPLES))
    share = held_share(samples, entry.applied_at or entry.planned_at, now)
    held = int(samples[-1]["held"]) if samples and now - samples[-1]["t"] <= _SPEAKS_S else 0
    found = [
        Proof(
            "fault",
            "every slot taken, at the end of the window",
            f"{held} sessions held",
            now,
            held > 0 and bool(samples[-1]["full"]),
            share=share,
        )
    ]
    container, _changed = find_database(entry.undo, scene.engine)
    if container is not None:
        wanted = entry.undo
        server = administer_database(scene, container, wanted)
        if wanted["superuser"]:
            password = Secret(store_of_run(scene.run)["password"])
            found.append(replace(_turned_away(server, wanted["user"], password), name="full_at_end"))
        else:
            usage = server.count_connections(mark_of(scene.run))
            fact = "our sessions in pg_stat_activity at the end of the window"
            found.append(replace(_in_activity(fact, usage), name="full_at_end"))
    return found


def held_share(samples: Sequence[Mapping[str, Any]], start: float, end: float) -> float:
    """Return the part (0..1) of [start, end] in which PostgreSQL had no slot left for the application's role.

    A sample counts until the next one, and for a second at most.
    """
    if end <= start:
        return 0.0
    edges = [*(float(sample["t"]) for sample in samples), end]
    held = 0.0
    for sample, until in zip(samples, edges[1:]):
        if sample["full"]:
            low = max(start, float(sample["t"]))
            held += max(0.0, min(until, float(sample["t"]) + _SPEAKS_S, end) - low)
    return min(1.0, held / (end - start))


def _measured(run: RunDir, fault: str, when: str, usage: Usage) -> None:
    run.write_event(timeline.MEASURED, fault=fault, name="connections", when=when, **usage.fields())


def _in_activity(fact: str, usage: Usage) -> Proof:
    """PostgreSQL's own count: ours are there, and with everybody else's they fill what ordinary roles may have.

    A slot that has just become free is taken again within a moment, so nine tenths are enough.
    """
    slots = usage.limit - usage.reserved
    full = usage.ours > 0 and usage.ours + usage.others >= _FULL * slots
    return Proof("engine", fact, str(usage), clock.read(), full)


def _turned_away(server: Server, user: str, password: Secret) -> Proof:
    """Try from another place than the holder's, the server's own socket."""
    attempt = server.try_login(user, password)
    fact = f"one more session of role {user} over the server's own socket"
    return Proof("engine", fact, attempt.words, clock.read(), attempt.refused)
