"""Experiment 06 on the embedded exchange: a pool bears it, a connection for every order does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, machine, support

PLAYBOOK = "playbooks/06-connection-pool-exhaustion.yml"
SHORT = {**support.QUICK, "connection_pool_exhaustion_hold_s": "5"}
#: max_connections of the lab less what is reserved for superusers.
SLOTS = 57

pytestmark = pytest.mark.usefixtures("ready")


@pytest.mark.full  # in `make test`, module/test_connections takes real sessions until one is refused
def test_an_exchange_with_a_pool_bears_it(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    proofs = {
        (proof["source"], proof["fact"]): str(proof["value"])
        for proof in live.fault(report)["proof"]
        if proof["holds"]
    }
    assert proofs[("tcp", "one more session of role trading_user refused")].startswith("SQLSTATE 53300: ")
    ours, others = [
        int(word) for word in proofs[("engine", "our sessions in pg_stat_activity")].split() if word.isdigit()
    ][:2]
    assert ours + others == SLOTS
    assert float(proofs[("fault", "share of the window in force")]) >= 0.8
    assert report.finding("pooled")["value"] >= 0.95
    left = support.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'exchange.chaos%'"
    )
    assert left == ["0"]


@pytest.mark.full
def test_sessions_that_nobody_holds_are_no_effect(tmp_path: Path) -> None:
    """The instrument broken: every session is let go as soon as it was taken.

    In `make test`: module/test_connections (sessions let go, seen at the end of the window).
    """
    change = (
        "plugins/module_utils/faults/mechanisms/session_holder.py",
        "        clock.sleep(PAUSE_S)\n",
        "        holder.release()\n        clock.sleep(20 * PAUSE_S)\n",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)


@pytest.mark.full
def test_a_lower_limit_is_in_force_and_put_back_as_it_was(tmp_path: Path) -> None:
    before = machine.settings()
    report = live.proved(PLAYBOOK, tmp_path, **SHORT, connection_pool_exhaustion_mode="limit")
    assert live.fault(report)["engine"] == "limit"
    assert report.finding("limit_kept")["verdict"] == "pass"
    assert machine.settings() == before


@pytest.mark.full
def test_an_exchange_that_connects_for_every_order_fails(tmp_path: Path) -> None:
    with live.weakened("connection_per_order"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT)
    for identity in ("pooled", "queueing"):
        assert report.finding(identity)["verdict"] == "fail", report.finding(identity)
    churn = report.finding("churn")
    assert churn["verdict"] == "unknown", "it does so without a fault, too, so the fault is not to blame"
    assert "outside its threshold without a fault already" in churn["evidence"]
    assert report.finding("queueing")["value"] == "failing"
    assert report.finding("recovery_since_release")["verdict"] == "pass"
