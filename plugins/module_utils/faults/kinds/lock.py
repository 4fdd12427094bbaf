# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that holds up all writes: what a migration does, or a transaction that somebody forgot.

A session of ours takes a table's ACCESS EXCLUSIVE lock, or locks single rows as SELECT … FOR UPDATE does, and does
nothing more. Whoever needs the table, or the row, queues up behind it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.bounds import PORT_MAX
from ...common.errors import ChaosError
from ...common.json_files import write_json
from ...common.jsonl import read_lines
from ...common.peer_addresses import is_port
from ...common.schema import show_value
from ...common.secret import NO_SECRET, Secret
from ...common.shapes import Arguments, FaultEntry, Line
from ...host.docker_engine import Container
from ...host.postgres.locks import LockServer
from ...host.postgres.server import find_administrator
from ...run import lease, processes, timeline
from ...run.folder import RunDir
from ...run.journal import Entry
from ..contract import Applied, Proof, Scene, Site
from ..kind import Kind, Process, Required
from ..mechanisms import lock_holder, own_sessions
from ..mechanisms.own_sessions import administer_database, find_database, leave_none, mark_of


def _as_entry(parameters: FaultEntry) -> Arguments:
    return {"hold_s": 1}


KIND = Kind(
    arguments={
        "table": {"type": "str", "default": "trading.orders"},
        "where": {"type": "str"},
        "user": {"type": "str"},
        "database": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "clear_password": {"type": "bool", "default": False, "no_log": False},
        "administrator": {"type": "str"},
        "port": {"type": "int", "default": 5432},
    },
    as_entry=_as_entry,
    required=(
        Required("granted", "the lock is ours, by the server's own word", "engine"),
        Required("granted_at_end", "the lock is ours at the end of the window", "engine", at_end=True),
        Required("waited", "other sessions wait for it", "engine", at_end=True),
    ),
    needs_root="opens a session inside the network namespace of the database's container",
    roles=("database",),
    process=Process(lock_holder.COMMAND, "mechanisms.lock_holder"),
)
#: A table with or without its schema, each plain or in double quotes; nothing that SQL could take for more.
_PART = r"(?:[A-Za-z_][\w$]*|\"(?:[^\"\0]|\"\")+\")"
_NAME = re.compile(rf"{_PART}(\.{_PART})?")
_START_S = 30.0
#: A server that is just starting is waited for this long before its sessions are counted.
_ANSWERS_S = 20.0
#: A sample speaks for this long at most: a holder that died or stands still holds nothing that we know of.
_SPEAKS_S = 1.5
#: What a granted lock is called, of a table and of rows.
_EXCLUSIVE, _ROW = "AccessExclusiveLock on relation", "RowShareLock on relation"


@dataclass(frozen=True)
class LockPlan:
    """A lock on ``table``, or on its rows that meet ``where``, by a session of ``user``."""

    fault: str
    target: Container
    table: str
    where: str
    port: int
    user: str
    database: str
    administrator: str
    password: Secret
    clear_password: bool = False
    admin: Secret = NO_SECRET

    @property
    def service(self) -> str:
        """Return the database's service."""
        return self.target.service

    @property
    def statement(self) -> str:
        """Return the statement that takes the lock."""
        return lock_holder.take_statements(self.table, self.where)[-1]

    def lines(self) -> list[str]:
        """Return the plan in words."""
        return [
            f"hold a lock in database {self.database} of {self.target.name} ({self.service}) by a session of role "
            f"{self.user}: {self.statement}; undo: end the process that holds the session, whose end rolls it back"
        ]

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data."""
        return {
            "op": "end_sessions",
            "project": self.target.project,
            "service": self.service,
            "container": self.target.id,
            "started_at": self.target.started_at,
            "table": self.table,
            "where": self.where,
            "database": self.database,
            "administrator": self.administrator,
            "port": self.port,
            "held": True,
        }


def check(fault: FaultEntry) -> list[str]:
    """Return what is wrong with the fault's own arguments."""
    identity, found = fault.get("id"), []
    for key in ("user", "database"):
        if not fault.get(key):
            found.append(f"Fault {identity} has no {key}; it must be the application's own (chaos_database).")
    table, where = str(fault.get("table") or ""), str(fault.get("where") or "")
    if not _NAME.fullmatch(table):
        found.append(
            f"The table of fault {identity} is {show_value(table)}; it must be a name such as trading.orders, and one "
            'with capitals or of a key word stands in double quotes: "Desk"."order".'
        )
    if ";" in where:
        found.append(
            f"The where of fault {identity} is {show_value(where)}; it must be one condition, without a ;."
        )
    if float(fault.get("hold_s") or 0) <= 0:
        found.append(f"Fault {identity} has no hold_s; it must be the seconds the lock is to be held.")
    if str(fault.get("replicas", "one")) not in ("one", "1"):
        found.append(f"Fault {identity} takes a lock in one database; replicas must be one.")
    if fault.get("port") is not None and not is_port(fault["port"]):
        found.append(
            f"The port of fault {identity} is {show_value(fault['port'])}; it must be from 1 to {PORT_MAX}."
        )
    return found


def trial(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> str:
    """Open one session where the holder would, close it, and see that the table is there."""
    plan = from_spec(fault, chosen, site)
    own_sessions.require_login(
        plan.fault, plan.target, own_sessions.login_of(plan, "exchange.chaos trial"), site.root
    )
    if site.engine is None:
        return "ok"
    waiting = own_sessions.server_of(plan, site.engine).granted_locks("exchange.chaos trial", plan.table)
    return f"ok: table {plan.table} is there" + (f", locked by a trial of ours: {waiting}" if waiting else "")


def from_spec(fault: FaultEntry, chosen: Sequence[Container], site: Site) -> LockPlan:
    """Plan it for the one running container of the database."""
    if not chosen or not chosen[0].running or chosen[0].pid <= 0:
        what = f"{chosen[0].name} is {chosen[0].status}" if chosen else "there is no container"
        raise ChaosError(f"A lock can be held in a running database only; {what}.")
    return LockPlan(
        fault=str(fault["id"]),
        target=chosen[0],
        table=str(fault["table"]),
        where=str(fault.get("where") or ""),
        port=int(fault.get("port") or 5432),
        user=str(fault["user"]),
        database=str(fault["database"]),
        administrator=find_administrator(chosen[0], str(fault.get("administrator") or "")),
        password=Secret(fault.get("password")),
        clear_password=bool(fault.get("clear_password")),
        admin=site.admin,
    )


def apply(change: LockPlan, entry: Entry, scene: Scene) -> Applied:
    """Let the holder take the lock, and ask PostgreSQL whether it has it."""
    run = scene.run
    if processes.living_process(run, lock_holder.COMMAND):
        raise ChaosError("Another fault of this run holds a lock in the database already.")
    run.file(lock_holder.SAMPLES).unlink(missing_ok=True)
    write_json(
        run.file(lock_holder.PARAMETERS),
        {
            "pid": change.target.pid,
            "expires": entry.expires,
            "login": own_sessions.login_of(change, mark_of(run)),
            "statements": lock_holder.take_statements(change.table, change.where),
        },
    )
    with scene.instant():
        lease.renew_lease(run, 2 * _START_S)
    ready = processes.start_process(run, lock_holder.COMMAND, timeout=_START_S)
    server = own_sessions.server_of(change, scene.engine)
    return Applied(
        float(ready["held_at"]),
        [_granted(server, run, change.table, change.where, "granted")],
        {"engine": "rows" if change.where else "table", "rows": ready["rows"]},
    )


def _granted(server: LockServer, run: RunDir, table: str, where: str, name: str) -> Proof:
    locks = server.granted_locks(mark_of(run), table)
    wanted = _ROW if where else _EXCLUSIVE
    fact = f"locks of ours on {table}" + (" at the end of the window" if name == "granted_at_end" else "")
    return Proof("engine", fact, ", ".join(locks) or "none", clock.read(), wanted in locks, name=name)


def in_force(entry: Entry, scene: Scene) -> list[Proof]:
    """Ask PostgreSQL once more, read from the holder's samples for how long it had the lock, and count who waited."""
    run, wanted, now = scene.run, entry.undo, clock.read()
    samples = read_lines(run.file(lock_holder.SAMPLES))
    share = held_share(samples, entry.applied_at or entry.planned_at, now)
    most = max((int(sample["waiting"]) for sample in samples), default=0)
    container, _changed = find_database(wanted, scene.engine)
    if container is None:
        fact = "the lock is ours at the end of the window"
        return [Proof("engine", fact, "the database does not run", now, False, share, "granted_at_end")]
    server = administer_database(scene, container, wanted)
    waiting = server.count_waiting(mark_of(run))
    with contextlib.suppress(ChaosError):  # a full disk must not keep the undo from being told
        _tell_waiters(run, entry.fault, samples, waiting)
    granted = _granted(server, run, wanted["table"], wanted["where"], "granted_at_end")
    said = f"{waiting} at the end, {max(most, waiting)} at most"
    return [
        granted,
        Proof("engine", "sessions that waited for it", said, now, max(most, waiting) > 0, share, "waited"),
    ]


def _tell_waiters(run: RunDir, fault: str, samples: Sequence[Line], waiting: int) -> None:
    """Write down how many waited at most, and in how many samples that was every session the application had."""
    drained = [one for one in samples if one["others"] and one["waiting"] >= one["others"]]
    run.write_event(
        timeline.MEASURED, fault=fault, name="waiters", samples=len(samples), drained=len(drained),
        value=max([waiting, *(int(one["waiting"]) for one in samples)]),
        others=max((int(one["others"]) for one in samples), default=0),
    )  # fmt: skip


def held_share(samples: Sequence[Line], start: float, end: float) -> float:
    """Return the part (0..1) of [start, end] in which the holder had its session and its lock.

    A sample counts until the next one, and for a moment at most.
    """
    if end <= start:
        return 0.0
    edges = [*(float(sample["t"]) for sample in samples), end]
    held = 0.0
    for sample, until in zip(samples, edges[1:]):
        if sample["held"]:
            low = max(start, float(sample["t"]))
            held += max(0.0, min(until, float(sample["t"]) + _SPEAKS_S, end) - low)
    return min(1.0, held / (end - start))


def undo(entry: Entry, scene: Scene) -> str:
    """End the holder and see that PostgreSQL has no session of it left; say how."""
    run, wanted = scene.run, entry.undo
    ended = processes.stop_process(run, lock_holder.COMMAND)
    how = "the holder was ended, which freed its lock" if ended else "the holder had ended before"
    container, changed = find_database(wanted, scene.engine)
    if container is None:
        return f"{how}; the database does not run, so it has no session of ours"
    server = administer_database(scene, container, wanted)
    server.wait_until_up(_ANSWERS_S)
    usage = leave_none(server, mark_of(run))
    return f"{how}; PostgreSQL counts {usage.ours} of our sessions{changed}"
