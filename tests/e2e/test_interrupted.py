"""Experiment 01 interrupted: the host puts everything back by itself, and says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e import live, support

#: The outage alone, with a margin short enough to wait for.
OUTAGE = {**support.SHORT, "database_sudden_death_crash": "false", "chaos_ttl_margin_s": "6"}
#: The outage's time to live: its short window of 4 s and that margin.
TTL_S = 10.0
#: Once the crash is undone, at its window of 10 s and the margin of 15 s, or where no fault is in force: the lease of
#: 20 s, and the end of the run.
LEASE_S = 25.0 + 20.0


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Each test begins on a clean host, whatever the one before it left under way."""
    support.wait_for(lambda: not support.leftovers(), 90, "the host is not clean before the test")
    support.forget_records()
    for service in ("postgres", "trading-api"):
        support.healthy(service)


def test_sigkill_in_the_outage_is_undone_within_the_time_to_live(tmp_path: Path) -> None:
    with support.under_way(tmp_path, "hold it down until the undo", **OUTAGE) as process:
        assert not support.state_of("postgres")["Running"]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        live.settle(TTL_S + 5)
    log = support.report(tmp_path).log
    assert "Fault outage" in log


@pytest.mark.full
def test_ctrl_c_in_the_baseline_leaves_nothing(tmp_path: Path) -> None:
    """In `make test`: the controller that is gone is that of SIGKILL above, the lease that of module/test_watchdog."""
    with support.under_way(tmp_path, "Probing") as process:
        for _ in range(4):
            # as a person would: again, when nothing seems to happen (a Ctrl-C while Ansible forks can get lost)
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue
        assert process.poll() is not None
        live.settle(LEASE_S)


@pytest.mark.full
def test_sigterm_in_the_crash_leaves_nothing(tmp_path: Path) -> None:
    with support.under_way(tmp_path, "Fault crash") as process:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
        live.settle(LEASE_S)


@pytest.mark.full  # in `make test`, module/test_run_playbook plays halt.yml while a container is held down
def test_halt_ends_an_outage_at_once(tmp_path: Path) -> None:
    """From another terminal, while the first still watches; the first then says that it was aborted."""
    held = {**OUTAGE, "database_sudden_death_outage_s": "15"}
    with support.under_way(tmp_path, "hold it down until the undo", **held) as process:
        halted = support.ansible("playbooks/halt.yml")
        assert halted.returncode == 0, halted.stdout
        assert support.state_of("postgres")["Running"]
        assert support.leftovers() == []
        assert process.wait(60) != 0


@pytest.mark.full
def test_both_watchdogs_killed_the_next_preflight_undoes(tmp_path: Path) -> None:
    with support.under_way(tmp_path, "hold it down until the undo") as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        for _ in range(3):
            for path in (support.STATE / "runs").glob("*/processes/*.json"):
                entry = json.loads(path.read_text())
                try:
                    os.kill(entry["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    continue
        assert not support.state_of("postgres")["Running"]
        looked = support.ansible("playbooks/00-preflight.yml")
        assert "was left behind; it was undone and ended" in looked.stdout
        live.settle(10)
