"""Experiment 04 on the embedded exchange, on one that burns processor time, and broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import support

EXPERIMENT = "playbooks/04-cpu-throttling.yml"
SCHEMA = json.loads((support.ROOT / "files" / "record.schema.json").read_text())
SHORT = {"chaos_baseline_s": "6", "cpu_throttling_s": "5"}
GOOD = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def limits(service: str) -> dict[str, str]:
    """Every limit of a service's own cgroup, as its files have them."""
    found = {}
    for name in ("cpu.cfs_quota_us", "cpu.max"):
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


def test_a_throttled_api_is_slow_and_fails_nothing(tmp_path: Path) -> None:
    before = limits("trading-api")
    report = passed(tmp_path)
    assert limits("trading-api") == before
    (fault,) = report.record["hosts"][0]["faults"]
    throttled = [proof for proof in fault["proof"] if "throttled" in proof["fact"]]
    assert throttled
    assert all(proof["source"] == "kernel" and proof["holds"] and proof["value"] > 0 for proof in throttled)
    (used,) = [event for event in report.raw("timeline") if event.get("name") == "cpu_used"]
    assert used["value"] <= 0.1 * 1.2
    assert report.finding("hard_errors")["value"] <= 0.02
    assert report.finding("slowdown_p95")["value"] > 1.5


@pytest.fixture
def hungry() -> Iterator[None]:
    """The embedded exchange with 5 ms of processor time burnt by every order."""
    support.lab_with("cpu_hungry")
    yield
    support.lab("resilient")


@pytest.mark.full
def test_a_hungry_exchange_breaks_the_hypothesis(hungry: None, tmp_path: Path) -> None:
    done = support.ansible(EXPERIMENT, chaos_report_dir=str(tmp_path), **{**SHORT, "cpu_throttling_s": "8"})
    assert done.returncode != 0, done.stdout[-4000:]
    report = support.report(tmp_path)
    assert report.record["verdicts"] == {"effect": "pass", "hypothesis": "fail", "restored": "pass"}
    assert "fail" in (report.finding("hard_errors")["verdict"], report.finding("p95")["verdict"])


def test_a_limit_that_is_never_written_is_invalid(tmp_path: Path) -> None:
    report = broken(
        tmp_path,
        "plugins/module_utils/faults/cpu.py",
        "            limits.apply(one)\n",
        "            pass\n",
    )
    assert report.record["verdicts"]["effect"] == "fail"
    assert report.record["outcome"] == "invalid"
