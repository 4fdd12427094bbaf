# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client may ask for, checked: JSON in, an Order or one clear sentence out."""

from __future__ import annotations

import json
import re
import uuid
from decimal import Decimal, InvalidOperation
from typing import Any

from .matching import Order
from .settings import SYMBOLS

DECIMALS = 8  # of a price and a quantity: DECIMAL(20,8)
LARGEST = Decimal(10) ** 12
PLAIN_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?")


class BadRequest(Exception):
    """The client's mistake."""

    def __init__(self, code: str, message: str, details: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


def order(body: bytes, deadline: float) -> Order:
    """Parse the body of POST /api/orders; raises BadRequest."""
    try:
        fields = json.loads(body, parse_float=Decimal)  # a float would lose decimals of a price
    except ValueError as error:
        raise BadRequest("INVALID_JSON", "The body is not JSON.", str(error)) from None
    if not isinstance(fields, dict):
        raise BadRequest("INVALID_JSON", "The body is not a JSON object.", f"got {type(fields).__name__}")
    side = one_of(fields, "side", ("BUY", "SELL"))
    kind = one_of(fields, "type", ("LIMIT", "MARKET"))
    return Order(
        user_id=order_id(fields.get("user_id"), "user_id"),
        symbol=symbol(fields.get("symbol")),
        side=side,
        type=kind,
        quantity=amount(fields, "quantity"),
        price=amount(fields, "price") if kind == "LIMIT" else None,
        deadline=deadline,
    )


def one_of(fields: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """A field that must be one of a few words."""
    value = fields.get(name)
    if value not in choices:
        raise BadRequest(
            f"INVALID_{name.upper()}", f"{name} must be {' or '.join(choices)}.", f"got {value!r}"
        )
    return str(value)


def symbol(value: Any) -> str:
    """A symbol that is traded here."""
    if not isinstance(value, str) or value not in SYMBOLS:
        raise BadRequest("INVALID_SYMBOL", f"symbol must be one of {', '.join(SYMBOLS)}.", f"got {value!r}")
    return value


def order_id(value: Any, name: str = "order_id") -> uuid.UUID:
    """A UUID."""
    try:
        return uuid.UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise BadRequest(f"INVALID_{name.upper()}", f"{name} must be a UUID.", f"got {value!r}") from None


def amount(fields: dict[str, Any], name: str) -> Decimal:
    """A positive decimal number with at most 8 decimals, given as a number or as text."""
    value = fields.get(name)
    text = str(value)
    try:
        if isinstance(value, bool) or not PLAIN_NUMBER.fullmatch(text):
            raise InvalidOperation
        number = Decimal(text)
    except InvalidOperation:
        raise BadRequest(f"INVALID_{name.upper()}", f"{name} must be a number.", f"got {value!r}") from None
    if not 0 < number < LARGEST:
        raise BadRequest(
            f"INVALID_{name.upper()}", f"{name} must be above 0 and below 10^12.", f"got {value}"
        )
    if number != round(number, DECIMALS):
        raise BadRequest(
            f"INVALID_{name.upper()}", f"{name} must not have more than 8 decimals.", f"got {value}"
        )
    return number


def limit(text: str | None) -> int:
    """How many orders to list, 1 to 1000; 50 when not given."""
    if text is None:
        return 50
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise BadRequest("INVALID_LIMIT", "limit must be a whole number from 1 to 1000.", f"got {text!r}")
    return int(text)
