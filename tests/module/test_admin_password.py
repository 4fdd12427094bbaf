# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL that asks everybody for a password, on its own socket, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.common.secret import Secret
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.database import SECRETS
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import connections, lock
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import snapshot
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module.small_exchange import SmallExchange, small_exchange

pytestmark = pytest.mark.timeout(120)
COMMON = {
    "target": "postgres",
    "user": "trading_user",
    "database": "trading_db",
    "administrator": "postgres",
    "ttl": 60,
}
FULL = {**COMMON, "id": "full", "kind": "connections", "password": "trading", "hold_s": 5}
HELD = {**COMMON, "id": "held", "kind": "lock", "password": "trading", "table": "trading.orders", "hold_s": 5}
ADMIN = Secret("boss")


@pytest.fixture(scope="module")
def exchange() -> Iterator[SmallExchange]:
    with small_exchange() as made:
        made.require_passwords(postgres=ADMIN.reveal(), trading_user="trading")
        yield made


@pytest.fixture
def run(exchange: SmallExchange, tmp_path: Path) -> Iterator[RunDir]:
    made = RunDir(tmp_path / "exp-06-password")
    made.path.mkdir()
    made.file("chaos.pyz").write_bytes(runtime.build_archive().read_bytes())
    database = {
        "service": "postgres",
        "name": "trading_db",
        "user": "trading_user",
        "admin": {"user": "postgres"},
    }
    spec = {"project": exchange.project, "database": database, "anchor": vars(clock.take_anchor())}
    write_json(made.file("spec.json"), spec)
    write_json(made.file(SECRETS), {"password": "trading", "admin_password": ADMIN.reveal()})
    made.extend_deadline(60)
    yield made
    for name in ("connections", "lock"):
        processes.stop_process(made, name)
    made.file("spec.json").unlink()


def site_of(exchange: SmallExchange, admin: Secret) -> Site:
    engine = DockerEngine.connect()
    return Site(engine.containers(exchange.project, "postgres"), True, engine, admin)


@pytest.mark.parametrize(("kind", "fault"), [(connections, FULL), (lock, HELD)])
def test_the_trial_says_what_to_set_and_is_content_with_it(
    kind: Any, fault: dict[str, Any], exchange: SmallExchange
) -> None:
    without = site_of(exchange, Secret())
    with pytest.raises(
        ChaosError, match=r"it asks for a password; set chaos_database\.admin \(user and password\)"
    ):
        kind.trial(fault, without.targets, without)
    site = site_of(exchange, ADMIN)
    assert kind.trial(fault, site.targets, site).startswith("ok: ")


@pytest.mark.parametrize(("kind", "fault"), [(connections, FULL), (lock, HELD)])
def test_the_fault_is_proven_and_undone_by_the_administrator(
    kind: Any, fault: dict[str, Any], exchange: SmallExchange, run: RunDir
) -> None:
    """From the plan to the undo, which has the password from the run's folder alone."""
    site = site_of(exchange, ADMIN)
    plan = kind.from_spec(fault, site.targets, site)
    told = json.dumps([plan.lines(), plan.undo(), repr(plan)])
    assert "boss" not in told
    entry = Entry(
        1, fault["id"], fault["kind"], "postgres", plan.lines(), plan.undo(), clock.read() + 60, 0.0
    )
    assert site.engine is not None
    scene = Scene(run, site.engine)
    done = kind.apply(plan, entry, scene)
    try:
        entry = replace(entry, applied_at=done.at, facts=json.loads(json.dumps(done.facts)))
        held = kind.in_force(entry, scene)
    finally:
        said = kind.undo(entry, scene)
    assert all(proof.holds for proof in done.proofs), done.proofs
    named = {proof.name: proof.holds for proof in held if proof.name and proof.name != "waited"}
    assert named
    assert all(named.values()), held
    assert " 0 of our" in said or "counts 0 of ours" in said


def test_settings_are_compared_by_whoever_may_read_them(exchange: SmallExchange, run: RunDir) -> None:
    found = snapshot.take_snapshot(run)
    assert "PostgreSQL settings" not in found["unchecked"]
    assert found["postgres_setting"]["max_connections"] == "60"
    write_json(run.file(SECRETS), {"password": "trading"})
    assert snapshot.take_snapshot(run)["unchecked"]["PostgreSQL settings"] == (
        "role postgres is asked for a password; set chaos_database.admin (user and password)"
    )
    # without an administrator it is the application's own role that asks
    database = {"service": "postgres", "name": "trading_db", "user": "trading_user"}
    spec = {"project": exchange.project, "database": database, "anchor": vars(clock.take_anchor())}
    write_json(run.file("spec.json"), spec)
    assert "PostgreSQL settings" not in snapshot.take_snapshot(RunDir(run.path))["unchecked"]
