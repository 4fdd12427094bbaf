# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a fault's path leads, as a role of the collection has it described by Ansible: groups, hosts, addresses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.full
@pytest.mark.parametrize("role", ["network_partition", "network_latency"])
def test_the_roles_give_each_host_the_other_zones_addresses(tmp_path: Path, role: str) -> None:
    """The roles' own variables, evaluated by Ansible on two hosts of two zones; no host is asked for anything."""
    (tmp_path / "hosts.yml").write_text(
        json.dumps(
            {
                "all": {
                    "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                    "children": {
                        "zone_a": {"hosts": {"a1": {"ansible_host": "10.1.0.1"}}},
                        "zone_b": {
                            "hosts": {
                                "b1": {"chaos_address": ["10.2.0.1", "fd02::1"]},
                                "b2": {"ansible_host": "10.2.0.2"},
                            }
                        },
                    },
                }
            }
        )
    )
    (tmp_path / "play.yml").write_text(
        f"""
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: exchange.chaos.{role}}}
      vars:
        chaos_tasks: describe
        chaos_experiment: {{number: 2, name: {role}, title: x}}
    - ansible.builtin.copy:
        content: "{{{{ chaos_described[0].faults | to_json }}}}"
        dest: "{tmp_path}/{{{{ inventory_hostname }}}}.json"
        mode: "0600"
"""
    )

    def run(**variables: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "hosts.yml", "play.yml", "-e", json.dumps(variables)],
            cwd=tmp_path, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    done = run(**{f"{role}_between": ["zone_a", "zone_b"], f"{role}_peer_port": 5432})
    assert done.returncode == 0, done.stdout + done.stderr
    faults = {host: json.loads((tmp_path / f"{host}.json").read_text())[0] for host in ("a1", "b1", "b2")}
    assert faults["a1"]["peer_addresses"] == ["10.2.0.1", "fd02::1", "10.2.0.2"]
    assert faults["b1"]["peer_addresses"] == faults["b2"]["peer_addresses"] == ["10.1.0.1"]
    assert {(fault["peer"], fault["port"]) for fault in faults.values()} == {("", 5432)}
    done = run(**{f"{role}_between": ["zone_a", "nowhere"]})
    assert done.returncode != 0
    assert "no hosts in a group nowhere" in done.stdout + done.stderr
    # a database on another host, by what the lifecycle's own variable says
    done = run(chaos_external={"database": {"address": "10.0.0.9", "port": 5433}})
    assert done.returncode == 0, done.stdout + done.stderr
    fault = json.loads((tmp_path / "a1.json").read_text())[0]
    assert (fault["peer"], fault["peer_addresses"], fault["port"]) == ("", ["10.0.0.9"], 5433)
    done = run(chaos_external={"database": {"address": "b1"}})
    assert done.returncode == 0, done.stdout + done.stderr
    fault = json.loads((tmp_path / "a1.json").read_text())[0]
    assert (fault["peer_addresses"], fault["port"]) == (["10.2.0.1", "fd02::1"], 5432)
    assert run().returncode == 0
    fault = json.loads((tmp_path / "a1.json").read_text())[0]
    assert (fault["peer"], fault["peer_addresses"], fault["port"]) == ("postgres", [], 5432)
