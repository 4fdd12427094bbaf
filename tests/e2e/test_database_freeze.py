"""Experiment 12 on the embedded exchange: time limits bear a database that hangs, the lack of one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, machine, support

PLAYBOOK = "playbooks/12-database-freeze.yml"
SHORT = {**support.QUICK, "database_freeze_s": "6"}
FREEZER = ("freezer.state", "cgroup.freeze")

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_an_exchange_with_time_limits_bears_it(tmp_path: Path) -> None:
    before = live.limits("postgres", *FREEZER)
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    assert live.limits("postgres", *FREEZER) == before
    proofs = {
        proof["fact"].partition(" ")[0]: proof
        for proof in live.fault(report)["proof"]
        if proof.get("required")
    }
    assert proofs["freezer"]["value"] == "FROZEN"
    assert proofs["processor"]["holds"]
    silent = [str(one["value"]) for one in live.fault(report)["proof"] if one["fact"].startswith("port 5432")]
    assert silent[0] == "connected, no byte in 1 s"
    assert silent[1].endswith("no byte in 1 s")
    assert report.finding("readiness")["value"] == "not_ready"
    assert report.finding("target_restarts")["value"] == 0


def test_an_exchange_without_time_limits_waits_for_it_and_says_that_all_is_well(tmp_path: Path) -> None:
    with live.weakened("no_timeout", "shallow_ready"):
        report = live.failed(PLAYBOOK, tmp_path, **{**SHORT, "chaos_client_timeout_s": "3"})
    for identity in ("gives_up", "waiting", "readiness"):
        assert report.finding(identity)["verdict"] == "fail", report.finding(identity)
    assert report.finding("readiness")["value"] == "ready"


def test_a_freeze_that_freezes_nothing_is_invalid(tmp_path: Path) -> None:
    before = machine.seen()["postgres"]["limits"]
    change = (
        "plugins/module_utils/faults/kinds/freeze.py",
        'limits.cgroup_of("freezer", one.target).write(name, text)',
        "pass",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
    assert machine.seen()["postgres"]["limits"] == before
