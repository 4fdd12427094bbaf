# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The holder of a lock: one session of PostgreSQL with a transaction that takes it, does nothing, and never commits.

Its socket is opened inside the network namespace of the database's container. Whatever ends this process (the undo, the
fault's expiry, the run's end, a SIGKILL) ends the session, because the kernel closes its socket, and with the session
goes the lock. Should the process stand still, PostgreSQL ends the session itself (idle_in_transaction_session_timeout).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from ...common import bounds, clock
from ...common.errors import ChaosError
from ...common.json_files import read_json
from ...common.jsonl import Writer
from ...common.shapes import Line
from ...host import netns
from ...host.postgres.query import ask_session
from ...host.postgres.wire import Login, Session
from ...run.folder import RunDir
from ...run.lifespan import Lifespan

COMMAND = "lock_holder"
PARAMETERS = "lock.json"
SAMPLES = "lock.jsonl"
#: Between two looks at who waits for it, seconds.
_PAUSE_S = 0.25
#: Our own wait for the lock: those who come after it wait behind us already.
_WAIT_MS = 5000
#: PostgreSQL ends the session after it heard nothing of it for so long.
_HEARD_MS = 10000
#: One answer, and how long after its expiry a holder that hangs may still be there, seconds.
_ANSWER_S, _LATE_S = 5.0, 1.0
#: Whoever waits for our session, or for one that does, and all sessions of our role but ours. A transaction sees the
#: activity as it was when it first looked, unless it is told to look again.
_LOOK = (
    "SELECT pg_stat_clear_snapshot()",
    "WITH RECURSIVE queued AS MATERIALIZED (SELECT pid, pg_blocking_pids(pid) AS by FROM "
    "(SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) AS waiting), "
    "behind(pid) AS (SELECT pg_backend_pid() UNION SELECT queued.pid FROM queued JOIN behind ON behind.pid = ANY(by)) "
    "SELECT (SELECT count(*) - 1 FROM behind), (SELECT count(*) FROM pg_stat_activity "
    "WHERE usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend')",
)


_TABLE = "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
_ROWS = "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {where} FOR UPDATE) AS locked"


def take_statements(table: str, where: str) -> list[str]:
    """Return the statements of the transaction that holds a table's lock, or that of the rows that meet ``where``."""
    return [
        "BEGIN",
        f"SET LOCAL lock_timeout = {_WAIT_MS}",
        "SET LOCAL statement_timeout = 0",
        f"SET LOCAL idle_in_transaction_session_timeout = {_HEARD_MS}",
        (_ROWS if where else _TABLE).format(table=table, where=where),
    ]


def main(run: RunDir) -> int:
    """Take the lock, say so, and hold it until told, or until the expiry; look meanwhile who waits for it."""
    life = Lifespan(run)
    wanted = read_json(run.file(PARAMETERS))
    netns.enter_netns(int(wanted["pid"]))
    expires = float(wanted["expires"])
    # should this process ever hang, the kernel ends it (SIGALRM), and with it the session
    signal.setitimer(signal.ITIMER_REAL, max(0.1, expires - clock.read() + _LATE_S))
    try:
        session = Session.open(Login(**wanted["login"]))
        rows = _take(session, wanted["statements"])
    except (ChaosError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    samples = Writer(run.file(SAMPLES))
    run.register_process(COMMAND, held_at=clock.read(), rows=rows)
    while not life.stopping and clock.read() < expires:
        sample = _look(session)
        samples.write(sample)
        if not sample["held"]:
            break
        clock.sleep(_PAUSE_S)
    session.close()
    return 0


def _take(session: Session, statements: Sequence[str]) -> int | None:
    """Take the lock; returns how many rows it is on, None of a table. Raises ChaosError with the server's reason."""
    rows: list[list[str]] = []
    for statement in statements:
        try:
            rows = ask_session(session, statement, within=_WAIT_MS / 1000 + _ANSWER_S)
        except ChaosError as error:
            raise ChaosError(f"PostgreSQL would not give the lock ({statement}): {error}.") from error
    if not rows:
        return None
    (count,) = _read_numbers(rows, 1)
    if not count:
        raise ChaosError(f"No row is there to lock: {statements[-1]} found none.")
    return count


def _read_numbers(rows: Sequence[Sequence[str]], count: int) -> list[int]:
    """Return the whole numbers of the one row that was asked for. Raises ChaosError for anything else."""
    words = rows[0] if rows else []
    if len(words) != count or not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise ChaosError(
            f"PostgreSQL answered {bounds.fit_line(str(rows), 100)} where {count} numbers were asked for."
        )
    return [int(word) for word in words]


def _look(session: Session) -> Line:
    """Return who waits for our session, and how many sessions its role has besides; ``held`` is false once it ended."""
    try:
        for question in _LOOK:
            rows = ask_session(session, question, within=_ANSWER_S)
        waiting, others = _read_numbers(rows, 2)
    except (ChaosError, OSError) as error:
        return {"t": clock.read(), "held": False, "waiting": 0, "others": 0, "problem": str(error)}
    return {"t": clock.read(), "held": True, "waiting": waiting, "others": others, "problem": ""}
