# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders that stay open, on small exchanges of another shape than the embedded one: asked for, not guessed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import (
    open_orders,
    order_book,
    reconcile,
    trial_order,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.database import Store
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders import Numbering, OrderTemplate
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Client
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module.load_api import load_spec, make_run
from tests.module.small_exchange import SmallExchange, small_exchange

pytestmark = pytest.mark.timeout(120)
DATABASE = {"service": "postgres", "name": "trading_db", "user": "trading_user"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SmallExchange]:
    """One whose orders are keyed by ``id``."""
    with small_exchange() as made:
        made.key_by_id()
        yield made


@pytest.fixture
def load(exchange: SmallExchange) -> dict[str, Any]:
    """``load`` with a free range of numbers."""
    found = load_spec(f"http://{exchange.address('trading-api')}:8080")
    found["price"].update(trial_order.choose_numbers(store_of(exchange, found), found["price"]))
    return found


def store_of(exchange: SmallExchange, load: dict[str, Any], **database: Any) -> Store:
    return Store(DockerEngine.connect(), exchange.project, {**DATABASE, **database}, load)


def test_a_table_keyed_by_id_is_read_by_its_own_columns(
    exchange: SmallExchange, load: dict[str, Any]
) -> None:
    """The catalogue says which: nobody guesses ``order_id``."""
    store = store_of(exchange, load)
    found = trial_order.place_trial_order(load, store)
    assert (found.cancelled, found.warnings) == (True, [])
    assert "id id" in store.queries.how
    numbering = Numbering.from_price(load["price"])
    client = Client(load["url"], timeout=1)
    template = OrderTemplate(load)
    client.request("POST", "/api/orders", template.body(numbering.first, 0))
    stored = exchange.query(
        f"SELECT id FROM trading.orders WHERE price = {numbering.price_of(numbering.first)}"
    )
    assert store.list_waiting(numbering, numbering.first, numbering.last) == [(numbering.first, stored[0])]
    assert order_book.cancel_all(load, stored) == (1, [])


def test_the_owners_own_query_is_asked_and_nothing_else(
    exchange: SmallExchange, load: dict[str, Any]
) -> None:
    """Without a look at the catalogue, which here would say otherwise."""
    own = {
        "lookup": "SELECT price FROM trading.orders WHERE price BETWEEN {first} AND {last}",
        "open": "SELECT price, 'mine' FROM trading.orders WHERE price BETWEEN {first} AND {last}",
    }
    store = store_of(exchange, load, **own)
    trial_order.place_trial_order(load, store_of(exchange, load))
    numbering = Numbering.from_price(load["price"])
    assert store.list_waiting(numbering, numbering.first, numbering.trial) == [(numbering.trial, "mine")]
    assert store.queries.how == "chaos_database"


def test_two_tables_that_look_like_orders_are_named_and_none_is_taken(
    exchange: SmallExchange, load: dict[str, Any]
) -> None:
    exchange.add_second_table()
    try:
        with pytest.raises(
            ChaosError, match=r"trading\.orders and desk\.orders look alike.*chaos_database\.lookup"
        ):
            trial_order.choose_numbers(store_of(exchange, load), load["price"])
    finally:
        exchange.query("DROP SCHEMA desk CASCADE")


def test_a_trial_order_that_somebody_fills_is_closed_and_no_warning(
    exchange: SmallExchange, load: dict[str, Any]
) -> None:
    """The order flow trades in the same symbol: there is nothing left to cancel."""
    exchange.rest("BUY", "150")
    try:
        found = trial_order.place_trial_order(load, store_of(exchange, load))
    finally:
        exchange.query("DELETE FROM trading.trades; DELETE FROM trading.orders WHERE price = 150")
    assert (found.cancelled, found.filled, found.ending) == (False, True, "filled at once")
    assert found.warnings == []


def test_an_api_that_only_says_that_it_cancelled_is_not_believed(
    exchange: SmallExchange, load: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_order, "FOUND_S", 0.5)
    store = store_of(exchange, load)
    found = trial_order.place_trial_order(
        {**load, "cancel": {"method": "GET", "path": "/live?{order_id}"}}, store
    )
    assert found.ending == "not cancelled"
    assert "the database still has it open" in found.warnings[0]
    numbering = Numbering.from_price(load["price"])
    left = open_orders.clear_open_orders(load, store, numbering, {}, quiet=0.0, within=10)
    assert (left.cancelled, left.left) == (1, 0)


@pytest.fixture
def one_sided(exchange: SmallExchange, load: dict[str, Any], tmp_path: Path) -> Iterator[RunDir]:
    """A run all of whose orders stay open: both words of its side sell."""
    load["side"] = {"field": "side", "values": ["SELL", "SELL"]}
    run = make_run(
        tmp_path / "runs" / "exp-01-open", {**load, "rate": 60}, project=exchange.project, database=DATABASE
    )
    processes.start_process(run, "load")
    time.sleep(1.0)
    processes.stop_process(run, "load")
    yield run
    exchange.query("UPDATE trading.orders SET status = 'CANCELLED'")


def waiting(exchange: SmallExchange) -> int:
    """How many orders wait, by PostgreSQL's own client."""
    return int(exchange.query("SELECT count(*) FROM trading.orders WHERE status = 'PENDING'")[0])


def test_what_a_run_left_open_is_cancelled_by_whoever_ends_it(
    exchange: SmallExchange, one_sided: RunDir
) -> None:
    """Nobody waits for a halt's account, and its orders are taken out of the book all the same."""
    before = waiting(exchange)
    assert before > 30
    ledger = reconcile.settle_orders(one_sided, DockerEngine.connect(), wait=False)
    assert (ledger["open_orders_cancelled"], ledger["open_orders_left"], waiting(exchange)) == (before, 0, 0)


def test_orders_that_are_filled_before_they_could_be_cancelled_are_no_failure(
    exchange: SmallExchange, one_sided: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody buys them all between the list and the cancelling."""
    list_open = open_orders.list_open
    once: list[str] = []

    def list_and_sell(*arguments: Any) -> list[tuple[int, str]]:
        found = list_open(*arguments)
        if not once:
            once.append(exchange.rest("BUY", "150", quantity=100_000))
        return found

    monkeypatch.setattr(open_orders, "list_open", list_and_sell)
    ledger = reconcile.settle_orders(one_sided, DockerEngine.connect(), wait=False)
    assert (ledger["open_orders_cancelled"], ledger["open_orders_left"]) == (0, 0)
    assert not [event for event in one_sided.read_timeline() if event.get("level") in ("warn", "fail")]


def test_what_cannot_be_cancelled_is_counted_and_listed(
    exchange: SmallExchange, one_sided: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has the number and the query that lists them, which works as it stands."""
    monkeypatch.setattr(open_orders, "_STUCK_S", 0.5)
    spec = one_sided.spec
    monkeypatch.setitem(spec.load.more["cancel"], "path", "/api/nothing/{order_id}")  # type: ignore[union-attr]
    monkeypatch.setattr(type(one_sided), "spec", spec)
    before = waiting(exchange)
    ledger = reconcile.settle_orders(one_sided, DockerEngine.connect(), wait=False)
    assert (ledger["open_orders_cancelled"], ledger["open_orders_left"]) == (0, before)
    assert len(exchange.query(ledger["open_orders_query"])) == before
    (told,) = [event["text"] for event in one_sided.read_timeline() if event.get("level") == "fail"]
    assert f"{before} orders of this run stay open in the exchange (status 404" in told


def test_a_pace_falls_under_strain_and_comes_back() -> None:
    pace = open_orders.CancelPace(50)
    for _time in range(20):
        pace.take_answers(strained=True)
    assert pace.rate == 1.0
    began = clock.read()
    for _time in range(200):
        pace.take_answers(strained=False)
    assert pace.rate == 400.0
    assert clock.read() - began < 1
