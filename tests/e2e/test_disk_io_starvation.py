"""Experiment 05 on the embedded exchange, on one that commits each order by itself, and broken on purpose.

In `make test` its limits are written and read back by tests/module/test_limits.py, its findings are those of a recorded
run (tests/unit/behaviour/test_recorded_runs.py), and a limit in a whole run is experiment 03's.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live

PLAYBOOK = "playbooks/05-disk-io-starvation.yml"
SHORT = {"disk_io_starvation_s": "5"}
LIMITS = ("blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device", "io.max")

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_a_slow_disk_slows_orders_and_fails_none(tmp_path: Path) -> None:
    before = live.limits("postgres", *LIMITS)
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    assert live.limits("postgres", *LIMITS) == before
    fsyncs = [proof for proof in live.fault(report)["proof"] if "fdatasync" in proof["fact"]]
    assert [(proof["source"], proof["holds"]) for proof in fsyncs] == [("kernel", True)] * 2, fsyncs
    (own,) = (
        proof for proof in live.fault(report)["proof"] if proof["fact"].startswith("fsyncs of postgres")
    )
    assert (own["source"], own["holds"]) == ("kernel", True), own
    assert report.finding("fsync_slowdown")["value"] >= 10
    assert report.finding("timeouts")["value"] == 0


def test_an_exchange_without_group_commit_breaks_the_hypothesis(tmp_path: Path) -> None:
    """Every order is a transaction, however many wait, and nothing limits how long one waits."""
    with live.weakened("no_group_commit", "no_timeout"):
        report = live.failed(PLAYBOOK, tmp_path, disk_io_starvation_s="10")
    assert "fail" in {
        report.finding(name)["verdict"] for name in ("order_per_fsync", "timeouts", "errors", "drain")
    }


def test_contention_keeps_the_whole_disk_busy_and_ends(tmp_path: Path) -> None:
    shared = {"disk_io_starvation_mode": "contention", "chaos_accept_shared_disk": "true"}
    fault = live.fault(live.proved(PLAYBOOK, tmp_path, **shared, disk_io_starvation_s="8"))
    assert fault["engine"] in ("fio", "stress-ng")
    (busy,) = [proof for proof in fault["proof"] if "was busy" in proof["fact"]]
    assert busy["holds"]


def test_an_undo_that_writes_nothing_back_fails_the_host(tmp_path: Path) -> None:
    before = live.limits("postgres", *LIMITS)
    change = (
        "plugins/module_utils/faults/mechanisms/limits.py",
        'differed = write_limits(cgroup, entry["before"], entry["device"])',
        "differed = True",
    )
    try:
        report = live.broken(PLAYBOOK, tmp_path, change, **SHORT, chaos_recovery_timeout_s="4")
        assert live.limits("postgres", *LIMITS) != before
    finally:
        for path, text in live.limits("postgres", *LIMITS).items():
            for device in {line.split()[0] for line in text.splitlines() if line not in before[path]}:
                path.write_text(
                    f"{device} 0" if path.name.startswith("blkio") else f"{device} rbps=max wbps=max"
                )
    assert live.limits("postgres", *LIMITS) == before
    assert report.record["verdicts"]["restored"] == "fail"
    assert report.record["outcome"] == "failed"
    assert {leftover["kind"] for leftover in report.record["hosts"][0]["leftovers"]} == {"cgroup"}
