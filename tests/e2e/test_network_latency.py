"""Experiment 09 on the embedded exchange, and on one whose orders ask the database again and again.

In `make test` each delay is measured by tests/module/test_network_faults.py, the findings are those of a recorded run
(tests/unit/behaviour/test_recorded_runs.py), and a path in a whole run is experiment 02's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/09-network-latency.yml"
SHORT = {"network_latency_step_s": "4"}

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_each_step_is_proved_and_measured(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    faults = report.record["hosts"][0]["faults"]
    assert [fault["id"] for fault in faults] == ["latency_50", "latency_100", "latency_200"]
    for fault in faults:
        assert fault["engine"] in ("tun", "netem")
        measured = [proof for proof in fault["proof"] if proof["source"] == "kernel"]
        assert measured
        assert all("TCP_INFO" in proof["fact"] and proof["holds"] for proof in measured), measured
    # slower orders, in proportion: as the client's raw answers have it
    added = {step: slower(report, f"latency_{step}") for step in (50, 100, 200)}
    assert 50 <= added[50] < added[100] < added[200], added
    for step, value in added.items():
        assert report.finding(f"latency_{step}")["value"] == pytest.approx(value, abs=30)


def slower(report: support.Report, fault: str) -> float:
    """By how many milliseconds the median good order was slower in a fault's window than before all faults."""
    marks = {
        (event["event"], event.get("fault")): event["t"]
        for event in report.raw("timeline")
        if event["event"] in ("fault_injected", "fault_undone")
    }
    first = min(t for (name, _fault), t in marks.items() if name == "fault_injected")
    start, end = marks[("fault_injected", fault)], marks[("fault_undone", fault)]

    def middle(good: list[dict[str, Any]]) -> float:
        times = sorted(1000 * (line["end"] - line["at"]) for line in good)
        return float(times[len(times) // 2])

    orders = [line for line in report.raw("load") if line.get("ok") and "sent" in line]
    return middle([line for line in orders if start <= line["at"] < end]) - middle(
        [line for line in orders if line["at"] < first - 2]
    )


def test_a_chatty_exchange_breaks_the_hypothesis(tmp_path: Path) -> None:
    """Every order asks the database ten times more."""
    with live.weakened("chatty_store"):
        report = live.failed(PLAYBOOK, tmp_path, **SHORT)
    assert report.finding("per_ms")["verdict"] == "fail"
    assert report.finding("timeouts_begin")["verdict"] == "fail"


@pytest.mark.timeout(900)
def test_it_climbs_until_time_outs_begin(tmp_path: Path) -> None:
    report = live.passed(PLAYBOOK, tmp_path, network_latency_step_s="3", network_latency_until_timeout="true")
    begin = report.finding("timeouts_begin")
    assert begin["verdict"] == "pass"
    assert 200 < begin["value"] <= 10000
