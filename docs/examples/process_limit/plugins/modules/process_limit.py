#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: process_limit
short_description: Let a compose service start no more processes, and let it again
version_added: 0.3.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. The limit of processes of the service's cgroup, version 1 or 2, is set to what it
    has, or lower than it was; what runs goes on, and whatever has to be forked fails. Needs root.
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
  processes:
    description: Processes, and threads, that it may have. Left out, as many as it has.
    type: int
"""

EXAMPLES = r"""
- name: Let the database start no more processes, as the run's specification has it
  exchange.chaos.process_limit:
    run_id: "{{ chaos_run_id }}"
    fault: forks

- name: Let it again
  exchange.chaos.process_limit:
    run_id: "{{ chaos_run_id }}"
    fault: forks
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
  description: What shows that the fault took effect, from the kernel.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import process_limit
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(process_limit)


if __name__ == "__main__":
    main()
