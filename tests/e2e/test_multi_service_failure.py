"""Experiment 10 on the embedded exchange: three services die in one instant and come back by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/10-multi-service-failure.yml"
TRIO = ("postgres", "redis", "trading-api")

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """When each container was started, as the engine tells it."""
    live.ready()
    return {service: support.state_of(service)["StartedAt"] for service in live.SERVICES}


@pytest.fixture(scope="module")
def report(before: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> support.Report:
    short = {**support.QUICK, "multi_service_failure_window_s": "12"}
    return live.passed(PLAYBOOK, tmp_path_factory.mktemp("several"), **short)


def test_all_three_were_hit_at_once(report: support.Report) -> None:
    assert live.fault(report)["target"] == ", ".join(TRIO)


def test_the_three_and_nobody_else_were_started_anew(report: support.Report, before: dict[str, str]) -> None:
    after = {service: support.state_of(service)["StartedAt"] for service in live.SERVICES}
    assert {service for service in after if after[service] != before[service]} == set(TRIO)


def test_each_exit_is_proved_and_they_lie_together(report: support.Report) -> None:
    seen = [
        proof["fact"]
        for proof in live.fault(report)["proof"]
        if proof["source"] == "kernel" and proof["holds"]
    ]
    for service in TRIO:
        assert f"{service} exits by signal 9 (tracepoint)" in seen
    assert report.finding("spread")["value"] < 0.2


def test_its_own_findings_were_measured(report: support.Report) -> None:
    found = live.verdicts(report)
    for name in ("database_down", "cache_down", "api_down", "recovery_order", "proxy_back", "self_healing"):
        assert found[name] == "pass", report.finding(name)


def move_api() -> None:
    """Give the API an address that it will not get again: a lower one is taken while it starts, and free afterwards."""
    api, occupant = support.container("trading-api"), f"{support.PROJECT}-occupant"
    network, image = f"{support.PROJECT}_default", support.docker("inspect", "-f", "{{.Image}}", api)
    support.docker("stop", api)
    try:
        support.docker("run", "-d", "--rm", "--network", network, "--name", occupant, image, "sleep", "120")
        support.docker("start", api)
        support.healthy("trading-api")
        # the proxy looks its backends up when it starts
        support.docker("restart", support.container("nginx"))
        support.healthy("nginx")
    finally:
        support.docker("rm", "-f", occupant)


def test_a_proxy_that_looks_its_backends_up_once_is_red(tmp_path: Path) -> None:
    live.ready()
    short = {**support.QUICK, "multi_service_failure_window_s": "6", "chaos_recovery_timeout_s": "6"}
    with live.weakened("static_upstream"):
        move_api()
        broken = live.run(PLAYBOOK, tmp_path, passes=False, **short)
    assert broken.record["outcome"] == "failed"
    assert broken.record["verdicts"]["effect"] == "pass"
    found = live.verdicts(broken)
    assert found["proxy_back"] == "fail"
    assert found["recovery"] == "fail"
    assert found["api_down"] == "pass", "all but the proxy's view of it is well"
    assert "trading-api moved from" in broken.finding("proxy_back")["evidence"]
