# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the exchange's book: our open orders are taken out of it, and its depth is read."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..common.shapes import LoadEntry
from ..host.http_client import OPEN, Client, compile_expression
from .order_queries import read_trader
from .orders import Judge, fill_body, fill_path

_CANCELLING = 8
_TOO_MANY, _SERVER_ERROR = 429, 500
#: Levels of the book on both sides, wherever the answer keeps them.
DEPTH = "length([data.bids, data.asks, bids, asks][])"


@dataclass(frozen=True)
class Cancelling:
    """What the API answered: whether it went, its words if not; ``strained``: it gave no answer, or failed at it."""

    order_id: str
    went: bool
    words: str = ""
    strained: bool = False


def open_client(load: LoadEntry, connections: int = 1) -> Client:
    """Return a client of the API; ``access`` of ``load``, if it is there, says how that lets us in."""
    access = load.get("access") or OPEN
    return Client(load["url"], timeout=float(load["timeout_s"]), connections=connections, access=access)


def cancel_order(load: LoadEntry, client: Client, order_id: str) -> Cancelling:
    """Cancel one order through the API."""
    how = load.get("cancel")
    if not how:
        return Cancelling(order_id, False, "chaos_order_cancel is not set")
    body = fill_body(how["body"], order_id=order_id) if how.get("body") else None
    path = fill_path(str(how["path"]), order_id=order_id)
    reply = client.request(str(how.get("method", "DELETE")), path, body)
    if not reply.kind and 200 <= reply.status < 300:
        return Cancelling(order_id, True)
    words = reply.detail or f"status {reply.status}: {Judge(load)(reply).error or reply.text()}"
    return Cancelling(
        order_id, False, words, bool(reply.kind) or reply.status == _TOO_MANY or reply.status >= _SERVER_ERROR
    )


def cancel_all(load: LoadEntry, order_ids: Iterable[str]) -> tuple[int, list[str]]:
    """Cancel orders through the API, a few at a time; returns how many went, and each failure in words."""
    ids = list(order_ids)
    if not ids:
        return 0, []
    client = open_client(load, _CANCELLING)
    with ThreadPoolExecutor(_CANCELLING) as pool:
        results = list(pool.map(lambda order_id: cancel_order(load, client, order_id), ids))
    failures = [f"order {order_id}: {one.words}" for order_id, one in zip(ids, results) if not one.went]
    return len(ids) - len(failures), failures


def read_depth(load: LoadEntry, client: Client | None = None) -> int | None:
    """Return the number of levels in the book of the load's symbol, None when it cannot be read."""
    if not load.get("book"):
        return None
    client = client or open_client(load)
    symbol = read_trader(load["order"]["body"])["symbol"]
    reply = client.request("GET", fill_path(str(load["book"]), symbol=symbol))
    if reply.kind or reply.status != 200:
        return None
    found = compile_expression(load.get("depth") or DEPTH, "load.depth")(reply.json())
    return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
