# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose host was rebooted: time goes on, what the new boot counts is no proof, restarts are the boot's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import undo
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Proof
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kind import Kind
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.judge.verdicts import judge_run
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import finish
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal

from tests.unit.scenario import Scenario


@pytest.fixture(autouse=True)
def _own_boot() -> Iterator[None]:
    yield
    clock.resume_count(clock.take_anchor())


def began(seconds_ago: float, *, boot_id: str = "an earlier one") -> clock.Anchor:
    """A run that began when its boot was a million seconds old."""
    return clock.Anchor(1_000_000.0, time.time() - seconds_ago, boot_id)


def test_the_time_of_a_run_goes_on_over_a_reboot() -> None:
    assert clock.resume_count(began(90)) is True
    assert clock.read() == pytest.approx(1_000_090, abs=1)
    assert clock.run_now(began(90)) == pytest.approx(1_000_090, abs=1)


def test_a_wall_clock_that_a_boot_set_back_puts_nothing_before_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ChaosError("Not now.")

    monkeypatch.setattr(finish, "undo", refuse)
    write_json(tmp_path / "spec.json", {"anchor": asdict(began(-7200))})
    run = RunDir(tmp_path)
    run.write_event("fault_injected", t=1_000_050.0)
    with pytest.raises(ChaosError, match="could not be undone yet"):
        finish.finish_run(run, by="boot")
    assert clock.read() == pytest.approx(1_000_050, abs=1)
    assert [event["event"] for event in run.read_timeline() if event["t"] >= 1_000_050][1:3] == [
        "finishing",
        "rebooted",
    ]


def test_in_its_own_boot_a_run_counts_as_the_kernel_does() -> None:
    kernel = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert clock.resume_count(replace(began(90), boot_id=clock.boot_id())) is False
    assert clock.read() == pytest.approx(kernel, abs=1)


@pytest.mark.parametrize("rebooted", [False, True])
def test_after_a_reboot_no_proof_is_read_of_what_it_ended(
    rebooted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Held:
        """A fault that would prove itself by whatever the kernel counts now."""

        KIND = Kind()

        def in_force(self, entry: Entry, scene: object) -> list[Proof]:
            return [Proof("kernel", "in force", True, clock.read(), True)]

        def undo(self, entry: Entry, scene: object) -> str:
            return "as before"

    monkeypatch.setattr(undo, "by_kind", lambda kind: Held())
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: object()))
    anchor = began(60) if rebooted else clock.take_anchor()
    write_json(tmp_path / "spec.json", {"anchor": asdict(anchor)})
    run = RunDir(tmp_path)
    clock.resume_count(anchor)
    entry = Journal(run).write_planned("held", "cpu", "api", ["hold it"], {}, 60)
    undo.undo(run, by="boot")
    assert [event["event"] for event in run.read_timeline()].count("proof") == (0 if rebooted else 1)
    (closed,) = Journal(run).entries()
    assert closed.undone_by == "boot"
    assert closed.undone_at is not None
    assert closed.undone_at >= entry.planned_at


def test_restarts_by_a_reboot_are_no_leftovers(tmp_path: Path) -> None:
    restore = {"leftovers": [], "restarts": {"postgres": 1, "redis": 1, "nginx": 1}, "unchecked": []}
    scenario = Scenario(restore=restore)
    rebooted = {"t": scenario.end, "event": "rebooted"}
    found = judge_run(Scenario(restore=restore, extra_timeline=[rebooted]).evidence(tmp_path))
    assert (found.restored, found.leftovers) == ("pass", [])
    assert "redis was started anew with the host (containers: 1)." in found.reasons
