# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order's form is taken from OpenAPI 3, Swagger 2, or from how an API lists its orders."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.order_form import (
    ANY_ID,
    list_readings,
    list_symbols,
    read_document,
    read_listed,
)


def openapi() -> dict[str, Any]:
    """As FastAPI writes it: references, anyOf with null, an enumeration of its own."""
    order = {
        "type": "object",
        "required": ["accountId", "instrument", "side", "qty", "venue", "clientTag"],
        "properties": {
            "accountId": {"type": "string", "format": "uuid"},
            "instrument": {"type": "string"},
            "side": {"$ref": "#/components/schemas/Side"},
            "orderType": {"allOf": [{"$ref": "#/components/schemas/Kind"}], "default": "limit"},
            "qty": {"type": "number"},
            "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "venue": {"enum": ["main", "dark"]},
            "clientTag": {"type": "string"},
        },
    }
    answer = {"properties": {"data": {"$ref": "#/components/schemas/Placed"}, "success": {"type": "boolean"}}}
    return {
        "openapi": "3.1.0",
        "servers": [{"url": "http://localhost:8000/trade"}],
        "paths": {
            "/v2/orders": {
                "get": {},
                "post": {
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}}
                    },
                    "responses": {"202": {"content": {"application/json": {"schema": answer}}}, "422": {}},
                },
            },
            "/v2/orders/{oid}": {"get": {}},
            "/v2/orders/{oid}/cancel": {"post": {}},
            "/v2/depth/{instrument}": {"get": {}},
            "/v2/health": {"get": {}},
        },
        "components": {
            "schemas": {
                "New": order,
                "Side": {"enum": ["buy", "sell"]},
                "Kind": {"enum": ["limit", "market"]},
                "Placed": {"properties": {"orderId": {"type": "string"}, "state": {}}},
            }
        },
    }


def test_openapi_with_references() -> None:
    form = read_document(openapi())
    assert form is not None
    assert form.path == "/trade/v2/orders"
    assert form.fields == {
        "user": "accountId", "symbol": "instrument", "side": "side", "kind": "orderType", "quantity": "qty",
        "price": "price",
    }  # fmt: skip
    assert form.words["side"] == ["buy", "sell"]
    assert form.words["kind"] == ["limit", "market"]
    assert form.fixed == {"venue": "main"}
    assert form.unknown == ["clientTag"]
    assert (form.statuses, form.expression, form.order_id) == ([202], "success", "data.orderId")
    assert form.cancel == {"method": "POST", "path": "/trade/v2/orders/{order_id}/cancel"}
    assert form.book == "/trade/v2/depth/{symbol}"
    assert "/trade/v2/health" in list_readings(openapi())


def test_swagger_2() -> None:
    document = {
        "swagger": "2.0",
        "basePath": "/api",
        "definitions": {"O": {"properties": {"symbol": {}, "side": {}, "quantity": {}, "price": {}}}},
        "paths": {
            "/orders": {"post": {"parameters": [{"in": "body", "schema": {"$ref": "#/definitions/O"}}]}},
            "/orders/{id}": {"delete": {}},
        },
    }
    form = read_document(document)
    assert form is not None
    assert (form.path, form.cancel["path"]) == ("/api/orders", "/api/orders/{order_id}")
    assert form.order_id == ANY_ID


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"paths": []},
        {"paths": {"/orders": []}},
        {"paths": {"/orders": {"post": {"requestBody": {"$ref": "#/a"}}}}, "a": {"$ref": "#/a"}},
        {"paths": {"/x\n{{ 1 }}/orders": {"post": openapi()["paths"]["/v2/orders"]["post"]}}},
        {"paths": {"/users": {"post": {}}}},
    ],
)
def test_what_describes_no_order_gives_none(document: Any) -> None:
    assert read_document(document) is None


def test_a_schema_that_holds_itself_ends() -> None:
    document = openapi()
    document["components"]["schemas"]["New"]["allOf"] = [{"$ref": "#/components/schemas/New"}] * 3
    assert read_document(document) is not None


def test_an_enveloped_list() -> None:
    body = {"success": True, "data": [{"order_id": "1", "user_id": "u", "symbol": "S", "side": "BUY", "type": "LIMIT",
                                       "quantity": "1", "price": "2", "status": "NEW"}]}  # fmt: skip
    form = read_listed("/api/orders", body)
    assert (form.order_id, form.expression) == ("data.order_id", "success")
    assert form.fields["kind"] == "type"
    assert "status" not in form.fields


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"id": 1}], "id || data.id || order.id"),
        ({"orders": [{"orderId": 1}]}, "orderId || order.orderId || orderId"),
        ({"data": {"items": [{"uuid": 1}]}}, "data.uuid"),
        (None, ANY_ID),
    ],
)
def test_the_id_of_other_lists(body: Any, expected: str) -> None:
    assert read_listed("/orders", body).order_id == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"success": True, "data": [{"symbol": "A-B", "price": 1}, {"symbol": 7}]}, ["A-B"]),
        (["X", "Y\n", ""], ["X", "Y"]),
        ({"symbols": [{"ticker": "T"}]}, ["T"]),
        ({"data": "none"}, []),
        (None, []),
    ],
)
def test_the_symbols_of_a_market(body: Any, expected: list[str]) -> None:
    assert list_symbols(body) == expected


def test_an_order_is_known_by_its_fields_where_its_path_is_called_otherwise() -> None:
    document = openapi()
    paths = document["paths"]
    renamed = {path.replace("orders", "entries"): methods for path, methods in paths.items()}
    assert renamed != paths
    form = read_document({**document, "paths": renamed})
    assert form is not None
    assert form.path.endswith("entries")
    assert form.cancel["path"] == f"{form.path}/{{order_id}}/cancel"
    quote = {"post": {"requestBody": {"content": {"application/json": {"schema": {
        "type": "object", "properties": {"price": {}, "quantity": {}, "symbol": {}}}}}}}}  # fmt: skip
    assert read_document({**document, "paths": {"/quotes": quote}}) is None
