# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks PostgreSQL, read-only and by the existing way in, which table holds the orders and who trades what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..common.errors import ChaosError
from ..exchange.database import query_rows
from ..exchange.orders_table import (
    CATALOGUE,
    Recent,
    ask_any,
    ask_recent,
    ask_users,
    find_orders_table,
    find_symbols,
    parse_objects,
    read_catalogue,
)
from ..host.docker_engine import DockerEngine
from ..host.http_client import shorten
from .parts import Part
from .settings import DatabaseLogin, Stored, choose_trader

#: Ways to log in that are tried.
_LOGINS = 6
#: What PostgreSQL says where it wants a password, in its own words.
_WANTS = "no password supplied"


class _Database:
    """One database, as one user."""

    def __init__(self, engine: DockerEngine, project: str, part: Part, login: DatabaseLogin) -> None:
        self._engine, self._project = engine, project
        self._database = {
            "service": part.service, "name": login.name, "user": login.user, "port": part.port or 5432
        }  # fmt: skip

    def ask(self, question: str) -> list[list[str]]:
        """Return the answer. Raises ChaosError."""
        return query_rows(self._engine, self._project, self._database, question)


def ask_store(engine: DockerEngine, project: str, part: Part, logins: Sequence[DatabaseLogin]) -> Stored:
    """Return what the database tells, by the first way in that shows a table of orders, else the first that works."""
    refused, best = "", None
    for login in logins[:_LOGINS]:
        database = _Database(engine, project, part, login)
        try:
            catalogue = read_catalogue(database.ask(CATALOGUE))
        except ChaosError as error:
            refused = refused or _explain(login, str(error))
            continue
        found = Stored(login, catalogue, find_orders_table(catalogue))
        if found.orders:
            _ask_orders(database, found)
            return found
        best = best or found
    return best or Stored(
        DatabaseLogin(why=refused or "no user of it was found in an environment or a session")
    )


def _explain(login: DatabaseLogin, error: str) -> str:
    """Return why a way in did not work, without the question that was asked."""
    said = shorten(error.partition(". Check")[0])
    if _WANTS in error:
        said = "it asks for a password, even inside its own container: set chaos_database.password, too"
    return f"user {login.user} ({login.how}) could not ask database {login.name}: {said}"


def _ask_orders(database: _Database, found: Stored) -> None:
    """Fill in what the latest orders, the users and the symbols tell; what may not be read stays empty."""
    orders = found.orders
    if orders is None:
        return
    try:
        found.recent = Recent(parse_objects(database.ask(ask_recent(orders))))
        _ask_user(database, found)
        choose_trader(found)
        listed = find_symbols(found.catalogue, orders)
        if not found.symbol and listed:
            table, column = listed
            found.symbol = _first(database, ask_any(table, column, "symbol"), "symbol")
            found.symbol_how = f"any one of {table.schema}.{table.name}; name one that is yours alone"
    except ChaosError as error:
        found.login = replace(found.login, why=shorten(str(error).partition(". Check")[0]))


def _ask_user(database: _Database, found: Stored) -> None:
    """Look for a user for tests in the table that orders refer to; without orders, for anybody there."""
    orders = found.orders
    if orders is None:
        return
    column = orders.columns.get("user", "")
    far = found.catalogue.foreign.get((orders.table.schema, orders.table.name, column))
    table = next((one for one in found.catalogue.tables if far and (one.schema, one.name) == far[:2]), None)
    if far is None or table is None:
        return
    where = f"{table.schema}.{table.name}, which {orders.table.name}.{column} refers to"
    question = ask_users(table, far[2])
    found.user = _first(database, question, "user") if question else ""
    found.user_how = f"a user whose name says that it is for tests, in {where}" if found.user else ""
    if not found.user and not found.recent.values_of("user"):
        found.user = _first(database, ask_any(table, far[2], "user"), "user")
        found.user_how = f"any one of {where}; name one of yours, who may trade for a test"


def _first(database: _Database, question: str, key: str) -> str:
    rows = Recent(parse_objects(database.ask(question)))
    return next(iter(rows.values_of(key)), "")
