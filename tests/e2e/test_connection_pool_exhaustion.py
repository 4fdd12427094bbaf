"""Experiment 06 on the embedded exchange: a pool bears it, a connection for every order does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e import support

EXPERIMENT = "playbooks/06-connection-pool-exhaustion.yml"
SHORT = {**support.QUICK, "connection_pool_exhaustion_hold_s": "5"}
GOOD = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}
#: max_connections of the lab less what is reserved for superusers.
SLOTS = 57


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def lab(*switches: str) -> None:
    """Bring the embedded exchange up with just these weaknesses."""
    words = [*support.command("playbooks/lab.yml"), "-e", json.dumps({"lab_switches": list(switches)})]
    done = subprocess.run(
        words, cwd=support.ROOT, env=support.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


def test_an_exchange_with_a_pool_bears_it(tmp_path: Path) -> None:
    done = support.ansible(EXPERIMENT, chaos_report_dir=str(tmp_path), **SHORT)
    report = support.report(tmp_path)
    record = report.record
    assert record["verdicts"] == GOOD, done.stdout[-8000:]
    assert record["outcome"] == "passed"
    assert done.returncode == 0
    (fault,) = record["hosts"][0]["faults"]
    proofs = {
        (proof["source"], proof["fact"]): str(proof["value"]) for proof in fault["proof"] if proof["holds"]
    }
    assert proofs[("tcp", "one more session of role trading_user refused")].startswith("SQLSTATE 53300: ")
    ours, others = [
        int(word) for word in proofs[("engine", "our sessions in pg_stat_activity")].split() if word.isdigit()
    ][:2]
    assert ours + others == SLOTS
    assert float(proofs[("fault", "share of the window in force")]) >= 0.8
    assert report.finding("pooled")["value"] >= 0.95
    assert report.finding("limit_kept")["verdict"] == "pass"
    left = support.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'exchange.chaos%'"
    )
    assert left == ["0"]
    assert support.leftovers() == []


def test_sessions_that_nobody_holds_are_no_effect(tmp_path: Path) -> None:
    """The instrument broken: every session is let go as soon as it was taken."""
    tree = support.mutant(
        tmp_path / "tree", "plugins/module_utils/sessions.py",
        "        clock.sleep(PAUSE_S)\n", "        holder.release()\n        clock.sleep(20 * PAUSE_S)\n",
    )  # fmt: skip
    done = support.ansible(EXPERIMENT, tree=tree, chaos_report_dir=str(tmp_path), **SHORT)
    record = support.report(tmp_path).record
    assert done.returncode != 0
    assert record["verdicts"]["effect"] == "fail", done.stdout[-6000:]
    assert record["outcome"] == "invalid"
    assert record["verdicts"]["restored"] == "pass"


@pytest.mark.full
def test_an_exchange_that_connects_for_every_order_fails(tmp_path: Path) -> None:
    lab("connection_per_order")
    try:
        done = support.ansible(EXPERIMENT, chaos_report_dir=str(tmp_path), **SHORT)
        report = support.report(tmp_path)
    finally:
        lab()
    assert done.returncode != 0
    assert report.record["verdicts"] == {"effect": "pass", "hypothesis": "fail", "restored": "pass"}, (
        done.stdout[-6000:]
    )
    assert report.record["outcome"] == "failed"
    for identity in ("pooled", "queueing", "churn"):
        assert report.finding(identity)["verdict"] == "fail", report.finding(identity)
    assert report.finding("queueing")["value"] == "failing"
    assert report.finding("recovery_since_release")["verdict"] == "pass"
