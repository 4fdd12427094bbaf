# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks PostgreSQL, read-only and by the existing way in, which table holds the orders and who trades what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..common.errors import ChaosError, PasswordWanted
from ..exchange.database import query_rows
from ..exchange.orders_table import (
    CATALOGUE,
    Recent,
    ask_any,
    ask_one,
    ask_recent,
    ask_symbol,
    ask_users,
    find_symbols,
    list_orders_tables,
    parse_objects,
    read_catalogue,
)
from ..host.docker_engine import DockerEngine
from ..host.http_client import shorten
from .known import SET, KnownSettings
from .parts import Part
from .settings import DatabaseLogin, Stored, choose_trader

#: Ways to log in that are tried.
_LOGINS = 6


class _Database:
    """One database, as one user."""

    def __init__(
        self, engine: DockerEngine, project: str, part: Part, login: DatabaseLogin, more: Mapping[str, Any]
    ) -> None:
        self._engine, self._project = engine, project
        self._database = {
            "service": part.service, "name": login.name, "user": login.user, "port": part.port or 5432, **more
        }  # fmt: skip

    def ask(self, question: str) -> list[list[str]]:
        """Return the answer. Raises ChaosError."""
        return query_rows(self._engine, self._project, self._database, question)


def ask_store(
    engine: DockerEngine, project: str, part: Part, logins: Sequence[DatabaseLogin], known: KnownSettings
) -> Stored:
    """Return what the database tells, by the first way in that shows a table of orders, else the first that works."""
    refused, best, closed = "", None, None
    for login in logins[:_LOGINS]:
        database = _Database(engine, project, part, login, known.store)
        try:
            catalogue = read_catalogue(database.ask(CATALOGUE))
        except ChaosError as error:
            refused = refused or _explain(login, error)
            if isinstance(error.__cause__, PasswordWanted):
                closed = closed or replace(login, why=_explain(login, error), wants_password=True)
            continue
        alike = list_orders_tables(catalogue)
        login = replace(login, password_given=bool(known.password) and login.how != SET)
        found = Stored(login, catalogue, next(iter(alike), None), alike=alike)
        if found.orders:
            found.hold_trader(known.user, known.symbol, SET)
            _ask_orders(database, found, known.likely_user)
            return found
        best = best or found
    if closed:
        return Stored(closed)
    return best or Stored(
        DatabaseLogin(why=refused or "no user of it was found in an environment or a session")
    )


def _explain(login: DatabaseLogin, error: ChaosError) -> str:
    """Return why a way in did not work, without the question that was asked."""
    said = shorten(str(error).partition(". Check")[0])
    if isinstance(error.__cause__, PasswordWanted):
        said = "it asks for a password, even inside its own container: set chaos_database.password, too"
    return f"user {login.user} ({login.how}) could not ask database {login.name}: {said}"


def _ask_orders(database: _Database, found: Stored, likely_user: str) -> None:
    """Fill in what the latest orders, the users and the symbols tell; what may not be read stays empty."""
    orders = found.orders
    if orders is None:
        return
    try:
        found.recent = Recent(parse_objects(database.ask(ask_recent(orders))))
        if not found.user:
            _ask_user(database, found, likely_user)
        listed = find_symbols(found.catalogue, orders)
        if not found.symbol and listed:
            table, column = listed
            found.symbol = _first(database, ask_symbol(table, column), "symbol")
            found.symbol_how = (
                f"a symbol whose name says that it is for tests, in {table.schema}.{table.name}"
            )
        choose_trader(found)
        if not found.symbol and listed:
            table, column = listed
            found.symbol = _first(database, ask_any(table, column, "symbol"), "symbol")
            found.symbol_how = f"any one of {table.schema}.{table.name}; name one that is yours alone"
            found.guessed.add("chaos_symbol")
    except ChaosError as error:
        found.login = replace(found.login, why=shorten(str(error).partition(". Check")[0]))


def _ask_user(database: _Database, found: Stored, likely: str) -> None:
    """Look for a user for tests in the table that orders refer to; without orders, for anybody there.

    ``likely`` is taken where there is such a user.
    """
    orders = found.orders
    if orders is None:
        return
    column = orders.columns.get("user", "")
    far = found.catalogue.foreign.get((orders.table.schema, orders.table.name, column))
    table = next((one for one in found.catalogue.tables if far and (one.schema, one.name) == far[:2]), None)
    if far is None or table is None:
        return
    where = f"{table.schema}.{table.name}, which {orders.table.name}.{column} refers to"
    if likely:
        found.user = _first(database, ask_one(table, far[2], "user", likely), "user")
    if found.user:
        found.user_how = f"the user of the embedded exchange, who is in {where}, too"
        return
    question = ask_users(table, far[2])
    found.user = _first(database, question, "user") if question else ""
    found.user_how = f"a user whose name says that it is for tests, in {where}" if found.user else ""
    if not found.user and not found.recent.values_of("user"):
        found.user = _first(database, ask_any(table, far[2], "user"), "user")
        found.user_how = f"any one of {where}; name one of yours, who may trade for a test"
        found.guessed.add("chaos_user_id")


def _first(database: _Database, question: str, key: str) -> str:
    rows = Recent(parse_objects(database.ask(question)))
    return next(iter(rows.values_of(key)), "")
