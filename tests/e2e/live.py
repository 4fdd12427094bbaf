"""One experiment, run live with short windows: it must pass, or fail, or notice that it was broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema

from tests.e2e import support

SERVICES = ("postgres", "redis", "trading-api", "market-simulator", "nginx")
SCHEMA = json.loads((support.ROOT / "files" / "record.schema.json").read_text())
PASSED = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}
#: To end a run whose faults are undone (s): more than a busy machine of two processors takes.
_ENDED_S = 20.0
#: The fault was there and is undone; the exchange did not bear it.
FAILED = {**PASSED, "hypothesis": "fail"}


def ready() -> None:
    """Wait until the exchange is whole, with no record of an earlier test in the way."""
    support.forget_records()
    for service in SERVICES:
        support.healthy(service)


def run(
    playbook: str, folder: Path, *, passes: bool | None, tree: Path = support.ROOT, **variables: str
) -> support.Report:
    """Run an experiment with a short baseline; it must end as expected, where that is, with a valid record."""
    wanted: dict[str, Any] = {"chaos_baseline_s": support.QUICK["chaos_baseline_s"], **variables}
    done = support.ansible(playbook, tree=tree, chaos_report_dir=str(folder), **wanted)
    assert passes in (None, done.returncode == 0), done.stdout[-8000:]
    report = support.report(folder)
    jsonschema.validate(report.record, SCHEMA)
    return report


def passed(playbook: str, folder: Path, **variables: Any) -> support.Report:
    """Run an experiment whose outcome, verdicts and findings must be good, and that leaves nothing on the machine."""
    report = run(playbook, folder, passes=True, **variables)
    assert report.record["outcome"] == "passed"
    assert report.record["verdicts"] == PASSED
    assert "fail" not in verdicts(report).values()
    assert support.leftovers() == []
    return report


def failed(playbook: str, folder: Path, **variables: Any) -> support.Report:
    """Run an experiment whose hypothesis, and nothing else, must fail."""
    report = run(playbook, folder, passes=False, **variables)
    assert report.record["outcome"] == "failed"
    assert report.record["verdicts"] == FAILED
    return report


def proved(playbook: str, folder: Path, **variables: Any) -> support.Report:
    """Run an experiment whose fault must be there and be undone, however this machine's exchange bears it."""
    report = run(playbook, folder, passes=None, **variables)
    verdicts = report.record["verdicts"]
    assert (verdicts["effect"], verdicts["restored"]) == ("pass", "pass"), report.log[-6000:]
    assert support.leftovers() == []
    return report


def broken(playbook: str, folder: Path, change: tuple[str, str, str], **variables: str) -> support.Report:
    """Run an experiment of a tree with one change (path, old, new); it must not pass."""
    tree = support.mutant(folder / "tree", *change)
    return run(playbook, folder, passes=False, tree=tree, **variables)


def without_effect(playbook: str, folder: Path, change: tuple[str, str, str], **variables: str) -> None:
    """Run an experiment of a tree with one change (path, old, new), by which its fault must show no effect."""
    report = broken(playbook, folder, change, **variables)
    assert report.record["verdicts"]["effect"] == "fail"
    assert report.record["outcome"] == "invalid"
    assert report.record["verdicts"]["restored"] == "pass"


def verdicts(report: support.Report) -> dict[str, str]:
    """The verdict of each finding of the only host."""
    return {found["id"]: found["verdict"] for found in report.record["hosts"][0]["findings"]}


def fault(report: support.Report) -> dict[str, Any]:
    """The only fault of the only host."""
    (only,) = report.record["hosts"][0]["faults"]
    return dict(only)


def limits(service: str, *names: str) -> dict[Path, str]:
    """Those limits of a service's own cgroup that this machine has, by file: the text as it stands."""
    identity = support.container(service)
    found = {
        path: path.read_text()
        for name in names
        for path in Path("/sys/fs/cgroup").rglob(name)
        if identity in path.parent.name
    }
    assert found
    return found


def settle(within: float) -> dict[str, Any]:
    """Wait until the host has undone all by itself, ``within`` seconds, and ended the run; returns the record it kept.

    What comes after the undo (the account of the orders, the comparison with before, the judging) takes as long as the
    machine needs for it.
    """
    support.wait_for(
        lambda: all(support.state_of(one)["Running"] for one in SERVICES), within, "a service is down"
    )
    support.wait_for(lambda: not support.leftovers(), within + _ENDED_S, support.leftovers)
    (folder,) = (support.STATE / "records").iterdir()
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()] if (
        folder / "journal.jsonl"
    ).exists() else []  # fmt: skip
    for sequence in {line["seq"] for line in journal}:
        assert [line["entry"] for line in journal if line["seq"] == sequence][-1] == "undone"
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    assert record["outcome"] == "aborted"
    assert record["verdicts"]["restored"] == "pass"
    return record


@contextmanager
def weakened(*switches: str) -> Iterator[None]:
    """The embedded exchange with single weaknesses meanwhile."""
    support.lab_with(*switches)
    try:
        ready()
        yield
    finally:
        support.lab()
