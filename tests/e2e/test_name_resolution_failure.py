"""Experiment 14 on the embedded exchange, on one that looks names up for every order, and broken on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/14-name-resolution-failure.yml"
SHORT = {**support.QUICK, "name_resolution_failure_s": "8"}

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def resolves() -> bool:
    """Whether the API's container resolves the database's name, asked by the C library in there."""
    words = ("exec", support.container("trading-api"), "getent", "hosts", "postgres")
    try:
        return bool(support.docker(*words))
    except Exception:
        return False


def test_open_connections_go_on_without_names(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    proofs = {proof["fact"]: proof["value"] for proof in live.fault(report)["proof"] if proof["holds"]}
    assert "SERVFAIL" in proofs["trading-api asked from inside exchange-chaos-lab-trading-api"]
    assert live.verdicts(report)["failed_for_names"] == "pass", report.finding("failed_for_names")
    assert report.finding("acknowledged")["value"] > 0.99
    assert resolves()


def test_a_lookup_for_every_order_is_red(tmp_path: Path) -> None:
    with live.weakened("lookup_per_order"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT)
    assert report.finding("failed_for_names")["verdict"] == "fail"
    assert "SERVFAIL" in report.finding("questions")["evidence"]
    assert resolves()


def test_a_table_that_drops_nothing_is_invalid(tmp_path: Path) -> None:
    """In `make test`: module/test_resolver asks the real resolver with and without."""
    change = (
        "plugins/module_utils/faults/mechanisms/resolver/process.py",
        '"questions", "input", True,',
        '"questions", "output", False,',
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
    assert resolves()
