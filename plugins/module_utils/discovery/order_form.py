# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an order looks like to the API: from its own description (OpenAPI 3, Swagger 2), else from what it lists. Pure.

An :class:`OrderForm` says which field carries what, and how the answer is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..common import bounds
from ..exchange.orders_table import flatten_name, match_names

#: Where an API describes itself, by habit of its kind.
DOCUMENTS = (
    "/openapi.json",
    "/api/openapi.json",
    "/swagger.json",
    "/v3/api-docs",
    "/api-docs.json",
    "/api/docs.json",
)
#: Where orders are listed and placed, where nobody says.
ORDER_PATHS = ("/api/orders", "/orders", "/api/v1/orders", "/v1/orders", "/api/order", "/order")
#: An object of an API's own description.
Node = Mapping[str, Any]

_ORDERS = re.compile(r"(^|/)orders?/?$", re.IGNORECASE)
_BOOK = re.compile(r"book|depth", re.IGNORECASE)
#: A path that is written as it is; one with other letters is nobody's.
_PATH = re.compile(r"/[\w./{}-]*", re.ASCII)
_GOOD = ("201", "200", "202", "2XX", "default")
_STEPS = 24
#: Rows of a list, and letters of a symbol, that are looked at.
_MOST, _LONGEST = 500, 60
_ENVELOPES = ("data", "order", "result", "item", "payload")
_LISTS = (
    *_ENVELOPES,
    "orders",
    "items",
    "results",
    "content",
    "records",
    "symbols",
    "instruments",
    "tickers",
)
_IDS = ("order_id", "id", "uuid", "order_uuid")
#: What an API's refusal calls its cause: of those that are known, whichever is there.
ERROR = "error.details || error.message || error.code || detail || message || error"
#: The id of an order in an answer whose form is not known.
ANY_ID = "data.order_id || data.id || order_id || id || orderId || data.orderId || order.id"


@dataclass
class OrderForm:
    """How an order is placed. ``fields``: part of an order → the field that carries it; ``fixed``: other fields."""

    path: str
    method: str = "POST"
    fields: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [200, 201])
    expression: str = ""
    order_id: str = ANY_ID
    cancel: dict[str, str] = field(default_factory=dict)
    book: str = ""
    book_how: str = ""
    how: str = ""


def read_document(document: Any) -> OrderForm | None:
    """Return the order's form from an API's own description, None where it describes no order."""
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        return None
    prefix, operations = _prefix(document), list(_list_operations(document))
    posts = [
        (path, method, operation, schema)
        for path, method, operation in operations
        if method == "post" or (method == "put" and "{" not in path)
        for schema in [_body_of(document, operation)]
        if schema and (_ORDERS.search(path) or _describes_order(schema))
    ]

    def _rank(post: tuple[str, str, Node, Node]) -> tuple[bool, int, str, str]:
        path, method, _operation, schema = post
        return not _ORDERS.search(path), -len(match_names(list(schema.get("properties", {})))), path, method

    ranked = sorted(posts, key=_rank)
    if not ranked:
        return None
    path, method, operation, schema = ranked[0]
    form = OrderForm(path=prefix + path, method=method.upper(), how="the API's own description")
    _read_fields(document, schema, form)
    _read_answer(document, operation, form)
    _read_neighbours(operations, path, prefix, form)
    return form if "price" in form.fields and "quantity" in form.fields else None


def _describes_order(schema: Node) -> bool:
    """Return whether what is sent is an order, whatever its path is called: it has a price, a quantity and a side."""
    return {"price", "quantity", "side", "symbol"} <= set(match_names(list(schema.get("properties", {}))))


def list_readings(document: Any) -> list[str]:
    """Return the paths without parameters that an API's description offers to be read (GET)."""
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        return []
    prefix = _prefix(document)
    return [
        prefix + path for path, method, _ in _list_operations(document) if method == "get" and "{" not in path
    ]


def _prefix(document: Node) -> str:
    """Return what stands before every path: of Swagger 2 its basePath, of OpenAPI 3 its first server's path."""
    base = document.get("basePath")
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        try:
            base = urlsplit(str(servers[0].get("url") or "")).path
        except ValueError:
            base = ""
    text = str(base or "").rstrip("/")
    return text if _PATH.fullmatch(text) and "{" not in text else ""


def _list_operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    for path, methods in list(document["paths"].items())[:500]:
        for method, operation in methods.items() if isinstance(methods, dict) else ():
            if isinstance(operation, dict) and _PATH.fullmatch(str(path)):
                yield str(path), str(method).lower(), operation


def _body_of(document: Node, operation: Node) -> Node:
    """Return the schema of what is sent, {} where no JSON is."""
    body = _resolve(document, operation.get("requestBody"))
    if body:
        return _schema_of(document, body)
    for parameter in _list_of(operation.get("parameters")):
        found = _resolve(document, parameter)
        if found.get("in") == "body":
            return _flatten_schema(document, found.get("schema"))
    return {}


def _schema_of(document: Node, holder: Node) -> Node:
    """Return the schema of a body or an answer: of OpenAPI 3 that of its JSON, of Swagger 2 its own."""
    content = holder.get("content")
    if isinstance(content, dict):
        for kind, media in content.items():
            if "json" in str(kind) and isinstance(media, dict):
                return _flatten_schema(document, media.get("schema"))
    return _flatten_schema(document, holder.get("schema"))


def _flatten_schema(document: Node, schema: Any, steps: int = _STEPS) -> dict[str, Any]:
    """Return a schema with its reference resolved and its parts (allOf, the first useful of anyOf and oneOf) put in."""
    found = dict(_resolve(document, schema))
    if steps <= 0:
        return found
    parts = [_flatten_schema(document, one, steps // 2) for one in _list_of(found.get("allOf"))]
    choices = [*_list_of(found.get("anyOf")), *_list_of(found.get("oneOf"))]
    chosen = [_flatten_schema(document, one, steps // 2) for one in choices]
    parts += [one for one in chosen if one.get("type") != "null"][:1]
    for part in parts:
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict):
                found["properties"] = {**value, **found.get("properties", {})}
            elif key == "required" and isinstance(value, list):
                found["required"] = [*value, *_list_of(found.get("required"))]
            else:
                found.setdefault(key, value)
    if not isinstance(found.get("properties"), dict):
        found["properties"] = {}
    return found


def _resolve(document: Node, value: Any) -> Node:
    """Return what a reference within the document (``#/components/…``) leads to; {} for what is no object."""
    for _step in range(_STEPS):
        if not isinstance(value, dict):
            return {}
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        value = document if reference.startswith("#/") else None
        for word in reference[2:].split("/"):
            key = word.replace("~1", "/").replace("~0", "~")
            value = value.get(key) if isinstance(value, dict) else None
    return {}


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_fields(document: Node, schema: Node, form: OrderForm) -> None:
    """Take the fields of an order from its schema; of what else is required a value that is allowed."""
    properties = {str(name): _flatten_schema(document, one) for name, one in schema["properties"].items()}
    form.fields = {
        part: name
        for part, name in match_names(list(properties)).items()
        if part not in ("id", "time", "status")
    }
    for part, name in form.fields.items():
        form.words[part] = [str(word) for word in _list_of(properties[name].get("enum"))]
        if not form.words[part] and "const" in properties[name]:
            form.words[part] = [str(properties[name]["const"])]
    for name in _list_of(schema.get("required")):
        if name in form.fields.values() or name not in properties:
            continue
        one = properties[name]
        known = [
            *[one[key] for key in ("default", "const", "example") if key in one],
            *_list_of(one.get("enum")),
        ]
        known += _list_of(one.get("examples"))
        plain = [value for value in known if isinstance(value, (str, int, float))]
        if plain:
            form.fixed[str(name)] = plain[0]
        else:
            form.unknown.append(str(name))


def _read_answer(document: Node, operation: Node, form: OrderForm) -> None:
    """Take the status of an acknowledgement and the place of the order's id from the described answer."""
    answers = operation.get("responses")
    if not isinstance(answers, dict):
        return
    good = [code for code in _GOOD if code in answers]
    statuses = [int(code) for code in answers if str(code).isdigit() and 200 <= int(code) < 300]
    form.statuses = statuses or form.statuses
    if not good:
        return
    properties = _schema_of(document, _resolve(document, answers[good[0]])).get("properties") or {}
    shapes = {"": properties}
    for name in _ENVELOPES:
        if name in properties:
            shapes[f"{name}."] = _flatten_schema(document, properties[name])["properties"]
    for prefix, fields in reversed(shapes.items()):
        name = _find_id(fields)
        if name:
            form.order_id = f"{prefix}{name}"
            break
    form.expression = "success" if "success" in properties else ""


def _find_id(names: Node) -> str:
    flat = {flatten_name(str(name)): str(name) for name in names}
    return next((flat[flatten_name(one)] for one in _IDS if flatten_name(one) in flat), "")


def _read_neighbours(
    operations: Sequence[tuple[str, str, Node]], path: str, prefix: str, form: OrderForm
) -> None:
    """Take how an order is cancelled, and where the book is, from the paths beside the order's."""
    for other, method, _operation in operations:
        rest = other[len(path.rstrip("/")) :] if other.startswith(path.rstrip("/")) else ""
        if method == "delete" and re.fullmatch(r"/\{\w+\}/?", rest):
            form.cancel = {"method": "DELETE", "path": prefix + _named(other)}
        elif method in ("post", "put") and re.fullmatch(r"/\{\w+\}/cancel/?", rest) and not form.cancel:
            form.cancel = {"method": method.upper(), "path": prefix + _named(other)}
        elif method == "get" and _BOOK.search(other) and other.count("{") == 1 and not form.book:
            form.book = prefix + re.sub(r"\{\w+\}", "{symbol}", other)


def _named(path: str) -> str:
    return re.sub(r"\{\w+\}", "{order_id}", path)


def read_listed(path: str, body: Any) -> OrderForm:
    """Return the order's form from an answer that lists orders: names of fields, and how the answer is wrapped."""
    form = OrderForm(path=path, how=f"orders as GET {path} lists them")
    place, rows = _find_rows(body)
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    names = match_names([str(name) for name in first])
    form.fields = {part: name for part, name in names.items() if part not in ("id", "time", "status")}
    name = _find_id(first) or "order_id"
    if isinstance(body, dict):
        wrapped = f"data.{name}" if place == "data" or "data" in body else name
        form.order_id = f"{wrapped} || order.{name} || {name}" if wrapped == name else wrapped
        form.expression = "success" if body.get("success") is True else ""
    elif first:
        form.order_id = f"{name} || data.{name} || order.{name}"
    form.cancel = {"method": "DELETE", "path": f"{path}/{{order_id}}"}
    return form


def list_symbols(body: Any) -> list[str]:
    """Return the symbols in an answer that lists a market: texts, or objects with a field of a symbol's name."""
    found = []
    for row in _find_rows(body)[1][:_MOST]:
        name = match_names([str(key) for key in row]).get("symbol", "") if isinstance(row, dict) else ""
        symbol = row.get(name) if name else row
        if isinstance(symbol, str) and symbol:
            found.append(bounds.fit_line(symbol, _LONGEST))
    return found


def _find_rows(body: Any) -> tuple[str, list[Any]]:
    """Return where in an answer the list stands, and the list."""
    if isinstance(body, list):
        return "", body
    for name in _LISTS:
        inner = body.get(name) if isinstance(body, dict) else None
        if isinstance(inner, list):
            return name, inner
        if isinstance(inner, dict):
            for deeper in _LISTS:
                if isinstance(inner.get(deeper), list):
                    return name, inner[deeper]
    return "", []
