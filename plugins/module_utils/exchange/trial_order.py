# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight's one order: a free range of numbers, then sent, found in the database and cancelled again."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.shapes import LoadEntry
from ..host.http_client import Reply, shorten
from .database import Store
from .open_orders import wait_until_closed
from .order_book import Cancelling, cancel_all, cancel_order, open_client, read_depth
from .orders import SPAN, SPANS, Judge, Numbering, OrderTemplate

#: An order counts as found when the look-up shows it within this time (s): a store may lag its API.
FOUND_S = 3.0
#: A trial order that failed without being refused goes once more, after this time (s).
_AGAIN_S = 1.0
_SERVER_ERROR = 500
#: Who asks is not let in.
_NOT_LET_IN = (401, 403)
_TRIES = 20
_TRIES_WIDE = 3
#: A wide range is worth looking for where so many would fit beside each other.
_RANGES = 16


def choose_numbers(store: Store, price: Mapping[str, Any]) -> dict[str, int]:
    """Return {first_number, span} of a range of numbers of which the database holds none, at random.

    At random, so that two runs in a row cannot take each other's orders for theirs; the widest range that the prices
    and the orders of earlier runs leave room for. Raises ChaosError when the look-up fails or no free range was found.
    """
    room = Numbering.from_price(price, 0).room
    spans = [span for span in SPANS if span * _RANGES <= room] or [SPAN]
    for span in spans:
        for _attempt in range(_TRIES if span == spans[-1] else _TRIES_WIDE):
            # Even, so that a pair never straddles two ranges.
            first = 2 * random.randrange((room - span) // 2 + 1)
            if not store.count_orders(Numbering.from_price(price, first, span), first, first + span - 1):
                return {"first_number": first, "span": span}
    raise ChaosError(
        f"No free range of {SPAN} order numbers was found in {_TRIES} tries: the database holds orders of this user "
        "and symbol all over the price range; give another base of chaos_order_price, or a symbol of its own."
    )


class OrderNotAllowed(ChaosError):
    """The API has the address, and takes no order there by that method; ``allowed``: by which it takes something."""

    def __init__(self, words: str, allowed: str) -> None:
        """Keep what is allowed, as the API says it: ``GET,PUT``."""
        super().__init__(words)
        self.allowed = [one.strip().upper() for one in allowed.split(",") if one.strip()]


class OrderNotStored(ChaosError):
    """The API took the order, and the look-up did not find it."""


@dataclass
class TrialOrder:
    """What preflight's one order showed: how long each step took, and what is worth a warning.

    filled: somebody had traded with it before it could be cancelled, so it is closed. stored_id: what the database
    calls it, as open orders are asked for; empty where that is not known.
    """

    order_id: str
    accepted_ms: float
    found_ms: float
    cancelled: bool
    depth: int | None
    filled: bool = False
    stored_id: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def known_alike(self) -> bool:
        """Return whether the API and the database call the order the same, as far as that is known."""
        return not self.stored_id or _flatten_id(self.stored_id) == _flatten_id(self.order_id)

    @property
    def ending(self) -> str:
        """Return in words how it ended."""
        return "cancelled" if self.cancelled else "filled at once" if self.filled else "not cancelled"


def place_trial_order(load: LoadEntry, store: Store) -> TrialOrder:
    """Send one order, find it in the database, cancel it. Raises ChaosError with one sentence for what is wrong.

    An exchange that fails to answer once is asked once more, as its clients would; the result says so.
    """
    template = OrderTemplate(load)
    client = open_client(load)
    number, hiccup = template.numbering.trial, ""
    while True:
        reply = client.request(template.method, template.path, template.body(number, 0))
        verdict = Judge(load)(reply)
        if verdict.ok and (verdict.order_id or not load["order_id"]):
            break
        _withdraw(load, store, template.numbering)
        if hiccup or not (reply.kind or reply.status >= _SERVER_ERROR):
            break
        hiccup = verdict.error or verdict.kind
        clock.sleep(_AGAIN_S)
    if not verdict.ok:
        words = _refusal(load, template, reply, verdict.error or verdict.kind)
        raise OrderNotAllowed(words, reply.allowed) if reply.allowed else ChaosError(words)
    if not verdict.order_id and load["order_id"]:
        raise ChaosError(
            f"The API accepted the trial order but chaos_order_id ({load['order_id']}) found no id in its answer: "
            f"{reply.text() or 'it has no body'}. Where no answer tells one, set chaos_order_id to an empty text, and "
            "the database is asked."
        )
    begun, stored_id = clock.read(), ""
    try:
        found = _wait_for(store, template.numbering, number)
        found_ms = round((clock.read() - begun) * 1000, 1)
        stored_id = _read_stored_id(store, template.numbering) if found else ""
    finally:
        order_id = verdict.order_id or stored_id
        if order_id:
            answer = cancel_order(load, client, order_id)
        else:
            answer = Cancelling("", False, "neither the API's answer nor the database tells its id")
        if hiccup:
            _withdraw(load, store, template.numbering)  # the first may have been stored after all
    if not found:
        raise OrderNotStored(
            f"The API accepted the trial order (id {verdict.order_id or 'not told'}, {load['price']['field']} "
            f"{template.numbering.price_of(number)}) but the look-up did not find it in the database within "
            f"{FOUND_S:g} s; check lookup and name of chaos_database, and that chaos_api_url belongs to this exchange."
        )
    result = TrialOrder(
        order_id=answer.order_id,
        accepted_ms=round((reply.end - reply.sent) * 1000, 1),
        found_ms=found_ms,
        cancelled=answer.went,
        depth=read_depth(load, client),
        stored_id=stored_id,
    )
    if hiccup:
        result.warnings.append(f"The trial order failed once ({hiccup}) and went in {_AGAIN_S:g} s later.")
    if found > 1:
        result.warnings.append(f"The trial order stands {found} times in the database.")
    _judge_closing(result, store, template.numbering, answer)
    if not result.known_alike:
        result.warnings.append(
            f"The API calls the trial order {result.order_id}, and the database {result.stored_id}, as open orders "
            "are asked for: what stays open could not be cancelled; give chaos_database.open, whose second column is "
            "the id that the API knows."
        )
    if result.depth is None:
        book = load.get("book") or "chaos_order_book (not set)"
        result.warnings.append(f"The depth of the book could not be read from {book}.")
    return result


def _flatten_id(text: str) -> str:
    """Return an id without what a store and an API may write differently: a UUID's dashes, and the letters' case."""
    return text.replace("-", "").lower()


def _read_stored_id(store: Store, numbering: Numbering) -> str:
    """Return what the database calls the trial order, "" where it does not tell."""
    with suppress(ChaosError):
        return next(
            (one for _number, one in store.list_waiting(numbering, numbering.trial, numbering.trial)), ""
        )
    return ""


def _judge_closing(result: TrialOrder, store: Store, numbering: Numbering, answer: Cancelling) -> None:
    """See in the database that the trial order is closed: cancelled, or filled before it could be."""
    closed = wait_until_closed(store, numbering, numbering.trial, FOUND_S)
    if closed is None and store.queries.unknown:
        result.warnings.append(f"Whether orders stay open is not known: {store.queries.unknown}")
    result.filled = closed is True and not answer.went
    if closed is False and answer.went:
        result.cancelled = False
        result.warnings.append(
            f"The API says that it cancelled the trial order {result.order_id}, but after {FOUND_S:g} s the database "
            f"still has it open, as it is asked by: {store.show_open(numbering)}"
        )
    elif not closed and not answer.went:
        result.warnings.append(
            f"The trial order {result.order_id} could not be cancelled ({answer.words}); "
            "orders that are open at the end of the run would stay open too."
        )


def _wait_for(store: Store, numbering: Numbering, number: int) -> int:
    until = clock.read() + FOUND_S
    while True:
        rows = store.count_orders(numbering, number, number)[number]
        if rows or clock.read() > until:
            return rows
        time.sleep(0.2)


def _withdraw(load: LoadEntry, store: Store, numbering: Numbering) -> None:
    """Cancel a trial order that may have gone in without telling its id; what cannot be done here is no news."""
    with suppress(ChaosError):
        cancel_all(
            load,
            [
                order_id
                for _number, order_id in store.list_waiting(numbering, numbering.trial, numbering.trial)
                if order_id
            ],
        )


def _refusal(load: LoadEntry, template: OrderTemplate, reply: Reply, words: str) -> str:
    """One sentence for a trial order that did not go in."""
    where = f"{template.method} {str(load['url']).rstrip('/')}{template.path}"
    if reply.kind:
        return f"The API cannot be reached ({words}) at {load['url']}: {_advise(load, words, reply.kind)}."
    if reply.status in (404, 405):
        allowed = f" (allowed there: {reply.allowed})" if reply.allowed else ""
        return (
            f"{where} answered {reply.status}{allowed}: that API has no such address; check chaos_api_url, and path "
            "and method of chaos_order."
        )
    error = (reply.json() or {}).get("error") if isinstance(reply.json(), dict) else None
    if isinstance(error, dict):
        words = ", ".join(f"{key}: {error[key]}" for key in ("code", "message", "details") if error.get(key))
    if 200 <= reply.status < 300:
        expected = f"{load['accept'].get('status')} and {load['accept'].get('expression')}"
        return f"{where} answered {reply.status}, but not as chaos_order_accept expects ({expected}): {reply.text()}"
    refused = f"The API refused the trial order with status {reply.status}: {shorten(words)}."
    if reply.status in _NOT_LET_IN:
        return f"{refused} It lets in who has a token or a key: set chaos_api_headers, or check what is set."
    return f"{refused} Check chaos_user_id, chaos_symbol, and the other fields of chaos_order.body."


def _advise(load: LoadEntry, words: str, kind: str) -> str:
    """Return what helps where the API gave no answer."""
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return (
            "set chaos_api_ca to a file with the authority that its certificate is of, and in chaos_api_url the name "
            "that the certificate has"
        )
    if kind in ("reset", "other") and str(load["url"]).startswith("http://"):
        return "check chaos_api_url, which begins with https:// where the API speaks TLS"
    return "check chaos_api_url, and chaos_ports.api where it is not set"
