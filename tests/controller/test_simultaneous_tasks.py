# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lifecycle around one instant: a wave has the same one, other runs have none, too few forks are refused.

The fault's module refuses, since no run is open; what it was asked for is what is looked at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("alpha", "beta", "gamma")
PLAYBOOK = """
- hosts: all
  gather_facts: false
  serial: "{{ serial | default('100%') }}"
  vars:
    chaos_fault: {id: crash, kind: kill}
    chaos_simultaneous: false
    chaos_arm_s: 6
  tasks:
    - module_defaults:
        group/exchange.chaos.chaos: {run_id: exp-00-none}
      block:
        - ansible.builtin.include_tasks: ROOT/roles/chaos/tasks/TASKS.yml
      rescue:
        - ansible.builtin.copy:
            content: "{{ ansible_failed_result | to_json }}"
            dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
"""


def play(folder: Path, tasks: str, *more: str) -> dict[str, dict[str, Any]]:
    """Play the tasks on three hosts and return what each one's module answered."""
    (folder / "play.yml").write_text(PLAYBOOK.replace("ROOT", str(ROOT)).replace("TASKS", tasks))
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    (folder / "hosts").write_text("".join(f"{host} {local}\n" for host in HOSTS))
    done = subprocess.run(
        ["ansible-playbook", "-i", str(folder / "hosts"), str(folder / "play.yml"), *more],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
            "ANSIBLE_STDOUT_CALLBACK": "default",
        },
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: json.loads((folder / f"{host}.json").read_text()) for host in HOSTS}


def instants(answers: dict[str, dict[str, Any]]) -> list[Any]:
    told = "Fault crash is in no specification of run exp-00-none"
    assert all(told in answer["msg"] for answer in answers.values()), answers
    return [answer["invocation"]["module_args"]["at"] for answer in answers.values()]


def test_all_hosts_of_a_wave_get_the_same_instant_ahead(tmp_path: Path) -> None:
    began = time.time()
    first, *others = instants(play(tmp_path, "fault", "-e", "chaos_simultaneous=true"))
    assert others == [first, first]
    assert began + 7.5 <= first <= time.time() + 7.5, "six seconds and a half for each of three hosts"


@pytest.mark.full
def test_each_wave_agrees_anew(tmp_path: Path) -> None:
    alpha, *others = instants(play(tmp_path, "fault", "-e", '{"chaos_simultaneous": true, "serial": [1, 2]}'))
    assert others[0] == others[1] > alpha


@pytest.mark.full
def test_without_it_there_is_none(tmp_path: Path) -> None:
    assert instants(play(tmp_path, "fault")) == [None, None, None]


@pytest.mark.parametrize("forks", [2])
def test_fewer_forks_than_hosts_are_refused_before_anything(tmp_path: Path, forks: int) -> None:
    answers = play(tmp_path, "open", "-e", "chaos_simultaneous=true", "--forks", str(forks))
    assert {answer["msg"] for answer in answers.values()} == {
        "chaos_simultaneous arms all 3 hosts of a wave at once, but Ansible works on 2 at a time: "
        "add --forks 3, or make the waves smaller."
    }
