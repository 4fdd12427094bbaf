# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order of ours: its number survives in its price, its pair clears itself, its answer is understood."""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import (
    order_book,
    order_queries,
    trial_order,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders import (
    SPAN,
    Judge,
    Numbering,
    OrderTemplate,
    fill_body,
    fill_path,
    set_field,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Reply, compile_expression

LOAD: dict[str, Any] = {
    "url": "http://127.0.0.1:8080",
    "timeout_s": 3,
    "order": {
        "method": "POST",
        "path": "/api/orders",
        "body": {"user_id": "u", "symbol": "CHAOS", "type": "LIMIT"},
    },
    "accept": {"status": 201, "expression": "success"},
    "order_id": "data.order_id",
    "error": "error.details || error.message || error.code",
    "price": {"field": "price", "base": "100", "decimals": 8, "first_number": 123456},
    "side": {"field": "side", "values": ["SELL", "BUY"]},
}
NUMBERING = Numbering(Decimal("100"), 8, 123456)


def test_the_price_carries_the_number_with_all_its_digits() -> None:
    assert NUMBERING.price_of(123456) == "100.00123456"
    assert OrderTemplate(LOAD).body(123456, 0).decode().endswith('"side":"SELL","price":100.00123456}')


@pytest.mark.parametrize("base", ["100", "0.5", "250.25", "123456789012", "99999999999.99999999"])
def test_no_digit_is_lost_on_the_way_into_the_request_and_back(base: str) -> None:
    """With a base of twelve digits a float would round the number away; the request must not hold one."""
    load = {**LOAD, "price": {**LOAD["price"], "base": base, "first_number": 99_934_464}}
    template = OrderTemplate(load)
    for number in (template.numbering.first, template.numbering.last, template.numbering.trial):
        sent = json.loads(template.body(number, 1), parse_float=Decimal)
        assert sent["price"] == Decimal(base) + Decimal(number) / 10**8
        assert template.numbering.number_in(str(sent["price"])) == number
        assert sent["side"] == "BUY"


def test_a_field_may_lie_inside_of_others_as_graphql_has_it() -> None:
    order = {"query": "mutation …", "variables": {"order": {"userId": "u", "symbol": "CHAOS", "price": 1}}}
    load = {
        **LOAD,
        "order": {"path": "/graphql", "body": order},
        "price": {**LOAD["price"], "field": "variables.order.price"},
        "side": {"field": "variables.order.side", "values": ["SELL", "BUY"]},
    }
    sent = json.loads(OrderTemplate(load).body(123456, 1), parse_float=Decimal)
    assert sent["variables"]["order"] == {
        "userId": "u", "symbol": "CHAOS", "side": "BUY", "price": Decimal("100.00123456")
    }  # fmt: skip
    assert sent["query"] == order["query"]
    assert order_queries.read_trader(order) == {"user_id": "u", "symbol": "CHAOS"}


def test_a_name_with_a_dot_in_it_stays_one_field() -> None:
    assert set_field({"order.price": 1}, "order.price", "2") == {"order.price": "2"}


def test_a_cancelling_may_have_a_body() -> None:
    body = {"query": "mutation", "variables": {"id": "{order_id}", "all": ["{order_id}", 7]}}
    assert json.loads(fill_body(body, order_id='a"b')) == {
        "query": "mutation", "variables": {"id": 'a"b', "all": ['a"b', 7]}
    }  # fmt: skip


def test_a_quote_in_the_owners_values_does_not_break_the_request() -> None:
    load = {**LOAD, "order": {**LOAD["order"], "body": {"symbol": 'C"H\\AOS', "note": "@price"}}}
    assert json.loads(OrderTemplate(load).body(123456, 0))["symbol"] == 'C"H\\AOS'


@pytest.mark.parametrize("price", ["", "abc", "99.99999999", "100.001234565", "NaN", "FILLED"])
def test_a_stored_value_that_carries_no_number_is_refused_in_words(price: str) -> None:
    with pytest.raises(ChaosError, match=r"check database\.lookup"):
        NUMBERING.number_in(price)


def test_every_order_of_a_run_has_a_number_of_its_own_and_the_trial_has_none_of_them() -> None:
    numbers = [NUMBERING.nth(k)[0] for k in range(NUMBERING.orders)]
    assert sorted(numbers) == list(range(NUMBERING.first, NUMBERING.last + 1))
    assert NUMBERING.last < NUMBERING.trial < NUMBERING.first + SPAN


def test_a_pair_sells_first_and_buys_one_step_higher() -> None:
    for k in range(0, 200, 2):
        (sell, sells), (buy, buys) = NUMBERING.nth(k), NUMBERING.nth(k + 1)
        assert (sells, buys) == (0, 1)
        assert buy == sell + 1


@pytest.mark.parametrize("seed", range(5))
def test_a_sell_whose_buy_failed_is_left_alone_by_all_later_buys(seed: int) -> None:
    """In a book with price priority. A program that counts prices upwards fails here at the first lost buy."""
    dice = random.Random(seed)
    book: dict[int, int] = {}  # price -> pair of the sells that wait
    lost = 0
    for k in range(400):
        number, side = NUMBERING.nth(k)
        if side == 0:
            book[number] = k // 2
        elif dice.random() < 0.1:
            lost += 1
        else:
            best = min((price for price in book if price <= number), default=None)
            assert best is not None
            assert book.pop(best) == k // 2
    assert lost > 5
    assert len(book) == lost


def reply(status: int = 0, body: bytes = b"", kind: str = "", detail: str = "") -> Reply:
    return Reply(1.0, 2.0, status, body, kind, detail)


GOOD = b'{"success": true, "data": {"order_id": "7"}}'


@pytest.mark.parametrize(
    ("answer", "ok", "kind", "order_id", "error"),
    [
        (reply(201, GOOD), True, "ok", "7", None),
        (reply(200, GOOD), False, "error", None, GOOD.decode()),
        (reply(201, b'{"success": false, "error": {"code": "NO"}}'), False, "error", None, "NO"),
        (reply(201, b'{"success": "true"}'), False, "error", None, '{"success": "true"}'),
        (reply(201, b""), False, "empty", None, "status 201 with an empty body"),
        (reply(500, b"  \n"), False, "empty", None, "status 500 with an empty body"),
        (reply(500, b'{"error": {"code": "E", "message": "m", "details": "d"}}'), False, "error", None, "d"),
        (reply(500, b'{"error": {"code": "E", "message": "m", "details": null}}'), False, "error", None, "m"),
        (reply(500, b'{"error": {"details": {"cause": "disk"}}}'), False, "error", None, '{"cause": "disk"}'),
        (reply(502, b"<html>\n Bad  Gateway</html>"), False, "error", None, "<html> Bad Gateway</html>"),
        (reply(kind="timeout", detail="no answer"), False, "timeout", None, "no answer"),
        (reply(kind="refused", detail="x refused"), False, "refused", None, "x refused"),
    ],
)
def test_an_answer_is_judged_by_status_and_body_and_never_by_one_alone(
    answer: Reply, ok: bool, kind: str, order_id: str | None, error: str | None
) -> None:
    verdict = Judge(LOAD)(answer)
    assert (verdict.ok, verdict.kind, verdict.order_id, verdict.error) == (ok, kind, order_id, error)


def test_an_api_that_tells_no_id_is_believed_without_one() -> None:
    """202, and no body: the database has the id."""
    accepted = {"accept": {"status": 202}, "order_id": ""}
    verdict = Judge({**LOAD, **accepted})(reply(202))
    assert (verdict.ok, verdict.order_id) == (True, None)


def test_an_error_is_cut_to_what_a_report_shows() -> None:
    error = Judge(LOAD)(reply(500, b"x" * 5000)).error
    assert error is not None
    assert len(error) == 200


def test_an_order_id_cannot_leave_its_place_in_the_path() -> None:
    assert fill_path("/api/orders/{order_id}", order_id="../x?y") == "/api/orders/..%2Fx%3Fy"


class FakeStore:
    """A database that holds orders in one stretch of numbers, or at the steps of one."""

    def __init__(self, taken: range) -> None:
        self.taken = taken

    def count_orders(self, numbering: Numbering, first: int, last: int) -> Counter[int]:
        held = [number for number in self.taken if first <= number <= last] if self.taken.step > 1 else []
        overlap = range(max(first, self.taken.start), min(last + 1, self.taken.stop))[:3]
        return Counter(dict.fromkeys(held if self.taken.step > 1 else overlap, 1))


def test_the_range_of_numbers_is_free_random_and_fits_below_one_unit_of_price() -> None:
    half = FakeStore(range(50_000_000))
    chosen = [trial_order.choose_numbers(half, LOAD["price"]) for _ in range(20)]  # type: ignore[arg-type]
    assert len({one["first_number"] for one in chosen}) > 15
    for one in chosen:
        assert 50_000_000 <= one["first_number"] <= 10**8 - one["span"]
        assert one["first_number"] % 2 == 0


@pytest.mark.parametrize(
    ("decimals", "taken", "span"),
    [
        (8, range(0), 1 << 20),
        (5, range(0), 1 << 16),
        # orders of many earlier runs, 200,000 numbers apart: no wide range is free, and narrow ones are
        (8, range(0, 10**8, 200_000), 1 << 16),
    ],
)
def test_a_run_takes_as_many_numbers_as_there_is_room_for(decimals: int, taken: range, span: int) -> None:
    price = {**LOAD["price"], "decimals": decimals}
    assert trial_order.choose_numbers(FakeStore(taken), price)["span"] == span  # type: ignore[arg-type]


def test_a_wide_range_numbers_a_million_orders_each_its_own() -> None:
    numbering = Numbering(Decimal("100"), 8, 123456, 1 << 20)
    ends = [numbering.nth(k)[0] for k in (0, 1, numbering.orders - 2, numbering.orders - 1)]
    assert ends == [numbering.last - 1, numbering.last, numbering.first, numbering.first + 1]
    assert numbering.trial == numbering.first + (1 << 20) - 1


def test_a_database_without_room_is_told_in_words() -> None:
    with pytest.raises(ChaosError, match="No free range of 65536 order numbers"):
        trial_order.choose_numbers(FakeStore(range(10**8)), LOAD["price"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("book", "levels"),
    [
        ({"data": {"bids": [{"price": 1}], "asks": [{"price": 2}, {"price": 3}]}}, 3),
        ({"bids": [[1, 1]], "asks": []}, 1),
        ({"data": {"bids": [], "asks": []}}, 0),
    ],
)
def test_the_depth_of_a_book_counts_both_sides(book: dict[str, Any], levels: int) -> None:
    assert compile_expression(order_book.DEPTH, "depth")(book) == levels
