# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API that is elsewhere after each start: load, probes, gauges and cancelling follow it there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import reconcile
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.endpoints import resolve_url
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import LoadSpec, ProbeSpec

from tests.module.lab_stack import LABEL, docker
from tests.module.load_api import Api, load_spec, make_run, wait_for
from tests.module.small_exchange import SmallExchange, small_exchange

pytestmark = pytest.mark.timeout(120)
API: dict[str, Any] = {"service": "trading-api", "port": 8080, "url": ""}
DATABASE = {"service": "postgres", "name": "trading_db", "user": "trading_user"}
READY = {
    **API,
    "name": "ready",
    "kind": "http",
    "role": "readiness",
    "path": "/ready",
    "rate": 20,
    "timeout_s": 0.5,
}
COUNT = {**API, "kind": "http", "path": "/api/metrics", "values": {"orders": "data.order_count"}}
#: Published on a port that the engine chooses at each start, and not published at all.
SHAPES = {"ephemeral": ("--publish", "127.0.0.1::8080"), "unpublished": ()}


@pytest.fixture(params=SHAPES)
def exchange(request: pytest.FixtureRequest) -> Iterator[SmallExchange]:
    words: Sequence[str] = SHAPES[request.param]
    with small_exchange(more={"trading-api": words}) as made:
        yield made


@pytest.fixture
def run(exchange: SmallExchange, tmp_path: Path) -> Iterator[RunDir]:
    """A run as preflight leaves it, with its observers."""
    containers = DockerEngine.connect().containers(exchange.project)
    given = {**load_spec(""), **API, "rate": 40, "side": {"field": "side", "values": ["SELL", "SELL"]}}
    load = resolve_url(LoadSpec.from_data(given), containers)
    probe = resolve_url(ProbeSpec.from_data(READY), containers)
    made = make_run(
        tmp_path / "runs" / "exp-10-moved",
        load.to_data(),
        [probe.to_data()],
        project=exchange.project,
        database=DATABASE,
        services={"api": "trading-api", "database": "postgres"},
    )
    for name in ("events", "load", "probes"):
        processes.start_process(made, name)
    yield made
    for name in processes.OBSERVERS:
        processes.stop_process(made, name, timeout=0.5)


def good_after(run: RunDir, name: str, at: float) -> int:
    """How many orders, or samples, were good that began after a boottime."""
    lines = jsonl.read_lines(run.file(name))
    return sum(bool(line.get("ok")) and float(line.get("sent") or line.get("at") or 0) > at for line in lines)


def move(exchange: SmallExchange) -> None:
    """Stop the API and start it where it was not before: somebody else has its old address meanwhile."""
    docker("stop", "--time", "0", exchange.container("trading-api"))
    squatter = f"{exchange.project}-squatter"
    words = ("--label", LABEL, "--network", exchange.project)
    docker("run", "--detach", "--name", squatter, *words, exchange.image, "sleep", "60")
    try:
        docker("start", exchange.container("trading-api"))
    finally:
        subprocess.run(["docker", "rm", "--force", squatter], capture_output=True, check=False)


def test_all_that_ask_follow_a_service_to_where_it_is(exchange: SmallExchange, run: RunDir) -> None:
    before = run.spec.load.url  # type: ignore[union-attr]
    wait_for(lambda: good_after(run, "load.jsonl", 0) > 20)
    move(exchange)
    exchange.wait_ready()
    back = clock.read()
    wait_for(
        lambda: good_after(run, "load.jsonl", back) > 40 and good_after(run, "probes.jsonl", back) > 10, 8
    )
    took = clock.read() - back
    containers = DockerEngine.connect().containers(exchange.project)
    now = resolve_url(LoadSpec.from_data({**load_spec(""), **API}), containers).url
    print(f"{before} is now {now}; followed within {took:.1f} s")
    assert now != before, "it must have moved for this to show anything"
    processes.stop_process(run, "load")
    time.sleep(0.2)
    ledger = reconcile.settle_orders(run, DockerEngine.connect(), wait=False)
    assert ledger["open_orders_cancelled"] > 40
    assert ledger["open_orders_left"] == 0
    assert exchange.query("SELECT count(*) FROM trading.orders WHERE status = 'PENDING'") == ["0"]
    assert ledger["book_after"] is not None


def test_load_and_probes_go_where_the_events_observer_says(tmp_path: Path) -> None:
    """Between two APIs on loopback: the old one refuses, and is asked no more once the new one is told of."""
    old, new = Api(), Api()
    load = {**load_spec(old.url), **API, "url": old.url, "moves": True, "rate": 50}
    probe = {**READY, "url": f"{old.url}/ready", "moves": True}
    run = make_run(tmp_path / "runs" / "exp-10-told", load, [probe])
    try:
        for name in ("load", "probes"):
            processes.start_process(run, name)
        wait_for(lambda: good_after(run, "load.jsonl", 0) > 10 and good_after(run, "probes.jsonl", 0) > 3)
        old.refuse()
        gone = clock.read()
        wait_for(
            lambda: any(line.get("kind") == "refused" for line in jsonl.read_lines(run.file("load.jsonl")))
        )
        write_json(run.file("endpoints.json"), {"trading-api:8080": new.url.partition("://")[2]})
        told = clock.read()
        wait_for(
            lambda: good_after(run, "load.jsonl", told) > 10 and good_after(run, "probes.jsonl", told) > 3
        )
        assert good_after(run, "load.jsonl", gone) == good_after(run, "load.jsonl", told)
        assert len(new.orders) > 10
    finally:
        for name in processes.OBSERVERS:
            processes.stop_process(run, name, timeout=0.5)
        new.refuse()
