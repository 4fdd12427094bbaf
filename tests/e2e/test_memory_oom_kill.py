"""Experiment 03 on the embedded exchange, on one that leaks, and broken on purpose."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/03-memory-oom-kill.yml"
SHORT = {"memory_oom_kill_window_s": "8"}
LIMITS = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max", "memory.swap.max")

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_the_kernel_takes_the_api_and_it_comes_back_as_it_was(tmp_path: Path) -> None:
    before, since = live.limits("trading-api", *LIMITS), int(time.time())
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    assert live.limits("trading-api", *LIMITS) == before
    proofs = live.fault(report)["proof"]
    assert {proof["source"] for proof in proofs if proof["holds"]} >= {"kernel", "engine"}
    # Docker's own word for it, asked by the test
    said = support.docker(
        "events", "--since", str(since), "--until", str(int(time.time()) + 1), "--format",
        "{{.Action}} {{.Actor.Attributes.exitCode}}", "--filter", f"container={support.container('trading-api')}",
    )  # fmt: skip
    assert "oom <no value>" in said
    assert "die 137" in said
    assert report.finding("right_victim")["value"] is True
    assert report.finding("limits_back")["value"] is True
    assert report.finding("growth")["verdict"] == "pass"


def test_a_leak_breaks_the_hypothesis(tmp_path: Path) -> None:
    """Every order leaves 10 KiB behind."""
    with live.weakened("memory_leak"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT)
    growth = report.finding("growth")
    assert growth["verdict"] == "fail"
    assert growth["value"] == pytest.approx(10, rel=0.4)


def test_a_charge_that_charges_nothing_is_invalid(tmp_path: Path) -> None:
    """In `make test`: module/test_limits (a kill that does not come), and each recorded run without its effect."""
    before = live.limits("trading-api", *LIMITS)
    change = (
        "plugins/module_utils/faults/mechanisms/memory_hog.py",
        "written += _write(pipe)",
        "written += len(_BLOCK)",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
    assert live.limits("trading-api", *LIMITS) == before
