# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the exchange's book: our open orders are taken out of it, and its depth is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..host.http_client import Client, compile_expression
from .orders import Judge, fill_path

_CANCELLING = 8
#: Levels of the book on both sides, wherever the answer keeps them.
DEPTH = "length([data.bids, data.asks, bids, asks][])"


def cancel_order(load: Mapping[str, Any], client: Client, order_id: str) -> tuple[bool, str]:
    """Cancel one order through the API; returns whether it went, and the API's words if not."""
    how = load.get("cancel")
    if not how:
        return False, "load.cancel is not set"
    reply = client.request(str(how.get("method", "DELETE")), fill_path(str(how["path"]), order_id=order_id))
    if not reply.kind and 200 <= reply.status < 300:
        return True, ""
    return False, reply.detail or f"status {reply.status}: {Judge(load)(reply).error or reply.text()}"


def cancel_all(load: Mapping[str, Any], order_ids: Iterable[str]) -> tuple[int, list[str]]:
    """Cancel orders through the API, a few at a time; returns how many went, and each failure in words."""
    ids = list(order_ids)
    if not ids:
        return 0, []
    client = Client(load["url"], timeout=float(load["timeout_s"]), connections=_CANCELLING)
    with ThreadPoolExecutor(_CANCELLING) as pool:
        results = list(pool.map(lambda order_id: cancel_order(load, client, order_id), ids))
    failures = [f"order {order_id}: {words}" for order_id, (went, words) in zip(ids, results) if not went]
    return len(ids) - len(failures), failures


def read_depth(load: Mapping[str, Any], client: Client | None = None) -> int | None:
    """Return the number of levels in the book of the load's symbol, None when it cannot be read."""
    if not load.get("book"):
        return None
    client = client or Client(load["url"], timeout=float(load["timeout_s"]))
    symbol = str(load["order"]["body"].get("symbol", ""))
    reply = client.request("GET", fill_path(str(load["book"]), symbol=symbol))
    if reply.kind or reply.status != 200:
        return None
    found = compile_expression(load.get("depth") or DEPTH, "load.depth")(reply.json())
    return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
