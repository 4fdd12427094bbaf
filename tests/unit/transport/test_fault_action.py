# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that was aborted before its fault began fails at the fault, and its wave hears of it all the same."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.action import fault
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kind import Kind
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module
from ansible_collections.exchange.chaos.plugins.module_utils.run import abort
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
RUN = "exp-01-core"
REASON = "error_ratio is 0.9, above its limit of 0.5"
PLAYBOOK = """
- hosts: exchange
  gather_facts: false
  tasks:
    - name: Inject
      exchange.chaos.kill:
        run_id: exp-01-core
        state_dir: "{{ playbook_dir }}/{{ inventory_hostname }}"
        project: nobodys-project
        service: postgres
        fault: crash
        ttl: 30
      ignore_errors: true
    - name: Say what the host hears
      ansible.builtin.copy:
        content: "{{ lookup('exchange.chaos.wave_stop', 'exp-01-core', inventory_hostname) }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.heard"
        mode: "0600"
"""


def aborted(folder: Path, kind: str) -> RunDir:
    """A run of a state folder, under way (runs) or ended (records), that its guard aborted."""
    run = RunDir(folder / kind / RUN)
    run.path.mkdir(parents=True)
    run.write_event("aborted", reason=REASON, by="guard")
    return run


@pytest.mark.parametrize("kind", ["runs", "records"])
def test_the_reason_is_known_while_a_run_is_under_way_and_when_it_was_ended(
    tmp_path: Path, kind: str
) -> None:
    assert abort.abort_reason(StateDir(tmp_path), RUN) == ""
    aborted(tmp_path, kind)
    assert abort.abort_reason(StateDir(tmp_path), RUN) == REASON
    assert abort.abort_reason(StateDir(tmp_path), "No run of ours") == ""


class Answer(Exception):
    """What a module says and ends with."""


class Module:
    """A fault's module that only answers."""

    check_mode = False

    def __init__(self, folder: Path) -> None:
        self.given: set[str] = set()
        self.argument_spec: dict[str, Any] = {}
        self.no_log_values: set[str] = set()
        self.params = {"run_id": RUN, "state_dir": str(folder), "fault": "crash", "service": "postgres",
                       "project": "p", "ttl": 30.0, "state": "present"}  # fmt: skip

    def fail_json(self, **answer: Any) -> None:
        raise Answer(answer)


def refusing() -> ModuleType:
    """A kind of fault whose run is aborted in its lead."""

    def check(_wanted: Any) -> list[str]:
        raise ChaosError("The run was aborted before fault crash was injected; nothing was changed.")

    kind = ModuleType("kinds.refusing")
    kind.KIND, kind.check = Kind(), check  # type: ignore[attr-defined]
    return kind


def test_a_fault_that_was_refused_says_why_the_run_was_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted(tmp_path, "runs")
    for folder, reason in ((tmp_path, REASON), (tmp_path / "other", "")):
        monkeypatch.setattr(fault_module, "FaultModule", lambda _kind, folder=folder: Module(folder))
        with pytest.raises(Answer) as told:
            fault_module.run(refusing())  # type: ignore[arg-type]
        assert told.value.args[0]["aborted"] == reason


def test_the_wave_hears_of_an_abort_that_no_window_could_tell(tmp_path: Path) -> None:
    aborted(tmp_path / "h1", "records")
    python = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    (tmp_path / "hosts").write_text(f"[exchange]\nh1 {python}\nh2 {python}\n")
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts"),
         str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    heard = {host: (tmp_path / f"{host}.heard").read_text() for host in ("h1", "h2")}
    assert heard == {"h1": "", "h2": f"h1, of the same wave, was aborted: {REASON}"}


def test_every_fault_module_has_that_action() -> None:
    kinds = set(registry.known_kinds())
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert set(runtime["action_groups"]["faults"]) == kinds | {"fault"}
    for kind in kinds:
        found = importlib.import_module(f"ansible_collections.exchange.chaos.plugins.action.{kind}")
        assert found.ActionModule is fault.ActionModule
