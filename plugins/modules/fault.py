#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs the module of the fault's kind on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault
short_description: Inject a fault of a run's specification, or undo it
version_added: 0.3.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Runs the module of the fault's kind, such as M(exchange.chaos.kill). All arguments of the fault itself come from
    the specification that M(exchange.chaos.run) keeps on the host.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
attributes:
  diff_mode:
    support: full
options:
  kind:
    description: The kind of the fault, which is the name of its module in this collection.
    type: str
    required: true
  fault:
    description: The fault's id in the run; the same id twice is one fault.
    type: str
    required: true
  at:
    description: The instant at which the fault is to begin, as for the module of its kind.
    type: float
  specification:
    description: The specification where there is no run yet to read it from, as for the module of its kind.
    type: dict
  state:
    description: Whether the fault is injected or undone.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Inject a fault as the run's specification has it
  exchange.chaos.fault:
    run_id: "{{ chaos_run_id }}"
    kind: kill
    fault: crash

- name: Undo it
  exchange.chaos.fault:
    run_id: "{{ chaos_run_id }}"
    kind: kill
    fault: crash
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
