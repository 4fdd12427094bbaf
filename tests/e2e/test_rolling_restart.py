"""Experiment 16 on the embedded exchange: a deployment under load, one that ends out of order, one interrupted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/16-rolling-restart.yml"
SHORT = {
    **support.QUICK, "rolling_restart_order": "api,proxy", "rolling_restart_pause_s": "1",
    "rolling_restart_window_s": "14",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("ready")


def started() -> dict[str, str]:
    return {service: support.state_of(service)["StartedAt"] for service in live.SERVICES}


def test_api_and_proxy_are_restarted_in_order_and_nothing_is_lost(tmp_path: Path) -> None:
    before = started()
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    after = started()
    assert {service for service in after if after[service] != before[service]} == {"trading-api", "nginx"}
    facts = {proof["fact"]: proof for proof in live.fault(report)["proof"] if proof["holds"]}
    assert "exchange-chaos-lab-trading-api by signal 15" in facts, "as aiohttp has it"
    assert "exchange-chaos-lab-nginx by signal 3" in facts, "the image's own stop signal"
    for name in ("ignored_stops", "cut_requests", "data_loss", "unmeant_restarts"):
        assert live.verdicts(report)[name] == "pass", report.finding(name)


@pytest.mark.full
def test_who_does_not_end_when_asked_is_red(tmp_path: Path) -> None:
    """In `make test`: each finding turned red on simulated runs (unit/judge/test_metrics_restarts)."""
    with live.weakened("ignores_sigterm", "abrupt_proxy"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT, rolling_restart_grace_s="3")
    ignored = report.finding("ignored_stops")
    assert (ignored["verdict"], ignored["value"]) == ("fail", 1)
    assert "trading-api killed after 3." in ignored["evidence"]
    assert report.finding("cut_requests")["verdict"] == "fail"


@pytest.mark.full
def test_killed_in_the_middle_everything_runs_again(tmp_path: Path) -> None:
    """The API is stopped and has not been started again when all of ours is killed; the next preflight starts it."""
    with live.weakened("ignores_sigterm"):
        variables = {**SHORT, "rolling_restart_grace_s": "6"}
        with support.under_way(tmp_path, "steady", PLAYBOOK, **variables) as process:
            support.wait_for(asked, 60, "nobody was asked to end")
            os.killpg(process.pid, signal.SIGKILL)
            for pid in pids():
                os.kill(pid, signal.SIGKILL)
        support.wait_for(
            lambda: not support.state_of("trading-api")["Running"], 15, "the engine's stop goes on"
        )
        done = support.ansible("playbooks/00-preflight.yml")
        assert done.returncode == 0, done.stdout[-3000:]
        assert support.state_of("trading-api")["Running"]
        support.wait_for(lambda: not support.leftovers(), 60, "leftovers")


def pids() -> list[int]:
    """Every process of a run on this machine."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if b"chaos.pyz" in command_line(path)]


def asked() -> bool:
    """Whether a run has asked the engine to end a container."""
    return any(path.stat().st_size for path in (support.STATE / "runs").glob("*/rolling.jsonl"))


def command_line(path: Path) -> bytes:
    try:
        return (path / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
