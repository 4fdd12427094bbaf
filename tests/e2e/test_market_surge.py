"""Experiment 11 on the embedded exchange: it bears ten times as many orders, or shows how it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/11-market-surge.yml"
SHORT = {**support.QUICK, "market_surge_s": "8"}

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_ten_times_as_many_orders_are_borne_and_accounted_for(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    proofs = {proof["source"]: proof for proof in live.fault(report)["proof"] if proof.get("required")}
    assert proofs["tcp"]["holds"]
    assert proofs["kernel"]["holds"]
    market = [line for line in report.raw("load") if line.get("stream") == "market"]
    assert {line["way"] for line in market} == {"proxy", "direct"}
    assert len({line["client"] for line in market}) == 40
    assert report.finding("data_loss")["value"] == 0
    numbers = [line["n"] for line in report.raw("load") if line.get("n") is not None]
    assert len(numbers) == len(set(numbers))


def test_an_exchange_that_serves_eight_connections_starves_the_others(tmp_path: Path) -> None:
    with live.weakened("few_connections"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT, chaos_watch_rate="5")
    assert report.finding("fairness")["verdict"] == "fail", report.finding("fairness")


def test_an_exchange_that_collapses_is_left_alone_until_it_is_well(tmp_path: Path) -> None:
    with live.weakened("overload_collapse"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT, market_surge_factor="30")
    assert report.finding("answer")["value"] == "collapsed"
    assert report.record["verdicts"]["restored"] == "pass"


def test_a_rush_that_nobody_sends_is_no_effect(tmp_path: Path) -> None:
    change = (
        "plugins/module_utils/observe/load/schedule.py",
        'if event.get("orders") and not self._held:',
        "if False:",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
