#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: probes
short_description: Asks the services during a run whether they are well
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - With O(state=present) starts a process on the host that takes samples of each probe in the run's specification.
    A probe is an HTTP request whose status and body must be as expected, or a TCP connect.
    The process outlives the task.
  - From the announcement of a fault until the exchange is steady again the samples are dense.
  - With O(state=absent) ends that process.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  state:
    description: Whether samples are being taken.
    type: str
    choices: [present, absent]
    default: present
attributes:
  diff_mode:
    support: none
    details: What there is to see before it happens is in RV(plan).
seealso:
  - module: exchange.chaos.run
  - module: exchange.chaos.load
"""

EXAMPLES = r"""
- name: Start the probes
  exchange.chaos.probes:
    run_id: "{{ run_id }}"

- name: End the probes
  exchange.chaos.probes:
    run_id: "{{ run_id }}"
    state: absent
"""

RETURN = r"""
plan:
  description: What is done, or in check mode would be done, line by line.
  returned: always
  type: list
  elements: str
chaos_lines:
  description: Lines for the screen and the log.
  returned: always
  type: list
  elements: dict
chaos_bpf:
  description: Events captured since the last result.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load import load_plan
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes import start
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines, deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import attach_run


def make_present(run: RunDir, check: bool) -> Result:
    """Start the process unless it runs."""
    plan = load_plan.describe_probes([probe.to_data() for probe in run.spec.probes])
    changed = not processes.living_process(run, "probes") if check else start.start_probes(run)
    return _answer(run, check, changed=changed, plan=plan)


def make_absent(run: RunDir, check: bool) -> Result:
    """End the process."""
    running = processes.living_process(run, "probes")
    if running and not check:
        processes.stop_process(run, "probes")
    return _answer(run, check, changed=bool(running), plan=["end the probes"] if running else [])


def _answer(run: RunDir, check: bool, **fields: Any) -> Result:
    if not check:
        return deliver_result(run, **fields)
    lines = Lines()
    for line in fields["plan"]:
        lines.say("info", f"Would {line}")
    return {"chaos_lines": lines.lines, "chaos_bpf": [], **fields}


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    act = make_present if module.params["state"] == "present" else make_absent
    try:
        run = attach_run(module.params["run_id"], module.params["state_dir"], of="module probes")
        module.exit_json(**act(run, module.check_mode))
    except ChaosError as error:
        module.fail_json(msg=str(error), changed=False, plan=[], chaos_lines=[], chaos_bpf=[])


if __name__ == "__main__":
    main()
