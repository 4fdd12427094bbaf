# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which queries the orders of a run are found: the owner's own, else written from the database's catalogue. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..common.errors import ChaosError
from ..common.shapes import DatabaseEntry
from .orders_table import (
    Catalogue,
    OrdersTable,
    find_orders_table,
    list_waiting_words,
    match_names,
    write_lookups,
)

#: Values that a column of numbers, or of UUIDs, can be compared with.
_FITS = {
    r"integer|bigint|smallint|numeric": re.compile(r"-?\d+"),
    r"uuid": re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"),
}


@dataclass(frozen=True)
class OrderQueries:
    """``lookup`` finds all orders of a run, ``open`` those that still wait, "" where the database does not tell.

    how: where they come from; unknown: why open orders are not known.
    """

    lookup: str
    open: str
    how: str = "chaos_database"
    unknown: str = ""


def take_given(database: DatabaseEntry) -> OrderQueries | None:
    """Return the owner's own queries, None where one is missing."""
    lookup, waiting = str(database.get("lookup") or ""), str(database.get("open") or "")
    return OrderQueries(lookup, waiting) if lookup and waiting else None


def write_queries(catalogue: Catalogue, database: DatabaseEntry, body: Mapping[str, object]) -> OrderQueries:
    """Return the queries of a database whose owner gave none, or only one, from its catalogue.

    body: of the order that is sent. Raises ChaosError where no table, or more than one, looks like that of the orders.
    """
    given = {key: str(database.get(key) or "") for key in ("lookup", "open")}
    orders = find_orders_table(catalogue)
    if orders is None or orders.others:
        why = _explain_none(catalogue, database) if orders is None else _explain_several(orders)
        if given["lookup"]:
            return OrderQueries(given["lookup"], "", unknown=f"{why}; give chaos_database.open.")
        raise ChaosError(f"{why}; give chaos_database.lookup and chaos_database.open.")
    table = f"{orders.table.schema}.{orders.table.name}"
    written = write_lookups(
        orders, list_waiting_words(orders.words_of("status", catalogue)), _compared(orders, body)
    )
    unknown = "" if given["open"] or orders.tells_waiting else _explain_silent(table, orders)
    columns = ", ".join(f"{part} {name}" for part, name in orders.columns.items())
    own = " and ".join(f"chaos_database.{key}" for key, query in given.items() if query)
    return OrderQueries(
        given["lookup"] or written["lookup"],
        given["open"] or ("" if unknown else written["open"]),
        f"{f'{own}, else ' if own else ''}the catalogue: table {table} ({columns})",
        unknown,
    )


def read_trader(body: Mapping[str, object]) -> dict[str, str]:
    """Return ``user_id`` and ``symbol`` of an order's body, by whatever name its fields go."""
    body = flatten_body(body)
    fields = match_names(list(body))
    names = {"user_id": fields.get("user", ""), "symbol": fields.get("symbol", "")}
    return {key: str(body.get(key, body.get(name, ""))) for key, name in names.items()}


def flatten_body(body: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a body by their own names, those inside of others too; the outer one counts."""
    inner = [flatten_body(value) for value in body.values() if isinstance(value, Mapping)]
    plain = {key: value for key, value in body.items() if not isinstance(value, Mapping)}
    return {**{key: value for one in inner for key, value in one.items()}, **plain}


def _compared(orders: OrdersTable, body: Mapping[str, object]) -> dict[str, str]:
    """Return what user and symbol are compared with: what is sent, where the column can hold it."""
    body = flatten_body(body)
    fields = match_names(list(body))
    found = {}
    for part in ("user", "symbol"):
        value = str(body.get(fields.get(part, ""), ""))
        kind = orders.table.columns.get(orders.columns.get(part, ""), "")
        fits = next((form for kinds, form in _FITS.items() if re.match(kinds, kind)), None)
        if value and kind and (fits is None or fits.fullmatch(value)):
            found[part] = value
    return found


def _explain_none(catalogue: Catalogue, database: DatabaseEntry) -> str:
    return (
        f"None of the {len(catalogue.tables)} tables that {database.get('user')} may read in database "
        f"{database.get('name')} has columns of a price, a quantity and a side, as orders have"
    )


def _explain_several(orders: OrdersTable) -> str:
    return f"{orders.table.written} and {' and '.join(orders.others[:3])} look alike, and both like a table of orders"


def _explain_silent(table: str, orders: OrdersTable) -> str:
    column = orders.columns.get("status")
    why = f"its column {column} holds no words" if column else "it has no column of a status"
    return f"{table} does not say which orders still wait ({why}); give chaos_database.open."
