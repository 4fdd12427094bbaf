# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database in two networks, the first not shared with the API: a fault on the path is proven where the API goes."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair, partition
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import network_path
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module.small_exchange import SmallExchange, small_exchange

pytestmark = pytest.mark.timeout(120)
CUT = {"id": "cut", "kind": "partition", "target": "trading-api", "peer": "postgres", "port": 5432, "ttl": 60}
SLOW = {**CUT, "id": "slow", "kind": "impair", "delay_ms": 100}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SmallExchange]:
    with small_exchange() as made:
        # the engine lists networks by name, so this is the first
        made.join("postgres", f"a-{made.project}")
        yield made


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    made = RunDir(tmp_path / "exp-02-networks")
    made.path.mkdir()
    made.file("chaos.pyz").write_bytes(runtime.build_archive().read_bytes())
    write_json(made.file("spec.json"), {"anchor": vars(clock.take_anchor())})
    made.extend_deadline(20)
    yield made
    made.file("spec.json").unlink()


@contextlib.contextmanager
def orders(exchange: SmallExchange) -> Iterator[None]:
    """Have the API ask its database all the time."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.05):
            exchange.api("GET", "/ready", timeout=0.5)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(("kind", "fault"), [(partition, CUT), (impair, SLOW)])
def test_proofs_are_taken_on_the_address_that_the_target_reaches(
    kind: Any, fault: dict[str, Any], exchange: SmallExchange, run: RunDir
) -> None:
    engine = DockerEngine.connect()
    containers = engine.containers(exchange.project)
    site, chosen = Site(containers, True, engine), [one for one in containers if one.service == "trading-api"]
    away, near = exchange.address("postgres", f"a-{exchange.project}"), exchange.address("postgres")
    database = next(one for one in containers if one.service == "postgres")
    assert list(database.addresses.values()) == [away, near], "the first must be the one that is not shared"
    plan = kind.from_spec(fault, chosen, site)
    assert set(plan.peer.addresses) == {away, near}
    entry = Entry(
        1, fault["id"], fault["kind"], "trading-api", plan.lines(), plan.undo(), clock.read() + 60, 0.0
    )
    scene, began = Scene(run, engine), clock.read()
    with orders(exchange):
        done = kind.apply(plan, entry, scene)
        took = clock.read() - began
        entry = replace(entry, applied_at=done.at, facts=json.loads(json.dumps(done.facts)))
        held = kind.in_force(entry, scene)
        said = kind.undo(entry, scene)
    print(f"{took:.1f} s; {said}")
    assert list(done.facts["tried"].values()) == [near]
    assert all(proof.holds for proof in (*done.proofs, *held)), [*done.proofs, *held]
    assert took < 10
    assert run.read_deadline() > clock.read(), "the run must live as long as the module works for it"
    exchange.wait_ready()


def test_an_address_that_only_sorts_first_is_not_taken(exchange: SmallExchange) -> None:
    """Whatever the order of networks: what the target does not reach is passed over."""
    engine = DockerEngine.connect()
    (api,) = [one for one in engine.containers(exchange.project) if one.service == "trading-api"]
    away, near = exchange.address("postgres", f"a-{exchange.project}"), exchange.address("postgres")
    assert network_path.first_reached(api, [away, near], 5432) == near


def test_a_path_that_the_target_does_not_take_is_refused(exchange: SmallExchange) -> None:
    """A service that is in reach of nobody there: a silent connect would have been the proof."""
    engine = DockerEngine.connect()
    containers = engine.containers(exchange.project)
    apart = [
        replace(one, addresses={"a": exchange.address("postgres", f"a-{exchange.project}")})
        if one.service == "postgres"
        else one
        for one in containers
    ]
    chosen = [one for one in containers if one.service == "trading-api"]
    with pytest.raises(
        ChaosError, match=r"takes another way to postgres: name its addresses \(peer_addresses\)"
    ):
        partition.trial(CUT, chosen, Site(apart, True, engine))
