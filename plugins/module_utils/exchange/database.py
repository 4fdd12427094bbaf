# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store itself says about our orders: the owner's look-up, asked inside the database's container.

No port need be open there. A database on another host (``address`` and ``port``) is asked over TCP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..common.errors import ChaosError
from ..common.json_files import read_object
from ..common.secret import Secret
from ..common.shapes import DatabaseEntry, LoadEntry
from ..host.docker_engine import DockerEngine
from ..host.http_client import Access
from ..host.postgres.in_container import ask_container
from ..host.postgres.query import run_query
from ..host.postgres.wire import Login
from ..run.folder import RunDir
from .order_queries import OrderQueries, read_trader, take_given, write_queries
from .orders import Numbering
from .orders_table import CATALOGUE, read_catalogue

#: Where the database's passwords lie in a run's folder (0600), and what lets us in at the API: apart from the
#: specification, which others read.
SECRETS = "secrets.json"
_NAME = "exchange.chaos look-up"
_TIMEOUT_S = 5.0
#: What makes the catalogue readable, or needless.
_CHECK = "database.name and user, or give chaos_database.lookup and chaos_database.open"


def store_of_run(run: RunDir) -> dict[str, Any]:
    """Return ``database`` of a run's specification, with the password that is kept apart."""
    password = read_object(run.file(SECRETS)).get("password")
    return {**run.spec.database.to_data(), **({"password": password} if password else {})}


def admin_of_run(run: RunDir) -> Secret:
    """Return the password of the database's administrator in a run, an empty one where none was given."""
    return Secret(read_object(run.file(SECRETS)).get("admin_password"))


def admin_store_of_run(run: RunDir) -> dict[str, Any]:
    """Return ``database`` of a run's specification as its administrator asks it, where one is named."""
    known = store_of_run(run)
    admin = run.spec.database.admin
    if admin is None or not admin.user:
        return known
    return {**known, "user": admin.user, "password": admin_of_run(run).reveal()}


def access_of_run(run: RunDir) -> Access:
    """Return how the API of a run's exchange lets us in."""
    return Access.from_data(read_object(run.file(SECRETS)))


class Store:
    """The database of one exchange, asked about the orders of one run."""

    def __init__(self, engine: DockerEngine, project: str, database: DatabaseEntry, load: LoadEntry) -> None:
        """database and load: those parts of a run's specification."""
        self._engine = engine
        self._project = project
        self._database = database
        self._body = load["order"]["body"]
        self._values = read_trader(self._body)
        self._queries = take_given(database)

    @property
    def queries(self) -> OrderQueries:
        """Return by which queries orders are found: the owner's own, else written from the catalogue, read once.

        Raises ChaosError where the database cannot be asked, or the catalogue does not tell.
        """
        if self._queries is None:
            try:
                rows = query_rows(self._engine, self._project, self._database, CATALOGUE)
            except ChaosError as error:
                # without the question, which is long and nobody's who reads this
                raise ChaosError(
                    f"{str(error).partition('. Check')[0].rstrip('.')}. Check {_CHECK}."
                ) from error
            self._queries = write_queries(read_catalogue(rows), self._database, self._body)
        return self._queries

    def require_primary(self) -> None:
        """Raise ChaosError where the database is a standby: what is written goes elsewhere, and so would its clients.

        One on another host may be asked for look-ups alone. Source: PostgreSQL's documentation, "Recovery Information
        Functions".
        """
        if self._database.get("address"):
            return
        try:
            standby = query_rows(self._engine, self._project, self._database, "SELECT pg_is_in_recovery()")
        except ChaosError:
            return  # who cannot be asked is none that we know; the look-up says why, if it cannot either
        if standby == [["t"]]:
            raise ChaosError(
                f"The database of service {self._database['service']} is a standby, which takes no orders: a fault of "
                "it would show nothing of the one that does; name the primary's service in chaos_services.database."
            )

    def count_orders(self, numbering: Numbering, first: int, last: int) -> Counter[int]:
        """Return how often each number from ``first`` to ``last`` stands in the database.

        Raises ChaosError when the look-up fails or returns what carries no number.
        """
        rows = self._rows(self.queries.lookup, numbering, first, last)
        found = Counter(numbering.number_in(row[0] if row else "") for row in rows)
        # An owner's query that ignores the bounds must not count other runs' orders as this one's.
        return Counter({number: count for number, count in found.items() if first <= number <= last})

    def list_waiting(self, numbering: Numbering, first: int, last: int) -> list[tuple[int, str]]:
        """Return number and id of each order in the range that still waits in the book; the id may be empty.

        Raises ChaosError where the database does not tell.
        """
        if not self.queries.open:
            raise ChaosError(self.queries.unknown)
        rows = self._rows(self.queries.open, numbering, first, last)
        pairs = [(numbering.number_in(row[0] if row else ""), row[1] if len(row) > 1 else "") for row in rows]
        return sorted((number, order_id) for number, order_id in pairs if first <= number <= last)

    def show_open(self, numbering: Numbering) -> str:
        """Return the query that lists the open orders of a run, as a person would ask it."""
        return self._fill(self.queries.open, numbering, numbering.first, numbering.trial)

    def _rows(self, template: str, numbering: Numbering, first: int, last: int) -> list[list[str]]:
        query = self._fill(template, numbering, first, last)
        return query_rows(self._engine, self._project, self._database, query)

    def _fill(self, template: str, numbering: Numbering, first: int, last: int) -> str:
        values = {**self._values, "first": numbering.price_of(first), "last": numbering.price_of(last)}
        return fill_query(template, values)


def query_rows(engine: DockerEngine, project: str, database: DatabaseEntry, query: str) -> list[list[str]]:
    """Ask the database, read-only, and return rows of text. Raises ChaosError when it fails."""
    service, name = str(database["service"]), str(database["name"])
    if database.get("address"):
        return _over_tcp(database, query)
    container = engine.container(project, service)
    if not container.running:
        raise ChaosError(
            f"The database cannot be asked: container {container.name} (service {service}) is not running."
        )
    try:
        return ask_container(engine, container, login_of(database, container.name), query, read_only=True)
    except ChaosError as error:
        raise ChaosError(
            f"The look-up in database {name} of service {service} failed: {str(error).rstrip('.')}. "
            f"Check database.name, user and lookup; the query was: {query}"
        ) from error


def login_of(database: DatabaseEntry, host: str) -> Login:
    """Return with what a session for look-ups is opened; ``host``: an address, or the name of its container."""
    return Login(
        host,
        int(database.get("port") or 5432),
        str(database["user"]),
        str(database["name"]),
        _NAME,
        str(database.get("password") or ""),
        _TIMEOUT_S,
        encrypt=bool(database.get("address")),
        clear_password=bool(database.get("clear_password")),
    )


def _over_tcp(database: DatabaseEntry, query: str) -> list[list[str]]:
    """Ask a database that has no container here."""
    try:
        return run_query(login_of(database, str(database["address"])), query)
    except ChaosError as error:
        raise ChaosError(
            f"The look-up in database {database['name']} on another host failed: {str(error).rstrip('.')}. "
            f"Check chaos_external.database and database.name, user, password and lookup; the query was: {query}"
        ) from error


def fill_query(template: str, values: Mapping[str, str]) -> str:
    """Put values into the owner's query; a quote in a value is doubled, as SQL text wants it."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value.replace("'", "''"))
    return template
