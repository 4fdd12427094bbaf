# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store itself says about our orders: the owner's look-up, run by ``psql`` inside the database's container.

Nothing of ours need be installed there but what the image of a PostgreSQL brings, and no port need be open. A database
on another host (``address`` and ``port``) is asked over TCP instead, by our own few words of its protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..common.errors import ChaosError
from ..common.json_files import read_object
from ..host.docker_engine import DockerEngine
from ..host.http_client import shorten
from ..host.postgres.query import run_query
from ..host.postgres.wire import Login
from ..run.folder import RunDir
from .orders import Numbering

#: The values that carry the numbers, one row for each order. ``{first}`` and ``{last}`` are prices.
LOOKUP = (
    "SELECT price FROM trading.orders "
    "WHERE user_id = '{user_id}' AND symbol = '{symbol}' AND price BETWEEN {first} AND {last}"
)
#: The same for orders that still wait in the book, with the id by which the API cancels them.
OPEN = (
    "SELECT price, order_id FROM trading.orders "
    "WHERE user_id = '{user_id}' AND symbol = '{symbol}' AND price BETWEEN {first} AND {last} "
    "AND status IN ('PENDING', 'PARTIALLY_FILLED')"
)
#: No start-up file, rows only, columns parted by |, and an exit code that tells an error.
_PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
_ENVIRONMENT = {
    "PGCONNECT_TIMEOUT": "5",
    # Whatever an owner writes into the look-up, it changes nothing and ends.
    "PGOPTIONS": "-c default_transaction_read_only=on -c statement_timeout=15000",
}

#: Where the database's password lies in a run's folder (0600), apart from the specification that others read.
SECRETS = "secrets.json"
_NAME = "exchange.chaos look-up"
_TIMEOUT_S = 5.0


def store_of_run(run: RunDir) -> dict[str, Any]:
    """Return ``database`` of a run's specification, with the password that is kept apart."""
    return {**run.spec.database.to_data(), **read_object(run.file(SECRETS))}


class Store:
    """The database of one exchange, asked about the orders of one run."""

    def __init__(
        self, engine: DockerEngine, project: str, database: Mapping[str, Any], load: Mapping[str, Any]
    ) -> None:
        """database and load: those parts of a run's specification."""
        self._engine = engine
        self._project = project
        self._database = database
        body = load["order"]["body"]
        self._values = {"user_id": str(body.get("user_id", "")), "symbol": str(body.get("symbol", ""))}

    def count_orders(self, numbering: Numbering, first: int, last: int) -> Counter[int]:
        """Return how often each number from ``first`` to ``last`` stands in the database.

        Raises ChaosError when the look-up fails or returns what carries no number.
        """
        rows = self._rows(self._database.get("lookup") or LOOKUP, numbering, first, last)
        found = Counter(numbering.number_in(row[0]) for row in rows)
        # An owner's query that ignores the bounds must not count other runs' orders as this one's.
        return Counter({number: count for number, count in found.items() if first <= number <= last})

    def list_waiting(self, numbering: Numbering, first: int, last: int) -> list[tuple[int, str]]:
        """Return number and API id of each order in the range that still waits in the book. Raises ChaosError."""
        rows = self._rows(self._database.get("open") or OPEN, numbering, first, last)
        pairs = [(numbering.number_in(row[0]), row[1]) for row in rows if len(row) > 1 and row[1]]
        return sorted((number, order_id) for number, order_id in pairs if first <= number <= last)

    def _rows(self, template: str, numbering: Numbering, first: int, last: int) -> list[list[str]]:
        values = {**self._values, "first": numbering.price_of(first), "last": numbering.price_of(last)}
        query = fill_query(template, values)
        return query_rows(self._engine, self._project, self._database, query)


def query_rows(
    engine: DockerEngine, project: str, database: Mapping[str, Any], query: str
) -> list[list[str]]:
    """Ask the database, read-only, and return rows of text. Raises ChaosError when it fails."""
    service, name = str(database["service"]), str(database["name"])
    if database.get("address"):
        return _over_tcp(database, query)
    container = engine.container(project, service)
    if not container.running:
        raise ChaosError(
            f"The database cannot be asked: container {container.name} (service {service}) is not running."
        )
    port = str(database.get("port") or 5432)
    argv = [*_PSQL, "-p", port, "-U", str(database["user"]), "-d", name, "-c", query]
    password = database.get("password")
    environment = {**_ENVIRONMENT, **({"PGPASSWORD": str(password)} if password else {})}
    code, output = engine.execute(container.id, argv, environment=environment)
    if code:
        words = shorten(output).rstrip(".") or f"psql ended with {code}"
        raise ChaosError(
            f"The look-up in database {name} of service {service} failed: {words}. "
            f"Check database.name, user and lookup; the query was: {query}"
        )
    return [line.split("|") for line in output.splitlines() if line.strip()]


def _over_tcp(database: Mapping[str, Any], query: str) -> list[list[str]]:
    """Ask a database that has no container here."""
    login = Login(
        str(database["address"]),
        int(database["port"]),
        str(database["user"]),
        str(database["name"]),
        _NAME,
        str(database.get("password") or ""),
        _TIMEOUT_S,
        encrypt=True,
    )
    try:
        return run_query(login, query)
    except ChaosError as error:
        raise ChaosError(
            f"The look-up in database {login.database} on another host failed: {str(error).rstrip('.')}. "
            f"Check chaos_external.database and database.name, user, password and lookup; the query was: {query}"
        ) from error


def fill_query(template: str, values: Mapping[str, str]) -> str:
    """Put values into the owner's query; a quote in a value is doubled, as SQL text wants it."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value.replace("'", "''"))
    return template
