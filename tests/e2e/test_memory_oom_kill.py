"""Experiment 03 on the embedded exchange, on one that leaks, and broken on purpose."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.e2e import support

EXPERIMENT = "playbooks/03-memory-oom-kill.yml"
SCHEMA = json.loads((support.ROOT / "files" / "record.schema.json").read_text())
SHORT = {"chaos_baseline_s": "6", "memory_oom_kill_window_s": "8"}
GOOD = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}


@pytest.fixture(autouse=True)
def _clean() -> None:
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def limits(service: str) -> dict[str, str]:
    """Every limit of a service's own cgroup, as its files have them."""
    found = {}
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max", "memory.swap.max"):
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


def test_the_kernel_takes_the_api_and_it_comes_back_as_it_was(tmp_path: Path) -> None:
    before, since = limits("trading-api"), int(time.time())
    report = passed(tmp_path)
    assert limits("trading-api") == before
    (fault,) = report.record["hosts"][0]["faults"]
    assert {proof["source"] for proof in fault["proof"] if proof["holds"]} >= {"kernel", "engine"}
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


@pytest.fixture
def leaking() -> Iterator[None]:
    """The embedded exchange with 10 KiB left behind by every order."""
    support.lab_with("memory_leak")
    yield
    support.lab("resilient")


@pytest.mark.full
def test_a_leak_breaks_the_hypothesis(leaking: None, tmp_path: Path) -> None:
    done = support.ansible(EXPERIMENT, chaos_report_dir=str(tmp_path), **SHORT)
    assert done.returncode != 0, done.stdout[-4000:]
    report = support.report(tmp_path)
    assert report.record["verdicts"] == {"effect": "pass", "hypothesis": "fail", "restored": "pass"}
    growth = report.finding("growth")
    assert growth["verdict"] == "fail"
    assert growth["value"] == pytest.approx(10, rel=0.4)


def test_a_charge_that_charges_nothing_is_invalid(tmp_path: Path) -> None:
    before = limits("trading-api")
    report = broken(
        tmp_path, "plugins/module_utils/charge.py", "written += _write(pipe)", "written += len(_BLOCK)"
    )
    assert report.record["verdicts"]["effect"] == "fail"
    assert report.record["outcome"] == "invalid"
    assert limits("trading-api") == before
