# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of orders is found by names and types, and what was found becomes the variables of an inventory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.api import ApiAnswers
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.order_form import (
    read_document,
    read_listed,
)
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.parts import find_parts
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.settings import (
    DatabaseLogin,
    Setting,
    Stored,
    build_settings,
    choose_listed,
    choose_trader,
    count_missing,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders_table import (
    Catalogue,
    Recent,
    ask_recent,
    find_orders_table,
    list_orders_tables,
    quote_name,
    read_catalogue,
)

from tests.unit.discovery import stacks
from tests.unit.discovery.test_order_form import openapi

ORDERS = {
    "id": "bigint", "account_id": "bigint", "instrument": "text", "side": "market.side", "order_type": "text",
    "qty": "numeric(20,8)", "price": "numeric(20,6)", "state": "text", "created_at": "timestamp with time zone",
}  # fmt: skip


def rows(table: str, columns: Mapping[str, str], schema: str = "market") -> list[list[str]]:
    """Return rows of the catalogue's answer for a table, parted at | as psql's are."""
    return [
        json.dumps(
            {"what": "column", "schema": schema, "table": table, "name": name, "type": kind, "rows": 9}
        ).split("|")
        for name, kind in columns.items()
    ]


def catalogue(**changed: str) -> Catalogue:
    """Return a catalogue with orders, their history, and words of a side and a state."""
    more: list[dict[str, Any]] = [
        {"what": "word", "type": "market.side", "text": "bid"},
        {"what": "word", "type": "market.side", "text": "ask"},
        {"what": "check", "schema": "market", "table": "orders", "columns": ["state"],
         "text": "CHECK ((state = ANY (ARRAY['open'::text, 'done'::text])))"},
        {"what": "foreign", "schema": "market", "table": "orders", "columns": ["account_id"],
         "other_schema": "market", "other_table": "accounts", "other_columns": ["id"]},
    ]  # fmt: skip
    answer = (
        rows("order_audit", ORDERS) + rows("orders", {**ORDERS, **changed}) + rows("notes", {"a|b": "text"})
    )
    return read_catalogue([*answer, *([json.dumps(one)] for one in more), ["no JSON"]])


def stored(**changed: str) -> Stored:
    """Return what a database told."""
    found = catalogue(**changed)
    recent = Recent([{"user": "7", "symbol": "ABC", "price": "250.125", "kind": "LMT"}] * 2 + [{"user": "8"}])
    known = Stored(DatabaseLogin("markets", "trader", "sessions"), found, find_orders_table(found), recent)
    choose_trader(known)
    return known


def settings(known: Stored, asked: ApiAnswers | None) -> dict[str, Setting]:
    """Return the settings of the FastAPI stack by variable."""
    project = stacks.fastapi()
    found = build_settings(project, find_parts(project), known, asked, {})
    return {one.variable: one for one in found}


def test_the_table_of_orders_and_not_its_history() -> None:
    found = find_orders_table(catalogue())
    assert found is not None
    assert found.table.name == "orders"
    assert found.columns["quantity"] == "qty"
    assert found.words_of("side", catalogue()) == ["bid", "ask"]
    assert found.words_of("status", catalogue()) == ["open", "done"]
    assert "ORDER BY created_at DESC" in ask_recent(found)


def test_of_tables_that_look_alike_the_one_that_refers_to_others_goes_first_and_neither_is_taken() -> None:
    """A copy of the table has its columns, and no key; which one the API writes to, an order alone shows."""
    copy = rows("orders", ORDERS, schema="a_desk")
    keys = [
        json.dumps({"what": "primary", "schema": "market", "table": "orders", "columns": ["id"]}).split("|")
    ]
    both = list_orders_tables(read_catalogue([*copy, *rows("orders", ORDERS), *keys]))
    assert [one.table.schema for one in both] == ["market", "a_desk"]
    known = replace(stored(), orders=both[0], alike=both)
    asked = ApiAnswers("http://127.0.0.1:8000", read_document(openapi()), answers=True)
    found = settings(known, asked)["chaos_database"]
    assert set(found.missing) == {"lookup"}
    assert found.missing["lookup"].startswith(
        "a_desk.orders and market.orders look alike; -e discover_trial=true"
    )
    assert set(found.value) == {"name", "user"}


def test_a_password_that_is_lacking_is_the_one_thing_that_is_asked_for() -> None:
    """What the database alone tells is left out; where the password may be is said, and not what it is."""
    asked = ApiAnswers("http://127.0.0.1:8000", read_document(openapi()), answers=True)
    asked.readiness = asked.health = {"path": "/health", "expect": {"status": 200}}
    closed = Stored(
        DatabaseLogin("markets", "trader", "sessions", "it asks for a password", wants_password=True)
    )
    found = settings(closed, asked)
    assert {name: one.missing for name, one in found.items() if one.missing} == {
        "chaos_database": {
            "password": "it asks for a password; environments hold POSTGRES_PASSWORD of db and DATABASE_URL of web"
        }
    }
    assert {name for name, one in found.items() if one.after == "chaos_database.password"} == {
        "chaos_user_id", "chaos_symbol", "chaos_order", "chaos_order_side", "chaos_order_price"
    }  # fmt: skip


def test_without_such_a_table_there_is_none() -> None:
    assert find_orders_table(read_catalogue(rows("people", {"name": "text", "price": "numeric"}))) is None


def test_a_hostile_name_is_quoted_for_sql() -> None:
    assert quote_name('a"; DROP TABLE x; --') == '"a""; DROP TABLE x; --"'


def test_a_name_that_means_something_else_is_quoted_for_sql() -> None:
    """Unquoted, ``user`` is who asks, without an error, and ``order`` ends the query."""
    assert [quote_name(name) for name in ("user", "order", "orderId", "orders")] == [
        '"user"', '"order"', '"orderId"', "orders"
    ]  # fmt: skip


def test_openapi_and_catalogue_together_leave_one_thing_open() -> None:
    asked = ApiAnswers("http://127.0.0.1:8000", read_document(openapi()), answers=True)
    asked.readiness = asked.health = {"path": "/health", "expect": {"status": 200}}
    found = settings(stored(), asked)
    assert count_missing(list(found.values())) == 1
    assert found["chaos_order"].missing == {
        "body.clientTag": "the API's description asks for it and names no value"
    }
    assert found["chaos_order"].value["body"] == {
        "venue": "main", "accountId": 7, "instrument": "{{ chaos_symbol }}", "orderType": "limit", "qty": 1
    }  # fmt: skip
    assert found["chaos_order_side"].value == {"field": "side", "values": ["sell", "buy"]}
    assert found["chaos_order_price"].value == {"field": "price", "base": "250", "decimals": 6}
    assert found["chaos_database"].value["lookup"] == (
        "SELECT price FROM market.orders WHERE account_id = '7' AND instrument = 'ABC' "
        "AND price BETWEEN {first} AND {last}"
    )
    assert found["chaos_database"].value["open"].endswith("AND state IN ('open')")
    assert all(one.how or one.parts or one.missing for one in found.values())


def test_without_openapi_the_rows_tell() -> None:
    asked = ApiAnswers("http://127.0.0.1:8000", read_listed("/orders", None), answers=True)
    found = settings(stored(), asked)
    assert found["chaos_order"].value["body"] == {
        "account_id": 7, "instrument": "{{ chaos_symbol }}", "order_type": "LMT", "qty": 1
    }  # fmt: skip
    assert "as the table's columns are called" in found["chaos_order"].how
    assert found["chaos_order_side"].value["values"] == ["ask", "bid"]


def test_a_price_that_is_a_float_is_to_be_filled_in() -> None:
    found = settings(stored(price="double precision"), None)
    assert (
        "double precision" in found["chaos_order_price"].missing["decimals"]
        if "chaos_order_price" in found
        else True
    )
    asked = ApiAnswers("http://127.0.0.1:8000", read_listed("/orders", None), answers=True)
    found = settings(stored(price="double precision"), asked)
    assert "double precision" in found["chaos_order_price"].missing["decimals"]


@pytest.mark.parametrize("variable", ["chaos_order", "chaos_api_url", "chaos_readiness"])
def test_without_an_api_what_was_tried_is_said(variable: str) -> None:
    (tried,) = settings(stored(), None)[variable].missing.values()
    assert "API" in tried


def test_a_listed_symbol_is_taken_where_there_is_no_order() -> None:
    known = Stored()
    choose_listed(known, ["BTC", "TEST-1"], "listed by GET /market")
    assert known.symbol == "TEST-1"
    choose_listed(known, ["BTC"], "listed by GET /market")
    assert (known.symbol, known.symbol_how) == ("BTC", "listed by GET /market; name one that is yours alone")


def test_of_an_empty_table_the_look_ups_have_places_for_user_and_symbol() -> None:
    found = catalogue()
    table = find_orders_table(read_catalogue(rows("orders", {**ORDERS, "user_id": "uuid", "symbol": "text"})))
    known = Stored(DatabaseLogin("markets", "trader", "sessions"), found, table)
    asked = ApiAnswers("http://127.0.0.1:8000", read_listed("/orders", []), answers=True)
    lookup = settings(known, asked)["chaos_database"].value["lookup"]
    assert "user_id = '{user_id}' AND symbol = '{symbol}'" in lookup


def test_a_symbol_for_tests_goes_before_others() -> None:
    known = Stored(recent=Recent([{"user": "7", "symbol": "ABC"}] * 5 + [{"user": "8", "symbol": "CHAOS"}]))
    choose_trader(known)
    assert (known.user, known.symbol) == ("7", "CHAOS")
