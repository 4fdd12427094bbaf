#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: window
short_description: Watch a slice of a run's observation window
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Waits for a slice of a window, keeps the run alive meanwhile, and says what load and probes saw.
  - A window is watched by calling this until C(done), which is true when its time is over, when the exchange was
    steady for as long as steadiness needs (O(until=steady)), or when the run was aborted.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  phase:
    description:
      - The window's name in the record, such as C(baseline).
      - In the one called C(placebo) load and observers do what they do around a fault, and nothing is injected; if the
        exchange does not bear that, the load is taken away and the run injects nothing.
    type: str
    required: true
  fault:
    description: The fault whose window this is; none for the baseline and the placebo.
    type: str
  seconds:
    description: How long the whole window may last.
    type: float
    required: true
  slice:
    description: How long one call may wait at most.
    type: float
    default: 5.0
  until:
    description: Whether the window ends by V(time), or earlier when the exchange is V(steady).
    type: str
    choices: [time, steady]
    default: time
  abort:
    description:
      - Why the run is to be aborted now. Every fault on the host is undone at once and the window is over. Empty for no
        such thing.
      - Filled in by the action of the same name when another host of the wave was aborted.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Steady state before
  exchange.chaos.window:
    run_id: "{{ chaos_run_id }}"
    phase: baseline
    seconds: 8
  register: __chaos_window
  until: __chaos_window.done
  retries: 20
  delay: 0
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
chaos_progress:
  description: How far the window is and what was seen in the last slice, for a live line.
  returned: always
  type: dict
done:
  description: Whether the window is over.
  returned: always
  type: bool
steady:
  description: Whether all thresholds held for the time steadiness needs, ending now.
  returned: always
  type: bool
injectable:
  description: Whether a fault may still be injected in this run, by what the host has seen so far.
  returned: always
  type: bool
reasons:
  description: What was not steady, a sentence each.
  returned: always
  type: list
  elements: str
aborted:
  description: Why the run was aborted; empty when it was not.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.window import Observation, watch_slice
from ansible_collections.exchange.chaos.plugins.module_utils.run.abort import abort_reason, abort_run
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir, attach_run


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "phase": {"type": "str", "required": True},
            "fault": {"type": "str"},
            "seconds": {"type": "float", "required": True},
            "slice": {"type": "float", "default": 5.0},
            "until": {"type": "str", "choices": ["time", "steady"], "default": "time"},
            "abort": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    empty: dict[str, Any] = {
        "chaos_lines": [], "chaos_bpf": [], "chaos_progress": {},
        "done": True, "steady": True, "injectable": True, "reasons": [], "aborted": "",
    }  # fmt: skip
    if module.check_mode:
        module.exit_json(changed=False, **empty)
    try:
        run = attach_run(parameters["run_id"], parameters["state_dir"], of="module window")
        window = Observation(
            parameters["phase"], parameters["fault"], parameters["seconds"], parameters["until"] == "steady"
        )
        if parameters["abort"]:
            abort_run(run, parameters["abort"], by="sibling")
        seen = watch_slice(run, window, parameters["slice"])
        module.exit_json(**deliver_result(run, changed=False, **seen))
    except ChaosError as error:
        # ended meanwhile, by halt or by its host: its window is over
        reason = abort_reason(StateDir(parameters["state_dir"]), parameters["run_id"])
        if reason:
            module.exit_json(
                changed=False, **{**empty, "steady": False, "injectable": False, "aborted": reason}
            )
        module.fail_json(msg=str(error), changed=False, **empty)


if __name__ == "__main__":
    main()
