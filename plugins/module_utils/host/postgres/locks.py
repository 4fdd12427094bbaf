# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL says of its locks: who has which, and who waits. Source: pg_locks, pg_blocking_pids()."""

from __future__ import annotations

from .server import Server, quote_text

_GRANTED = (
    "SELECT DISTINCT mode || ' on ' || locktype FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE application_name = '{name}' AND granted "
    "AND (relation = '{table}'::regclass OR locktype = 'transactionid') ORDER BY 1"
)
#: Those who wait for a session, and those who wait for them.
_WAITING = (
    "WITH RECURSIVE queued AS MATERIALIZED (SELECT pid, pg_blocking_pids(pid) AS by FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock'), behind(pid) AS (SELECT pid FROM pg_stat_activity "
    "WHERE application_name = '{name}' UNION SELECT queued.pid FROM queued JOIN behind ON behind.pid = ANY(by)) "
    "SELECT count(*) FROM behind JOIN queued USING (pid)"
)


class LockServer(Server):
    """A database server, asked for its locks."""

    def granted_locks(self, name: str, table: str) -> list[str]:
        """Return the locks granted to sessions with that application_name, on a table and of their transactions."""
        rows = self._ask(_GRANTED.format(name=quote_text(name), table=quote_text(table)))
        return [row[0] for row in rows]

    def count_waiting(self, name: str) -> int:
        """Return how many sessions wait for a lock (wait_event_type Lock) behind those with that application_name."""
        return self._ask_numbers(_WAITING.format(name=quote_text(name)))[0]
