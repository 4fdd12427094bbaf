# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which queries orders are found: the owner's first, the catalogue's columns else, and a refusal for a guess."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.order_queries import (
    OrderQueries,
    take_given,
    write_queries,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders_table import (
    Catalogue,
    read_catalogue,
)

ORDERS = {
    "id": "bigint", "account_id": "bigint", "symbol": "text", "side": "text", "price": "numeric(20,8)",
    "quantity": "numeric(20,8)", "status": "text",
}  # fmt: skip
BODY = {"accountId": 17, "symbol": "CHAOS", "type": "LIMIT"}
DATABASE = {"name": "desk", "user": "reader"}


def catalogue(columns: Mapping[str, str], *names: str) -> Catalogue:
    return read_catalogue(
        [
            [json.dumps({"what": "column", "schema": "market", "table": table, "name": name, "type": kind})]
            for table in names or ("orders",)
            for name, kind in columns.items()
        ]
    )


def written(columns: Mapping[str, str] = ORDERS, **given: str) -> OrderQueries:
    return write_queries(catalogue(columns), {**DATABASE, **given}, BODY)


def test_columns_are_those_of_the_catalogue() -> None:
    found = written()
    condition = "account_id = '17' AND symbol = 'CHAOS' AND price BETWEEN {first} AND {last}"
    assert found.lookup == f"SELECT price FROM market.orders WHERE {condition}"
    assert found.open.startswith(f"SELECT price, id FROM market.orders WHERE {condition} AND status")
    assert (found.unknown, "id id" in found.how) == ("", True)


def test_what_the_owner_gave_stays_and_the_other_is_written() -> None:
    found = written(lookup="SELECT mine")
    assert (found.lookup, found.open[:17]) == ("SELECT mine", "SELECT price, id ")
    assert take_given({"lookup": "a", "open": ""}) is None
    assert take_given({"lookup": "a", "open": "b"}) == OrderQueries("a", "b")


def test_a_column_that_cannot_hold_what_is_sent_is_not_compared() -> None:
    body = {"user_id": "u", "symbol": "CHAOS"}
    columns = {**ORDERS, "user_id": "uuid"}
    assert "user_id" not in write_queries(catalogue(columns), DATABASE, body).lookup


@pytest.mark.parametrize(("kind", "words"), [("integer", "holds no words"), ("", "no column of a status")])
def test_a_state_that_only_its_owner_reads_is_unknown_and_not_open(kind: str, words: str) -> None:
    columns = {name: of for name, of in {**ORDERS, "status": kind}.items() if of}
    found = written(columns)
    assert found.open == ""
    assert words in found.unknown
    assert "give chaos_database.open" in found.unknown
    assert written(columns, open="SELECT mine").unknown == ""


def test_no_table_and_several_are_refused_with_what_to_give() -> None:
    with pytest.raises(
        ChaosError, match=r"None of the 1 tables that reader may read .* chaos_database\.lookup"
    ):
        write_queries(catalogue({"id": "bigint"}), DATABASE, BODY)
    twice = catalogue(ORDERS, "orders", "spot_orders")
    with pytest.raises(ChaosError, match=r"market\.orders and market\.spot_orders look alike"):
        write_queries(twice, DATABASE, BODY)
    assert "look alike" in write_queries(twice, {**DATABASE, "lookup": "SELECT mine"}, BODY).unknown
