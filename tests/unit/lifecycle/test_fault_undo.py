# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault's undo by its module means for the run: it lives on, and no longer than its lease."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import undo
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Proof
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kind import Kind
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module
from ansible_collections.exchange.chaos.plugins.module_utils.run import lease
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry, Journal
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir

RUN = "exp-01-20261125-100000"
UNDO = {"op": "running", "project": "lab", "service": "postgres", "containers": ["c1"], "held": True}
TTL_S = 2.0


class Undone:
    """A fault that is undone at once."""

    KIND = Kind()

    def undo(self, entry: Entry, engine: DockerEngine) -> str:
        return "as before"

    def in_force(self, entry: Entry, engine: DockerEngine) -> list[Proof]:
        return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run with one fault in force, whose time to live is nearly over."""
    monkeypatch.setattr(undo, "by_kind", lambda kind: Undone())
    monkeypatch.setattr(DockerEngine, "connect", classmethod(lambda cls, **how: object()))
    home = StateDir(tmp_path / "state")
    home.lock_project("lab", RUN, "anna")
    made = home.create_run_dir(RUN)
    anchor = {"boottime": clock.read(), "realtime": time.time(), "boot_id": clock.boot_id()}
    write_json(made.file("spec.json"), {"project": "lab", "anchor": anchor, "patience_s": 3})
    Journal(made).write_planned("outage", "kill", "postgres", ["kill"], UNDO, TTL_S)
    return made


def test_a_run_whose_fault_is_undone_lives_as_long_as_any_other(run: RunDir) -> None:
    """The controller may have other hosts to talk to before it comes by again: one out of reach, say."""
    lease.renew_on_contact(run)
    assert run.read_deadline() <= clock.read() + TTL_S, "a fault in force bounds it"
    wanted = {
        "run_id": RUN,
        "state_dir": str(run.path.parent.parent),
        "id": "outage",
        "kind": "kill",
        "linger": 0.0,
    }
    assert fault_module.make_absent(wanted)["changed"] is True
    assert run.read_deadline() == pytest.approx(clock.read() + lease.LEASE_S + 3, abs=1)


def test_a_full_disk_keeps_neither_fault_nor_run_any_longer(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, value: object, **how: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        "ansible_collections.exchange.chaos.plugins.module_utils.run.folder.write_json", refuse
    )
    lease.renew_on_contact(run)
    assert run.read_deadline() == 0
