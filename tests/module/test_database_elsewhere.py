# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL that has no container in the project: orders found in it over TCP, and what it will not have."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import database, trial_order
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.database import Store
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders import Numbering
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import partition
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import snapshot

from tests.module import lab_stack
from tests.module.apart_stack import Apart, apart
from tests.module.load_api import load_spec

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Apart]:
    with apart() as made:
        yield made


@pytest.fixture(scope="module")
def engine(exchange: Apart) -> DockerEngine:
    return DockerEngine.connect()


@pytest.fixture
def where(exchange: Apart) -> dict[str, Any]:
    return {
        "service": "postgres", "name": "trading_db", "user": "trading_user", "password": "trading",
        "address": exchange.address(exchange.database), "port": 5432,
    }  # fmt: skip


def test_an_order_is_found_counted_and_cancelled_over_tcp(
    exchange: Apart, engine: DockerEngine, where: dict[str, Any]
) -> None:
    load = load_spec(f"http://{exchange.address(exchange.container('trading-api'))}:8080")
    store = Store(engine, exchange.project, where, load)
    load["price"].update(trial_order.choose_numbers(store, load["price"]))
    found = trial_order.place_trial_order(load, store)
    print(f"accepted in {found.accepted_ms:g} ms, found in {found.found_ms:g} ms")
    assert found.cancelled
    numbering = Numbering.from_price(load["price"])
    assert store.count_orders(numbering, numbering.trial, numbering.trial) == {numbering.trial: 1}
    price = numbering.price_of(numbering.trial)
    # as the database's own client says
    assert exchange.query(f"SELECT count(*) FROM trading.orders WHERE price = {price}") == ["1"]
    assert store.list_waiting(numbering, numbering.trial, numbering.trial) == []
    # as many rows as a run has orders, in one answer
    query = "SELECT price, NULL, true FROM trading.orders, generate_series(1, 65536)"
    rows = database.query_rows(engine, "", where, query)
    assert len(rows) == 65536 * int(exchange.query("SELECT count(*) FROM trading.orders")[0])
    assert rows[0][1:] == ["", "t"]


def test_nothing_can_be_changed_whatever_the_owners_query_says(
    exchange: Apart, engine: DockerEngine, where: dict[str, Any]
) -> None:
    before = exchange.query("SELECT count(*) FROM trading.orders")
    with pytest.raises(ChaosError, match="read-only transaction"):
        database.query_rows(engine, "", where, "DELETE FROM trading.orders")
    assert exchange.query("SELECT count(*) FROM trading.orders") == before


def test_a_wrong_password_and_none_are_told_in_a_sentence(
    engine: DockerEngine, where: dict[str, Any]
) -> None:
    with pytest.raises(ChaosError, match="password authentication failed"):
        database.query_rows(engine, "", {**where, "password": "wrong"}, "SELECT 1")
    with pytest.raises(ChaosError, match=r"asks for the password .* set chaos_database\.password"):
        database.query_rows(engine, "", {**where, "password": ""}, "SELECT 1")


@pytest.mark.full
def test_its_settings_are_in_the_snapshot_and_a_change_of_them_shows(
    exchange: Apart, where: dict[str, Any], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "exp-01-away")
    run.path.mkdir()
    known = {key: value for key, value in where.items() if key != "password"}
    write_json(run.file("spec.json"), {"project": exchange.project, "database": known})
    write_json(run.file(database.SECRETS), {"password": "trading"})
    before = snapshot.take_snapshot(run)
    assert "PostgreSQL settings" not in before["unchecked"]
    assert before["postgres_setting"]["max_connections"] == "60"
    exchange.query("ALTER ROLE trading_user CONNECTION LIMIT 41", "postgres")
    try:
        (found,) = [
            one
            for one in snapshot.find_differences(before, snapshot.take_snapshot(run))
            if one["kind"] == "postgres_setting"
        ]
        assert "41" in str(found["after"])
    finally:
        exchange.query("ALTER ROLE trading_user CONNECTION LIMIT -1", "postgres")
    run.file(database.SECRETS).unlink()
    assert "password" in snapshot.take_snapshot(run)["unchecked"]["PostgreSQL settings"]


@pytest.mark.full
def test_the_session_is_encrypted_where_the_server_offers_it(
    exchange: Apart, engine: DockerEngine, where: dict[str, Any], tmp_path: Path
) -> None:
    question = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert database.query_rows(engine, "", where, question)[0][0] == "f"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=nobody.example",
         "-keyout", str(tmp_path / "tls.key"), "-out", str(tmp_path / "tls.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    for name in ("tls.key", "tls.crt"):
        lab_stack.docker("cp", str(tmp_path / name), f"{exchange.database}:/tmp/{name}")
        lab_stack.docker("exec", "--user", "root", exchange.database, "chown", "postgres", f"/tmp/{name}")
        lab_stack.docker("exec", "--user", "root", exchange.database, "chmod", "600", f"/tmp/{name}")
    wanted = {"ssl_key_file": "/tmp/tls.key", "ssl_cert_file": "/tmp/tls.crt", "ssl": "on"}
    try:
        for name, value in wanted.items():
            exchange.query(f"ALTER SYSTEM SET {name} = '{value}'", "postgres")
        exchange.query("SELECT pg_reload_conf()", "postgres")
        until = time.monotonic() + 10
        while (found := database.query_rows(engine, "", where, question)[0])[0] != "t":
            assert time.monotonic() < until, found
            time.sleep(0.1)
        print(found)
    finally:
        for name in wanted:
            exchange.query(f"ALTER SYSTEM RESET {name}", "postgres")
        exchange.query("SELECT pg_reload_conf()", "postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_api_is_cut_off_from_its_address_and_the_cache_is_not(
    exchange: Apart, engine: DockerEngine, where: dict[str, Any], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "exp-02-away")
    run.path.mkdir()
    write_json(run.file("spec.json"), {"anchor": vars(clock.take_anchor())})
    fault = {
        "id": "cut", "kind": "partition", "target": "trading-api", "peer_addresses": [where["address"]], "port": 5432,
        "control": "redis", "control_port": 6379, "window_s": 20,
    }  # fmt: skip
    targets = engine.containers(exchange.project)
    site, api = Site(targets, True, engine), engine.container(exchange.project, "trading-api")
    assert partition.trial(fault, [api], site) == "ok"
    plan = partition.from_spec(fault, [api], site)
    now = clock.read()
    entry = Entry(
        1, "cut", "partition", "trading-api", plan.lines(), json.loads(json.dumps(plan.undo())), now + 35, now
    )
    scene = Scene(run, engine)
    asked = exchange.address(exchange.container("trading-api"))
    try:
        done = partition.apply(plan, entry, scene)
        print([(proof.fact, proof.value, proof.holds) for proof in done.proofs])
        # the API asks its database by itself: its own packets are the proof
        assert all(proof.holds for proof in done.proofs), done.proofs
        assert lab_stack.call(asked, "GET", "/ready").status == 503
        answers = netns.call_inside(
            api.pid, netns.accepts_connect, exchange.address(exchange.container("redis")), 6379, 1.0
        )
        assert answers, "another way of the API's was hit"
        # who asks from elsewhere still gets there
        assert database.query_rows(engine, "", where, "SELECT 1") == [["1"]]
    finally:
        print(partition.undo(entry, scene))
    exchange.wait_ready()
    # its gateway is the way out to everybody: a network that takes it along is refused
    with pytest.raises(ChaosError, match=r"own address|gateway"):
        partition.from_spec(
            {**fault, "peer_addresses": [f"{'.'.join(asked.split('.')[:2])}.0.0/16"]}, [api], site
        )
