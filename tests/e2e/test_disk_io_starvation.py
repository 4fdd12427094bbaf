"""Experiment 05 on the embedded exchange, on one that commits each order by itself, and broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import support

EXPERIMENT = "playbooks/05-disk-io-starvation.yml"
SCHEMA = json.loads((support.ROOT / "files" / "record.schema.json").read_text())
SHORT = {"chaos_baseline_s": "6", "disk_io_starvation_s": "5"}
GOOD = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def limits(service: str) -> dict[str, str]:
    """Every limit of a service's own cgroup, as its files have them."""
    found = {}
    for name in ("blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device", "io.max"):
        for path in Path("/sys/fs/cgroup").rglob(name):
            if support.container(service) in path.parent.name:
                found[name] = path.read_text()
    assert found
    return found


def passed(folder: Path) -> support.Report:
    """Run the experiment with short windows; outcome and verdicts must be good."""
    done = support.ansible(EXPERIMENT, chaos_report_dir=str(folder), **SHORT)
    assert done.returncode == 0, done.stdout[-8000:]
    report = support.report(folder)
    jsonschema.validate(report.record, SCHEMA)
    assert report.record["outcome"] == "passed"
    assert report.record["verdicts"] == GOOD
    assert support.leftovers() == []
    return report


def broken(folder: Path, path: str, old: str, new: str) -> support.Report:
    """Run the experiment of a tree with one change; it must not pass."""
    tree = support.mutant(folder / "tree", path, old, new)
    done = support.ansible(EXPERIMENT, tree=tree, chaos_report_dir=str(folder), **SHORT)
    assert done.returncode != 0, done.stdout[-4000:]
    return support.report(folder)


def test_a_slow_disk_slows_orders_and_fails_none(tmp_path: Path) -> None:
    before = limits("postgres")
    report = passed(tmp_path)
    assert limits("postgres") == before
    (fault,) = report.record["hosts"][0]["faults"]
    fsyncs = [proof for proof in fault["proof"] if "fdatasync" in proof["fact"]]
    assert len(fsyncs) == 2
    assert all(proof["source"] == "kernel" and proof["holds"] for proof in fsyncs)
    assert report.finding("fsync_slowdown")["value"] >= 10
    assert report.finding("timeouts")["value"] == 0


@pytest.fixture
def one_by_one() -> Iterator[None]:
    """The embedded exchange with a transaction for each order, however many wait, and no time limit."""
    support.lab_with("no_group_commit", "no_timeout")
    yield
    support.lab("resilient")


@pytest.mark.full
def test_an_exchange_without_group_commit_breaks_the_hypothesis(one_by_one: None, tmp_path: Path) -> None:
    done = support.ansible(
        EXPERIMENT, chaos_report_dir=str(tmp_path), **{**SHORT, "disk_io_starvation_s": "10"}
    )
    assert done.returncode != 0, done.stdout[-4000:]
    report = support.report(tmp_path)
    assert report.record["verdicts"] == {"effect": "pass", "hypothesis": "fail", "restored": "pass"}
    assert "fail" in {
        report.finding(name)["verdict"] for name in ("order_per_fsync", "timeouts", "errors", "drain")
    }


def test_an_undo_that_writes_nothing_back_fails_the_host(tmp_path: Path) -> None:
    before = limits("postgres")
    try:
        report = broken(
            tmp_path, "plugins/module_utils/limits.py",
            'differed = write(cgroup, entry["before"], entry["device"])', "differed = True",
        )  # fmt: skip
        assert limits("postgres") != before
    finally:
        for name, text in limits("postgres").items():
            device = next((line.split()[0] for line in text.splitlines() if line not in before[name]), None)
            if device is not None:
                off = f"{device} 0" if name.startswith("blkio") else f"{device} rbps=max wbps=max"
                set_limit(name, off)
    assert limits("postgres") == before
    assert report.record["verdicts"]["restored"] == "fail"
    assert report.record["outcome"] == "failed"
    assert {leftover["kind"] for leftover in report.record["hosts"][0]["leftovers"]} == {"cgroup"}


def set_limit(name: str, text: str) -> None:
    """Write a limit of the database's cgroup by hand."""
    (path,) = [
        path
        for path in Path("/sys/fs/cgroup").rglob(name)
        if support.container("postgres") in path.parent.name
    ]
    path.write_text(text)
