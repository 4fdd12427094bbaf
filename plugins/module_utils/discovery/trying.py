# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends one order as it was found, looks for it in the database and cancels it: only where that was asked for.

It shows what else nobody could know: which of two tables the orders are in, which column has the ids that the API uses,
and that an API takes no order by the method that was guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import ChaosError
from ..exchange.database import Store, query_rows
from ..exchange.orders_table import OrdersTable, ask_row, parse_objects
from ..exchange.trial_order import (
    OrderNotAllowed,
    OrderNotStored,
    TrialOrder,
    choose_numbers,
    place_trial_order,
)
from ..host.docker_engine import DockerEngine
from .exploring import Discovery, Say
from .settings import SYMBOL, USER, Setting, tell_table, write_own_lookups

_TIMEOUT_S = 3.0
#: Settings without which an order can be sent all the same.
_NEEDLESS = ("chaos_services", "chaos_ports", "chaos_readiness", "chaos_health")
#: Of chaos_database, what is given apart, or shown by the order itself.
_GIVEN = {"password", "lookup"}
#: Tables that look alike, each of which may take an order of its own to be told from the others.
_TABLES = 4
#: Methods by which an order can be sent.
_SENDING = ("POST", "PUT", "PATCH")


def try_discovered(engine: DockerEngine, found: Discovery, say: Say) -> None:
    """Send one order as it was found, look for it in the database and cancel it. Raises ChaosError."""
    lacking = [one.variable for one in found.settings if one.after or _lacks(one, found)]
    if lacking:
        raise ChaosError(f"No trial order was sent: {', '.join(lacking)} must be filled in first.")
    values = {one.variable: one.value for one in found.settings}
    order = found.find_setting("chaos_order")
    try:
        tried, table = _place_in_its_table(engine, found, values)
    except OrderNotAllowed as error:
        _ask_for_method(order, error.allowed)
        raise
    say(
        "ok",
        f"Trial order accepted in {tried.accepted_ms:g} ms, found in the database, {tried.ending}",
    )
    if table and not tried.known_alike:
        _find_id_column(engine, found, values, table, tried)
    for warning in tried.warnings:
        say("warn", warning)
    for one in found.settings:
        if one.variable.startswith("chaos_order") and one.variable not in (
            "chaos_order_error",
            "chaos_order_book",
        ):
            proven = (
                "a trial order showed it" if one.variable != "chaos_order_cancel" or tried.cancelled else ""
            )
            one.how = "; ".join(text for text in (one.how, proven) if text)


def _lacks(one: Setting, found: Discovery) -> bool:
    """Return whether no order can be sent before a variable is filled in."""
    if one.variable in _NEEDLESS:
        return False
    if one.variable == "chaos_database" and not found.stored.login.wants_password:
        return bool(set(one.missing) - _GIVEN)
    return bool(one.missing)


def _place_in_its_table(
    engine: DockerEngine, found: Discovery, values: Mapping[str, Any]
) -> tuple[TrialOrder, OrdersTable | None]:
    """Send an order and find it; of tables that look alike, send one for each until it is found in one.

    Returns what it showed, and the table. Raises ChaosError.
    """
    setting, stored = found.find_setting("chaos_database"), found.stored
    form = found.asked.form if found.asked else None
    if "lookup" not in setting.missing:
        return _place(engine, found, values, setting.value), stored.orders
    refused: ChaosError | None = None
    for table in stored.alike[:_TABLES]:
        lookups = write_own_lookups(stored, form, table)
        try:
            tried = _place(engine, found, values, {**setting.value, **lookups})
        except OrderNotStored as error:
            refused = error
            continue
        setting.value.update(lookups)
        setting.missing.pop("lookup")
        others = ", ".join(table.others)
        setting.parts["lookup"] = (
            f"{tell_table(table)}; a trial order was stored there, and {others} looks alike"
        )
        return tried, table
    raise refused or ChaosError("No trial order was sent: no table looks like one of orders.")


def _place(
    engine: DockerEngine, found: Discovery, values: Mapping[str, Any], database: Mapping[str, Any]
) -> TrialOrder:
    """Send an order, with the look-ups of ``database``. Raises ChaosError."""
    services, ports, asked = values["chaos_services"], values["chaos_ports"], found.asked
    load: dict[str, Any] = {
        "url": asked.url if asked else "",
        "order": _fill_in(values["chaos_order"], values),
        "side": values["chaos_order_side"],
        "price": values["chaos_order_price"],
        "accept": values["chaos_order_accept"],
        "order_id": values["chaos_order_id"],
        "error": values["chaos_order_error"],
        "cancel": values["chaos_order_cancel"],
        "book": values["chaos_order_book"],
        "timeout_s": _TIMEOUT_S,
    }  # fmt: skip
    if asked:
        load["access"] = asked.access
    where = {"service": services["database"], "port": ports["database"], "password": found.password}
    store = Store(engine, values["chaos_project"], {**database, **where}, load)
    load["price"] = {**load["price"], **choose_numbers(store, load["price"])}
    return place_trial_order(load, store)


def _ask_for_method(order: Setting, allowed: Sequence[str]) -> None:
    """Have a person say how orders go in, where the API says that it takes none by the method that was guessed."""
    method, path = order.value["method"], order.value["path"]
    refused = f"{method} {path} was answered with 405, and {', '.join(allowed)} is allowed there"
    if any(one in allowed for one in _SENDING if one != method):
        order.value = {key: value for key, value in order.value.items() if key != "method"}
        order.missing["method"] = refused
    else:
        order.missing[""] = f"{refused}: orders go in elsewhere"


def _find_id_column(
    engine: DockerEngine, found: Discovery, values: Mapping[str, Any], table: OrdersTable, tried: TrialOrder
) -> None:
    """Take the column that has the id by which the API knows the trial order, where there is one such."""
    setting, form = found.find_setting("chaos_database"), found.asked.form if found.asked else None
    where = {"service": values["chaos_services"]["database"], "port": values["chaos_ports"]["database"]}
    asked = {**setting.value, **where, "password": found.password}
    question = ask_row(table, tried.stored_id)
    rows = parse_objects(query_rows(engine, values["chaos_project"], asked, question))
    names = [name for name, value in (rows[0] if rows else {}).items() if str(value) == tried.order_id]
    if len(names) != 1:
        return
    own = OrdersTable(table.table, {**table.columns, "id": names[0]}, table.others)
    setting.value.update(write_own_lookups(found.stored, form, own))
    setting.parts["open"] = f"{names[0]} has the id by which the API knows an order: a trial order showed it"
    tried.warnings = [one for one in tried.warnings if tried.stored_id not in one]


def _fill_in(order: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order whose body has the user and the symbol themselves where the inventory refers to them."""
    known = {USER: values["chaos_user_id"], SYMBOL: values["chaos_symbol"]}
    body = {
        name: known.get(value, value) if isinstance(value, str) else value
        for name, value in order["body"].items()
    }
    return {**order, "body": body}
