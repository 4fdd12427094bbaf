#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: freeze
short_description: Freeze a compose service, and let it go on
version_added: 0.3.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. The kernel's freezer stops every process of the service's cgroup, version 1 or 2;
    connections stay open and nobody answers. Needs root.
  - With O(state=absent) the processes go on, which know nothing of it.
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
  port:
    description:
      - The port on which a PostgreSQL listens inside the service's containers. It is asked before, in and at the end of
        the freeze, where a connect must succeed and no byte come back. Left out, nobody is asked.
    type: int
"""

EXAMPLES = r"""
- name: Freeze the database, as the run's specification has it
  exchange.chaos.freeze:
    run_id: "{{ chaos_run_id }}"
    fault: freeze

- name: Let it go on
  exchange.chaos.freeze:
    run_id: "{{ chaos_run_id }}"
    fault: freeze
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
  description: What shows that the fault took effect, from the kernel and TCP.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import freeze
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(freeze)


if __name__ == "__main__":
    main()
