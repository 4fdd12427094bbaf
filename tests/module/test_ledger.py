# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of the orders on the embedded exchange, against what its own database says when asked by another way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import (
    order_book,
    reconcile,
    trial_order,
)
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.database import Store
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders import Numbering
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container, DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.module.load_api import Api, load_spec, make_run, wait_for

PROJECT = "exchange-chaos-lab"
DATABASE = {"service": "postgres", "name": "trading_db", "user": "trading_user"}
ROOT = Path(__file__).resolve().parents[2]


class Exchange:
    """The embedded exchange; its database is asked by the docker command, which shares no code with ours."""

    def __init__(self, api: Container, database: Container) -> None:
        address, port = api.ports["8080/tcp"]
        self.url = f"http://{address.replace('0.0.0.0', '127.0.0.1')}:{port}"
        self._database = database.name

    def sql(self, text: str) -> list[str]:
        argv = [
            "docker",
            "exec",
            "-i",
            self._database,
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "trading_db",
        ]
        return subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout.split()

    def rows(self, numbering: Numbering, where: str = "true", what: str = "count(*)") -> list[str]:
        bounds = (
            f"price BETWEEN {numbering.price_of(numbering.first)} AND {numbering.price_of(numbering.trial)}"
        )
        return self.sql(f"SELECT {what} FROM trading.orders WHERE symbol = 'CHAOS' AND {bounds} AND {where}")


@pytest.fixture(scope="module")
def engine() -> DockerEngine:
    try:
        return DockerEngine.connect()
    except ChaosError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def exchange(engine: DockerEngine) -> Exchange:
    try:
        made = Exchange(engine.container(PROJECT, "trading-api"), engine.container(PROJECT, "postgres"))
    except (ChaosError, KeyError):
        pytest.skip("the embedded exchange is not up; make lab brings it up")
    made.sql("SELECT 1")
    return made


@pytest.fixture
def store(engine: DockerEngine, exchange: Exchange) -> Store:
    return Store(engine, PROJECT, DATABASE, load_spec(exchange.url))


@pytest.fixture
def spec(exchange: Exchange, store: Store) -> dict[str, Any]:
    """``load`` with a free range of numbers."""
    found = load_spec(exchange.url, rate=60)
    found["price"].update(trial_order.choose_numbers(store, found["price"]))
    return found


@pytest.fixture
def open_run(tmp_path: Path) -> Iterator[Callable[..., RunDir]]:
    """Open runs where the modules look for them, and leave no process of them behind."""
    runs: list[RunDir] = []

    def begin(load: dict[str, Any], **more: Any) -> RunDir:
        runs.append(make_run(tmp_path / "runs" / f"exp-01-test-{len(runs)}", load, **more))
        return runs[-1]

    yield begin
    for run in runs:
        for name in processes.OBSERVERS:
            processes.stop_process(run, name, timeout=0.1)


def module(name: str, run: RunDir, state: str = "present", *, check: bool = False) -> dict[str, Any]:
    """Run one of our modules as Ansible does, without the rest of Ansible."""
    arguments = {
        "run_id": run.path.name,
        "state_dir": str(run.path.parent.parent),
        "state": state,
        "_ansible_check_mode": check,
    }
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.exchange.chaos.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(json.loads(done.stdout))


def test_the_account_is_what_the_database_says_and_tampering_shows(
    exchange: Exchange, spec: dict[str, Any], open_run: Callable[..., RunDir]
) -> None:
    """Two acknowledged orders are deleted behind the exchange's back, one is doubled, one appears from nowhere."""
    numbering, run = Numbering.from_price(spec["price"]), open_run(spec)
    planned = module("load", run, check=True)
    assert planned["changed"]
    assert any("60 orders per second" in line for line in planned["plan"])
    assert exchange.rows(numbering) == ["0"]
    assert module("load", run)["changed"]
    assert not module("load", run)["changed"]
    time.sleep(2)
    ending = module("load", run, "absent", check=True)
    assert ending["changed"]
    assert processes.living_process(run, "load")
    assert processes.stop_process(run, "load")

    acknowledged = sorted(line["n"] for line in jsonl.read_lines(run.file("load.jsonl")) if line.get("ok"))
    assert len(acknowledged) > 100
    unseen = int(exchange.rows(numbering)[0]) - len(acknowledged)  # slower than the client's patience
    lost, doubled, ghost = acknowledged[10:12], acknowledged[20], numbering.first + 1
    columns = "user_id, symbol, side, type, quantity, filled_quantity, price, status"
    exchange.sql(
        "SET session_replication_role = replica;"
        f"DELETE FROM trading.orders WHERE symbol = 'CHAOS' AND price IN ({', '.join(map(numbering.price_of, lost))});"
        f"INSERT INTO trading.orders (order_id, {columns}) SELECT gen_random_uuid(), {columns} FROM trading.orders "
        f"WHERE symbol = 'CHAOS' AND price = {numbering.price_of(doubled)};"
        f"INSERT INTO trading.orders (order_id, {columns}) SELECT gen_random_uuid(), "
        f"{columns.replace('price', numbering.price_of(ghost))} FROM trading.orders "
        f"WHERE symbol = 'CHAOS' AND price = {numbering.price_of(acknowledged[30])};"
    )
    result = module("load", run, "absent")
    assert result["changed"], result
    ledger = result["ledger"]
    assert ledger["acknowledged"] == len(acknowledged)
    assert (ledger["lost"], ledger["lost_numbers"]) == (2, lost)
    assert ledger["duplicated"] == 1
    assert ledger["unacknowledged_applied"] == unseen + 1
    assert [str(ledger["in_database"])] == exchange.rows(numbering) == [str(len(acknowledged))]
    assert ledger["in_flight_unresolved"] == 0
    assert exchange.rows(numbering, "status IN ('PENDING', 'PARTIALLY_FILLED')") == ["0"]
    assert ledger["book_after"] <= ledger["book_before"]
    assert json.loads(run.file("ledger.json").read_text()) == ledger
    assert any("2 lost, 1 duplicated, 1 applied without" in line["text"] for line in result["chaos_lines"])

    again = module("load", run, "absent")
    assert not again["changed"]
    assert again["ledger"] == ledger
    assert set(planned) == set(ending) == set(result) == set(again)


def test_orders_that_stay_open_are_cancelled(
    engine: DockerEngine,
    exchange: Exchange,
    spec: dict[str, Any],
    open_run: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sells alone find no counterpart, so all of them wait in the book."""
    monkeypatch.setattr(reconcile, "AFTER_S", 0.5)
    run = open_run({**spec, "side": {"field": "side", "values": ["SELL", "SELL"]}})
    before = order_book.read_depth(spec)
    run.write_event("book", depth=before)
    processes.start_process(run, "load")
    time.sleep(0.8)
    processes.stop_process(run, "load")
    ledger = reconcile.settle_orders(run, engine)
    assert ledger["open_orders_cancelled"] == ledger["acknowledged"] > 30
    assert exchange.rows(Numbering.from_price(spec["price"]), "status <> 'CANCELLED'") == ["0"]
    assert (ledger["book_before"], ledger["book_after"]) == (before, before)


def test_a_database_that_does_not_answer_leaves_a_ledger_of_unknowns(
    engine: DockerEngine,
    spec: dict[str, Any],
    open_run: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The report must come, and must not say that nothing was lost."""
    monkeypatch.setattr(reconcile, "AFTER_S", 0.0)
    monkeypatch.setattr(reconcile, "_PATIENCE_S", 0.0)
    run = open_run(spec, database={**DATABASE, "name": "no_such_database"})
    processes.start_process(run, "load")
    time.sleep(0.3)
    processes.stop_process(run, "load")
    ledger = reconcile.settle_orders(run, engine)
    assert ledger["acknowledged"] > 5
    assert ledger["lost"] is ledger["duplicated"] is ledger["unacknowledged_applied"] is None
    told = [event["text"] for event in run.read_timeline() if event.get("level") == "fail"]
    assert len(told) == 1
    assert 'database "no_such_database" does not exist' in told[0]


def test_an_order_that_is_stored_late_is_not_lost(
    engine: DockerEngine,
    exchange: Exchange,
    spec: dict[str, Any],
    open_run: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exchange may acknowledge first and store later: it has until no request can be under way any more."""
    monkeypatch.setattr(reconcile, "AFTER_S", 2.0)
    run = open_run({**spec, "timeout_s": 1})
    processes.start_process(run, "load")
    time.sleep(0.8)
    processes.stop_process(run, "load")
    numbering = Numbering.from_price(spec["price"])
    number = max(line["n"] for line in jsonl.read_lines(run.file("load.jsonl")) if line.get("ok"))
    here, elsewhere = numbering.price_of(number), "1.5"
    move = "UPDATE trading.orders SET price = {} WHERE symbol = 'CHAOS' AND price = {} AND order_id = '{}'"
    (identity,) = exchange.rows(numbering, f"price = {here}", "order_id")
    exchange.sql(move.format(elsewhere, here, identity))
    later = threading.Timer(1.0, exchange.sql, [move.format(here, elsewhere, identity)])
    later.start()
    ledger = reconcile.settle_orders(run, engine)
    later.join()
    assert (ledger["lost"], ledger["in_database"]) == (0, ledger["acknowledged"])


def test_an_acknowledged_order_is_not_waited_for_once_the_exchange_is_sound() -> None:
    attempts = [{"sent": 100.0, "ok": True}, {"sent": 103.5, "ok": False}, {"sent": 109.0, "ok": True}]
    assert reconcile.quiet_at(attempts, 3.0, 105.0) == 103.5 + 3 + 5
    assert reconcile.quiet_at(attempts, 3.0, math.inf) == 109 + 3 + 5
    assert reconcile.quiet_at(attempts[::2], 3.0, 0.0) == 0
    assert reconcile.quiet_at([], 3.0, math.inf) == 0


@pytest.mark.parametrize(
    ("marks", "since"),
    [
        ([], 0.0),
        ([("fault_injected", 10.0)], math.inf),
        ([("fault_injected", 10.0), ("steady", 20.0)], 17.0),
        ([("fault_injected", 10.0), ("steady", 20.0), ("fault_injected", 25.0)], math.inf),
    ],
)
def test_an_exchange_is_sound_since_steady_state_returned_after_the_last_fault(
    marks: list[tuple[str, float]], since: float
) -> None:
    assert reconcile.sound_since(Timeline([{"event": event, "t": t} for event, t in marks]), 3.0) == since


def test_the_probe_of_a_run_is_started_and_ended_by_its_module(
    exchange: Exchange, open_run: Callable[..., RunDir]
) -> None:
    probes = [
        {
            "name": "ready",
            "kind": "http",
            "url": f"{exchange.url}/ready",
            "rate": 20,
            "expect": {"status": 200},
        },
        {"name": "database", "kind": "tcp", "service": "postgres", "port": 5432, "rate": 20},
    ]
    run = open_run(load_spec(exchange.url), probes=probes)
    results = [module("probes", run, check=True), module("probes", run), module("probes", run)]
    wait_for(lambda: len(jsonl.read_lines(run.file("probes.jsonl"))) > 10)
    results += [
        module("probes", run, "absent", check=True),
        module("probes", run, "absent"),
        module("probes", run, "absent"),
    ]
    assert [result["changed"] for result in results] == [True, True, False, True, True, False]
    assert len({frozenset(set(result) - {"invocation"}) for result in results}) == 1
    lines = jsonl.read_lines(run.file("probes.jsonl"))
    assert {line["probe"] for line in lines} == {"ready", "database"}
    assert all(line["ok"] for line in lines)
    assert processes.living_process(run, "probes") is None


# -- preflight's trial order ----------------------------------------------------------------------------------


def test_the_trial_order_goes_in_is_found_and_is_cancelled(
    exchange: Exchange, spec: dict[str, Any], store: Store
) -> None:
    found = trial_order.place_trial_order(spec, store)
    assert found.cancelled
    assert found.warnings == []
    assert exchange.rows(Numbering.from_price(spec["price"]), what="status") == ["CANCELLED"]
    numbering = Numbering.from_price(spec["price"])
    assert not store.count_orders(numbering, numbering.first, numbering.last), (
        "the trial must not count as an order of the run"
    )


@pytest.mark.parametrize(
    ("load", "database", "told"),
    [
        (
            {"url": "http://127.0.0.1:9"},
            {},
            r"The API cannot be reached \(127.0.0.1:9 refused the connection\)",
        ),
        (
            {"url": "http://192.0.2.1", "timeout_s": 0.3},
            {},
            r"The API cannot be reached .* check chaos_api_url",
        ),
        ({"order.path": "/api/nothing"}, {}, r"answered 40\d: .* path and method of chaos_order"),
        (
            {"order.body.user_id": "c4a05000-0000-4000-8000-00000000dead"},
            {},
            r"status 400: code: UNKNOWN_USER, message: ",
        ),
        (
            {"order.body.type": "PERHAPS"},
            {},
            r"status 400: code: INVALID_TYPE, message: .*details: got 'PERHAPS'",
        ),
        ({"accept": {"status": 201, "expression": "data.nothing"}}, {}, r"not as chaos_order_accept expects"),
        ({"order_id": "data.nothing"}, {}, r"chaos_order_id \(data\.nothing\) found no id"),
        (
            {},
            {"lookup": "SELECT price FROM trading.orders WHERE false"},
            r"did not find it in the database within",
        ),
        (
            {},
            {"lookup": "SELECT quantity FROM trading.orders WHERE price BETWEEN {first} AND {last}"},
            r"its first column",
        ),
        ({}, {"lookup": "SELECT preis FROM trading.orders"}, r'column "preis" does not exist'),
        ({}, {"lookup": "UPDATE trading.orders SET price = 1 WHERE false"}, r"read-only transaction"),
        ({}, {"user": "nobody_here"}, r'role "nobody_here" does not exist'),
        ({}, {"service": "postgresql"}, r"no container of a service postgresql"),
    ],
)
def test_each_failure_of_the_trial_is_one_sentence_and_leaves_no_open_order(
    engine: DockerEngine,
    exchange: Exchange,
    spec: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    load: dict[str, Any],
    database: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setattr(trial_order, "FOUND_S", 0.3)
    changed = json.loads(json.dumps(spec))
    for path, value in load.items():
        *folders, name = path.split(".")
        part = changed
        for folder in folders:
            part = part[folder]
        part[name] = value
    with pytest.raises(ChaosError, match=told) as raised:
        trial_order.place_trial_order(changed, Store(engine, PROJECT, {**DATABASE, **database}, changed))
    assert "\n" not in str(raised.value)
    assert exchange.rows(
        Numbering.from_price(spec["price"]), "status IN ('PENDING', 'PARTIALLY_FILLED')"
    ) == ["0"]


def test_an_order_that_cannot_be_cancelled_is_a_warning(
    exchange: Exchange, spec: dict[str, Any], store: Store
) -> None:
    found = trial_order.place_trial_order({**spec, "cancel": {"path": "/api/nothing/{order_id}"}}, store)
    assert not found.cancelled
    assert "could not be cancelled (status 404" in found.warnings[0]
    assert order_book.cancel_all(spec, [found.order_id]) == (1, [])


def test_an_exchange_that_fails_once_is_asked_again(
    exchange: Exchange, engine: DockerEngine, spec: dict[str, Any], store: Store
) -> None:
    """Its database stands still for a moment; the order that met it is not left in the book, stored or not."""
    database = engine.container(PROJECT, "postgres").name
    subprocess.run(["docker", "pause", database], check=True, capture_output=True)
    later = threading.Timer(1.2, subprocess.run, [["docker", "unpause", database]], {"capture_output": True})
    later.start()
    try:
        found = trial_order.place_trial_order(spec, store)
    finally:
        later.join()
    assert found.cancelled
    assert any("failed once" in text for text in found.warnings)
    assert exchange.rows(
        Numbering.from_price(spec["price"]), "status IN ('PENDING', 'PARTIALLY_FILLED')"
    ) == ["0"]


def test_an_api_that_hangs_is_told_as_such(store: Store) -> None:
    api = Api()
    api.be("hang")
    try:
        with pytest.raises(
            ChaosError, match=r"cannot be reached \(no answer from 127\.0\.0\.1:\d+ within 0\.3 s\)"
        ):
            trial_order.place_trial_order(load_spec(api.url, timeout_s=0.3), store)
    finally:
        api.refuse()
