#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: memory
short_description: Let a compose service run out of memory
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Lowers the memory limit of the service (swap with it) and charges memory to its
    cgroup until the kernel's OOM killer acts. The victim is the kernel's own choice. Needs root.
  - With O(state=absent) sees that the service runs again and that its limits are what they were, to the byte.
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
  limit_mb:
    description: The limit in megabytes; what the service uses and a margin of 24 when left out.
    type: float
  rate_mb:
    description: Megabytes charged per second.
    type: float
    default: 64
"""

EXAMPLES = r"""
- name: Let the API run out of memory
  exchange.chaos.memory:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: oom
    ttl: 45

- name: Put it back
  exchange.chaos.memory:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: oom
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

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import memory
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(memory)


if __name__ == "__main__":
    main()
