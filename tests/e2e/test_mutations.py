"""The instrument broken on purpose: each run must notice that it learned nothing, or that the host is not restored.

The same is shown in `make test` by judging recorded runs again (tests/unit/behaviour/test_recorded_runs.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import live, support

ONLY_CRASH = {**support.SHORT, "database_sudden_death_outage": "false"}
ONLY_OUTAGE = {**support.SHORT, "database_sudden_death_crash": "false"}


pytestmark = [pytest.mark.full, pytest.mark.usefixtures("ready")]


def test_a_kill_that_kills_nothing_is_invalid(tmp_path: Path) -> None:
    change = (
        "plugins/module_utils/faults/kinds/kill.py",
        "signal.pidfd_send_signal(pidfd, signal.SIGKILL)",
        "signal.pidfd_send_signal(pidfd, signal.SIGCONT)",
    )
    live.without_effect(support.EXPERIMENT, tmp_path, change, **ONLY_CRASH)


def test_a_capture_of_the_wrong_port_is_invalid(tmp_path: Path) -> None:
    change = (
        "roles/chaos/vars/main.yml",
        "__chaos_stores.database.port | string: 'database'",
        "(__chaos_stores.database.port | int + 1) | string: 'database'",
    )
    report = live.broken(support.EXPERIMENT, tmp_path, change, **ONLY_CRASH)
    assert report.record["hosts"][0]["bpf"]["positive_control"] is False
    assert report.record["outcome"] == "invalid"


def test_a_run_without_load_is_invalid(tmp_path: Path) -> None:
    change = (
        "plugins/module_utils/observe/load/sender.py",
        "def send(self, at: float, stream: str) -> None:",
        "def send(self, at: float, stream: str) -> None:\n        return\n\n"
        "    def sent(self, at: float, stream: str) -> None:",
    )
    report = live.broken(support.EXPERIMENT, tmp_path, change, **ONLY_CRASH)
    assert report.record["outcome"] == "invalid"


def test_an_undo_that_undoes_nothing_fails_the_host(tmp_path: Path) -> None:
    before = support.container("postgres")
    change = (
        "plugins/module_utils/faults/mechanisms/container_end.py",
        "            _start(container_id, engine)\n",
        "",
    )
    try:
        report = live.broken(
            support.EXPERIMENT, tmp_path, change, **ONLY_OUTAGE, chaos_recovery_timeout_s="4"
        )
    finally:
        support.docker("start", before)
        support.healthy("postgres")
    assert report.record["verdicts"]["restored"] == "fail"
    assert report.record["outcome"] == "failed"
    kinds = {leftover["kind"] for leftover in report.record["hosts"][0]["leftovers"]}
    assert "container_state" in kinds
