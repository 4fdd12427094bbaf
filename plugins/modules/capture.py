#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: capture
short_description: Watch the exchange from the kernel with BPF during a run
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Starts the capture process of a run under the system Python that has bcc, and waits until its programs are attached
    and its positive control, a connect of our own, was seen.
  - Without bcc the run goes on, and what rests on the capture reads as unknown.
  - The run's specification says which programs, services and ports.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  state:
    description: Whether the capture runs or is ended.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Watch the exchange's connections and exits
  exchange.chaos.capture:
    run_id: "{{ chaos_run_id }}"

- name: End the capture
  exchange.chaos.capture:
    run_id: "{{ chaos_run_id }}"
    state: absent
"""

RETURN = r"""
chaos_lines:
  description: What happened, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
chaos_bpf:
  description: Events captured since the last result.
  returned: always
  type: list
  elements: dict
bpf:
  description: "The capture's state: C(status), C(programs), C(events), C(lost), C(positive_control), C(reason)."
  returned: always
  type: dict
blind:
  description: Whether the capture runs and yet did not see its own control, so that its silence means nothing.
  returned: always
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.observe.start_capture import (
    is_blind,
    start_capture,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import attach_run


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
    empty: dict[str, Any] = {"chaos_lines": [], "chaos_bpf": [], "bpf": {}, "blind": False}
    if module.check_mode:
        module.exit_json(changed=True, **empty)
    try:
        run = attach_run(module.params["run_id"], module.params["state_dir"], of="module capture")
        changed = (
            start_capture(run)
            if module.params["state"] == "present"
            else processes.stop_process(run, "capture")
        )
        bpf = run.read_capture()
        module.exit_json(**deliver_result(run, changed=changed, bpf=bpf, blind=is_blind(bpf)))
    except ChaosError as error:
        module.fail_json(msg=str(error), changed=False, **empty)


if __name__ == "__main__":
    main()
