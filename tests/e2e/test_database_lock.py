"""Experiment 13 on the embedded exchange: time limits bear a lock on the orders' table, the lack of one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/13-database-lock.yml"
SHORT = {**support.QUICK, "database_lock_s": "6"}

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def locks_of_ours() -> list[str]:
    return support.query(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE application_name LIKE 'exchange.chaos%' OR NOT granted"
    )


def test_an_exchange_with_time_limits_bears_it(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    proofs = {proof["fact"]: proof for proof in live.fault(report)["proof"] if proof.get("required")}
    assert all(proof["holds"] and proof["source"] == "engine" for proof in proofs.values())
    assert "AccessExclusiveLock on relation" in proofs["locks of ours on trading.orders"]["value"]
    assert report.finding("waiters")["value"] > 0
    assert report.finding("gives_up")["value"] <= 2
    assert locks_of_ours() == ["0"]


def test_a_lock_on_one_account_leaves_reading_alone(tmp_path: Path) -> None:
    # an order may wait for two of the application's time limits of half a second before it is refused
    patient = {**SHORT, "chaos_client_timeout_s": "2"}
    report = live.passed(PLAYBOOK, tmp_path, **patient, database_lock_scope="row")
    assert live.fault(report)["engine"] == "rows"
    assert report.finding("waiters")["value"] > 0
    assert report.finding("reads")["value"] >= 0.95
    assert report.finding("degradation")["value"] == "errors"


def test_an_exchange_without_time_limits_waits_for_it(tmp_path: Path) -> None:
    with live.weakened("no_timeout"):
        report = live.failed(PLAYBOOK, tmp_path, **{**SHORT, "chaos_client_timeout_s": "3"})
    for identity in ("gives_up", "timeouts", "waiting"):
        assert report.finding(identity)["verdict"] == "fail", report.finding(identity)


def test_a_lock_that_is_let_go_at_once_is_no_effect(tmp_path: Path) -> None:
    change = (
        "plugins/module_utils/faults/mechanisms/lock_holder.py",
        "    while not life.stopping and clock.read() < expires:\n",
        "    ask_session(session, 'ROLLBACK', within=1)\n    while not life.stopping and clock.read() < expires:\n",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
