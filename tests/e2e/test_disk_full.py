"""Experiment 15 on the embedded exchange, its database on a filesystem of its own; refused on the host's own disk.

In `make test` module/test_disk_filler fills such a filesystem and gives it back. Here the whole exchange has to move to
one, and back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import live, support

PLAYBOOK = "playbooks/15-disk-full.yml"
SHORT = {**support.QUICK, "disk_full_s": "8"}
MOUNT = Path("/var/lib/exchange-chaos-lab/database")

pytestmark = [
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices"),
    pytest.mark.full,
]


def lab(**variables: object) -> None:
    given = ["-e", json.dumps(variables)] if variables else []
    done = subprocess.run(
        [*support.command("playbooks/lab.yml"), *given], cwd=support.ROOT, env=support.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    live.ready()


@pytest.fixture(scope="module")
def own_disk() -> Iterator[None]:
    """The embedded exchange with its database on a filesystem of its own meanwhile."""
    lab(lab_database_disk="own")
    yield
    lab()
    assert not MOUNT.exists(), "the filesystem went with the last who wanted it"


def free() -> int:
    return os.statvfs(MOUNT).f_bavail


@pytest.mark.usefixtures("own_disk")
def test_orders_are_refused_clearly_and_come_in_again(tmp_path: Path) -> None:
    live.ready()
    before = free()
    report = live.passed(PLAYBOOK, tmp_path, **SHORT)
    assert free() > before / 2, "the room is back"
    proofs = {proof["fact"]: proof["value"] for proof in live.fault(report)["proof"] if proof["holds"]}
    assert any(
        fact.startswith("a write of") and "No space left" in str(value) for fact, value in proofs.items()
    )
    assert any("own log" in fact for fact in proofs), "PostgreSQL itself met the end of its disk"
    assert live.verdicts(report)["data_loss"] == "pass", report.finding("data_loss")
    assert report.finding("error_clarity")["value"] > 0.9


@pytest.mark.usefixtures("own_disk")
def test_all_of_ours_killed_in_the_window_gives_the_room_back(tmp_path: Path) -> None:
    live.ready()
    before = free()
    with support.under_way(tmp_path, "Fault full: ", PLAYBOOK, **SHORT) as process:
        assert free() == 0
        os.killpg(process.pid, signal.SIGKILL)
        support.kill_ours()
        support.wait_for(lambda: free() > before / 2, 5, "the kernel gives every block back")
    done = support.ansible("playbooks/00-preflight.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    support.wait_for(lambda: not support.leftovers(), 60, "leftovers")
    live.ready()


def test_an_exchange_that_answers_first_loses_orders(tmp_path: Path) -> None:
    lab(lab_database_disk="own", lab_switches=["ack_before_store"])
    try:
        report = live.failed(PLAYBOOK, tmp_path, **SHORT)
    finally:
        lab()
    assert report.finding("data_loss")["verdict"] == "fail"
    assert report.finding("acknowledged")["value"] > 0.9, "answered as if there were room"


def test_a_disk_that_others_use_is_refused(tmp_path: Path) -> None:
    live.ready()
    report = live.run(PLAYBOOK, tmp_path, passes=True, **SHORT)
    assert report.record["outcome"] == "skipped", "by itself that is no failure; in a suite it is one"
    assert "set chaos_accept_shared_disk: true" in report.log
