#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rolling
short_description: Restart containers of a compose project one after another
version_added: 0.2.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Does what a deployment does, through the engine. Each container gets its stop signal
    and a grace, is killed if it is still there then, and is started again.
  - A process of the run goes through them. The undo ends it and starts whatever is down.
    The host undoes it after O(ttl) seconds, whatever becomes of the controller.
  - With O(state=absent) sees that all of them run, and starts what does not.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  services:
    description: Services that are restarted in this order, O(service) first.
    type: list
    elements: str
  grace:
    description: Seconds a container has to end after its stop signal, before it is killed.
    type: int
    default: 10
  pause:
    description: Seconds between two restarts.
    type: float
    default: 5.0
  ready_within:
    description: Seconds for which a container is waited for until its health check calls it healthy, before the pause.
    type: float
    default: 20.0
"""

EXAMPLES = r"""
- name: Restart API and proxy one after another
  exchange.chaos.rolling:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    services: [trading-api, nginx]
    fault: deployment
    pause: 2
    ttl: 60

- name: See that they run
  exchange.chaos.rolling:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: deployment
    ttl: 60
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
  description: What shows that the fault took effect, from the engine and the kernel.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import rolling
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(rolling)


if __name__ == "__main__":
    main()
