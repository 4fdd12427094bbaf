#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cpu
short_description: Hold a compose service to a fraction of one core, and give it back
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Writes the kernel's bandwidth limit of the service's cgroup, version 1 or 2.
  - Without root the engine's own update does it, for a service that has a limit the engine can return to.
  - With O(state=absent) writes back what was there, to the byte.
  - The change and its undo are in the run's journal, on disk, before anything is written.
    The host undoes it after O(ttl) seconds, whatever becomes of the controller.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  cores:
    description: Cores of processor time the service gets, such as V(0.1) for a tenth of one.
    type: float
    default: 0.1
"""

EXAMPLES = r"""
- name: Hold the API to a tenth of a core
  exchange.chaos.cpu:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: throttle
    ttl: 45

- name: Put it back
  exchange.chaos.cpu:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: throttle
    ttl: 45
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
plan:
  description: Each change with its undo, as the journal holds it.
  returned: always
  type: list
  elements: str
proof:
  description: What shows that the fault took effect, from the kernel and the engine.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import cpu
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(cpu)


if __name__ == "__main__":
    main()
