#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: resolve
short_description: Have a container's resolver answer an error, nothing, or late
version_added: 0.2.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Questions that the processes of a container ask the engine's own resolver are kept
    from it by nftables in the container's network namespace, and a process of the run answers them.
  - The kernel ends it after O(ttl) seconds, whatever becomes of the controller and of the run's own processes.
  - With O(state=absent) deletes the table and ends the process.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  answer:
    description:
      - V(servfail) answers that the server failed, at once. V(nothing) answers nothing.
      - V(late) gives the true answer, O(delay_ms) later.
    type: str
    choices: [servfail, nothing, late]
    default: servfail
  name:
    description: The only name that is hit; empty for all names. Questions for others are answered as before.
    type: str
    default: ""
  delay_ms:
    description: Milliseconds by which a late answer is late.
    type: int
    default: 3000
"""

EXAMPLES = r"""
- name: Let no name resolve for the API
  exchange.chaos.resolve:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: names
    ttl: 35

- name: Let the database's name alone go unanswered
  exchange.chaos.resolve:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: names
    answer: nothing
    name: postgres
    ttl: 35

- name: Let them resolve again
  exchange.chaos.resolve:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    fault: names
    ttl: 35
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
  description: What shows that the fault took effect, from the kernel, and from a question inside the namespace.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import resolve
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(resolve)


if __name__ == "__main__":
    main()
