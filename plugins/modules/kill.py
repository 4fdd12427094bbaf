#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kill
short_description: Kill containers of a compose service, and bring them back
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Kills a service's main processes by SIGKILL from the host, so that the restart
    policy acts, or through the engine, which switches the restart policy off and so can hold an outage.
  - The change and its undo are in the run's journal, on disk, before anything is killed.
    The host undoes it after O(ttl) seconds, whatever becomes of the controller.
  - With O(state=absent) sees that the service runs again and starts it where it does not.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  services:
    description:
      - Services that are killed in the same instant, O(service) first and what others need before them. In this order
        the undo starts what does not run.
      - O(port) goes with a single service only.
    type: list
    elements: str
  mode:
    description:
      - V(process) sends SIGKILL to the main process from the host and needs root.
      - V(engine) kills through the engine; without O(hold) the containers are then started again at once.
      - V(auto) is V(process) as root and V(engine) otherwise, or when the containers are to stay down.
    type: str
    choices: [auto, process, engine]
    default: auto
  hold:
    description: Keep the containers down until the undo.
    type: bool
    default: false
  port:
    description: TCP port of the service, tried after the kill as a proof of its own; none is tried when left out.
    type: int
"""

EXAMPLES = r"""
- name: Crash the database
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: crash
    ttl: 30

- name: Hold the database down, through the engine
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: outage
    hold: true
    ttl: 30

- name: Crash three services in one instant
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    services: [postgres, redis, trading-api]
    fault: crash
    ttl: 30

- name: Start it again
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: outage
    ttl: 30
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
  description: What shows that the fault took effect, from the kernel, the engine and TCP.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import kill
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(kill)


if __name__ == "__main__":
    main()
