# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order of ours: the number it carries, its exact text, and what the API's answer to it means. Pure.

The API takes no client id, so each order carries its number in the low decimals of its price:
number 123456 on base 100 with 8 decimals is the price 100.00123456, kept by a DECIMAL(20,8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from ..common.errors import ChaosError
from ..host.http_client import Expectation, Reply, compile_expression, shorten

#: Numbers a run claims where there is room for a free range of so many, the most first: half an hour at 500 orders per
#: second, else at 36. The last pair is kept for preflight's trial order; the rest is for the load.
SPANS = (1 << 20, 1 << 18, 1 << 16)
SPAN = SPANS[-1]
#: The longest price of a database that is read, characters, and the most digits of an order's number.
_PRICE, _DIGITS = 64, 18
_PLACE = "@price of the order@"


@dataclass(frozen=True)
class Numbering:
    """The numbers of one run and the prices that carry them.

    base: the price without a number; decimals: how many the store keeps; first: the run's first number; span: how
    many there are.
    """

    base: Decimal
    decimals: int
    first: int
    span: int = SPAN

    @classmethod
    def from_price(
        cls, price: Mapping[str, Any], first: int | None = None, span: int | None = None
    ) -> Numbering:
        """Build from ``load.price`` of a run's specification."""
        number = price.get("first_number", 0) if first is None else first
        numbers = price.get("span", SPAN) if span is None else span
        return cls(Decimal(str(price["base"])), int(price["decimals"]), int(number), int(numbers))

    @property
    def orders(self) -> int:
        """How many orders the load may number."""
        return self.span - 2

    @property
    def last(self) -> int:
        """The last number that the load may use."""
        return self.first + self.orders - 1

    @property
    def trial(self) -> int:
        """The number of preflight's trial order, outside what the ledger counts."""
        return self.first + self.span - 1

    @property
    def room(self) -> int:
        """How many numbers fit below the next whole unit of price."""
        return int(10**self.decimals)

    def nth(self, k: int) -> tuple[int, int]:
        """Return number and side (0 or 1) of the k-th order of the run; two in a row are a pair.

        Side 0 sells and side 1 buys one step higher, so the pair clears itself. Pairs go down in price: a sell
        whose buy failed lies above every later buy and is not taken by one, which would leave that one's sell
        waiting, and so on to the end of the run.
        """
        pair, side = divmod(k, 2)
        return self.first + self.orders - 2 * (pair + 1) + side, side

    def price_of(self, number: int) -> str:
        """Return the price that carries ``number``, with all its digits."""
        return format(self.base + Decimal(number).scaleb(-self.decimals), f".{self.decimals}f")

    def number_in(self, price: str) -> int:
        """Return the number that a stored price carries. Raises ChaosError when it carries none."""
        try:
            steps = (Decimal(price[:_PRICE]) - self.base).scaleb(self.decimals)
            # one of a million digits would be written out in full
            number = int(steps) if steps.is_finite() and steps.adjusted() < _DIGITS else -1
        except (ArithmeticError, ValueError):
            number, steps = -1, Decimal(0)
        if number < 0 or number != steps:
            raise ChaosError(
                f"The database look-up returned {price!r} where a price such as {self.price_of(self.first)} "
                "was expected; check database.lookup: its first column must be the value that carries the "
                "order's number."
            )
        return number


class OrderTemplate:
    """The owner's order with the places for side and price filled in."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        """Prepare from ``load`` of a run's specification. Raises ChaosError when it is no usable template."""
        order = load["order"]
        self.method = str(order.get("method", "POST"))
        self.path = str(order["path"])
        self.numbering = Numbering.from_price(load["price"])
        self.sides = [str(value) for value in load["side"]["values"]]
        if len(self.sides) != 2:
            raise ChaosError(f"load.side.values must be two, the selling word first; it is {self.sides}.")
        place = json.dumps(_PLACE)
        self._halves = []
        for side in self.sides:
            body = set_field(
                set_field(order["body"], load["side"]["field"], side), load["price"]["field"], _PLACE
            )
            before, after = json.dumps(body, separators=(",", ":")).split(place)
            self._halves.append((before, after))

    def body(self, number: int, side: int) -> bytes:
        """Return the request body; the price is a JSON number with exact digits, never a rounded float."""
        before, after = self._halves[side]
        return f"{before}{self.numbering.price_of(number)}{after}".encode()


@dataclass(frozen=True)
class Verdict:
    """What became of one order, as its sender learned it."""

    ok: bool
    kind: str
    order_id: str | None
    error: str | None


class Judge:
    """Turns the API's answers into verdicts, by the owner's expressions."""

    def __init__(self, load: Mapping[str, Any]) -> None:
        """Compile ``load.accept``, ``load.order_id`` and ``load.error``. Raises ChaosError on a bad expression."""
        self._accept = Expectation.parse(load["accept"], "load.accept")
        #: an API whose answers tell no id: the database has it
        self._order_id = compile_expression(load["order_id"] or "`null`", "load.order_id")
        self._error = compile_expression(load.get("error"), "load.error")

    def __call__(self, reply: Reply) -> Verdict:
        """Judge one reply."""
        body = reply.json()
        kind = self._accept.judge(reply, body)
        if kind == "ok":
            order_id = self._order_id(body)
            return Verdict(True, "ok", None if order_id is None else str(order_id), None)
        if reply.kind:
            return Verdict(False, kind, None, reply.detail)
        return Verdict(False, kind, None, self._words(reply, body))

    def _words(self, reply: Reply, body: Any) -> str:
        """The API's own words: what the owner's expression finds, else the body as it came."""
        said = self._error(body)
        if isinstance(said, str) and said:
            return shorten(said)
        if said and said is not True:
            return shorten(json.dumps(said))
        return reply.text() or f"status {reply.status} with an empty body"


def set_field(body: Mapping[str, Any], field: str, value: str) -> dict[str, Any]:
    """Return a body with a field set; ``variables.order.price`` is one inside of others, which GraphQL wants."""
    first, dot, rest = field.partition(".")
    if not dot or field in body:
        return {**body, field: value}
    inner = body.get(first)
    return {**body, first: set_field(inner if isinstance(inner, Mapping) else {}, rest, value)}


def fill_body(body: Any, **values: str) -> bytes:
    """Return a body as it is sent, with values put in wherever ``{order_id}`` and the like stand in its texts."""
    return json.dumps(_filled(body, values), separators=(",", ":")).encode()


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    if isinstance(part, Mapping):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_filled(value, values) for value in part]
    for name, value in values.items() if isinstance(part, str) else ():
        part = part.replace(f"{{{name}}}", value)
    return part


def fill_path(path: str, **values: str) -> str:
    """Put values into a path such as ``/api/orders/{order_id}``, each escaped for a URL."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path
