"""Experiment 04 on the embedded exchange, on one that burns processor time, and broken on purpose.

In `make test` its limits are written and read back by tests/module/test_limits.py, its findings are those of a recorded
run (tests/unit/behaviour/test_recorded_runs.py), and a limit in a whole run is experiment 03's.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/04-cpu-throttling.yml"
SHORT = {"cpu_throttling_s": "5"}
LIMITS = ("cpu.cfs_quota_us", "cpu.max")

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_a_throttled_api_is_slow_and_fails_nothing(tmp_path: Path) -> None:
    before = live.limits("trading-api", *LIMITS)
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    assert live.limits("trading-api", *LIMITS) == before
    throttled = [proof for proof in live.fault(report)["proof"] if "throttled" in proof["fact"]]
    assert throttled
    assert all(proof["source"] == "kernel" and proof["holds"] and proof["value"] > 0 for proof in throttled)
    (used,) = [event for event in report.raw("timeline") if event.get("name") == "cpu_used"]
    assert used["value"] <= 0.1 * 1.2
    assert report.finding("hard_errors")["value"] <= 0.02
    # As the client's raw answers have it. How much slower, a noisy machine decides: its baseline is slow, too.
    (calm_low, calm_high), (held_low, held_high) = (
        about_p95(times) for times in latencies(report, "throttle")
    )
    assert held_low > calm_low
    assert held_low / calm_high <= report.finding("slowdown_p95")["value"] <= held_high / calm_low


def latencies(report: support.Report, fault: str) -> tuple[list[float], list[float]]:
    """Seconds from when an order should leave to its answer: in the baseline, and while a fault was held."""
    at = {
        (event["event"], event["id"] if event["event"].startswith("phase") else event["fault"]): event["t"]
        for event in report.raw("timeline")
        if event["event"] in ("phase", "phase_end", "fault_injected", "fault_undone")
    }
    spans = (
        (at[("phase", "baseline")], at[("phase_end", "baseline")]),
        (at[("fault_injected", fault)], at[("fault_undone", fault)]),
    )
    orders = [line for line in report.raw("load") if line.get("ok")]
    found = [
        [order["end"] - order["at"] for order in orders if start <= order["at"] < end] for start, end in spans
    ]
    return found[0], found[1]


def about_p95(times: list[float]) -> tuple[float, float]:
    """What lies on either side of the 95th percentile; of some sixty orders, neighbours are far apart."""
    ranked = sorted(times)
    return ranked[int(0.92 * len(ranked))], ranked[min(int(0.98 * len(ranked)) + 1, len(ranked) - 1)]


def test_a_hungry_exchange_breaks_the_hypothesis(tmp_path: Path) -> None:
    """Every order burns 5 ms of processor time."""
    with live.weakened("cpu_hungry"):
        report = live.failed(PLAYBOOK, tmp_path, cpu_throttling_s="8")
    assert "fail" in (report.finding("hard_errors")["verdict"], report.finding("p95")["verdict"])


def test_a_limit_that_is_never_written_is_invalid(tmp_path: Path) -> None:
    change = (
        "plugins/module_utils/faults/kinds/cpu.py",
        "            limits.apply_change(one)\n",
        "            pass\n",
    )
    live.without_effect(PLAYBOOK, tmp_path, change, **SHORT)
