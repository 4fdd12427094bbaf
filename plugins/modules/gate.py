#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Decide whether the next wave of a chaos experiment begins
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Runs on the controller, at the end of a wave. The next wave begins only if every host of this one passed, or was
    skipped where that is allowed.
options:
  wave:
    description: The number of the wave that ended, from 1 on.
    type: int
    required: true
  waves:
    description: The hosts of each wave, a list each, as M(exchange.chaos.targets) returned them.
    type: list
    elements: list
    required: true
  outcomes:
    description: The outcome of each host of the wave, in order, as its record has it; an empty text without a record.
    type: list
    elements: str
    required: true
  problems:
    description: The outcome of each host of the wave that has no record. A host with neither did not pass.
    type: list
    elements: str
    default: []
  may_skip:
    description: Whether a host may be skipped, because it cannot do the experiment.
    type: bool
    default: false
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: May the next wave begin
  exchange.chaos.gate:
    wave: 1
    waves: [[host-1], [host-2, host-3]]
    outcomes: [passed]
  register: __gate
  run_once: true

- name: End the play if not
  ansible.builtin.meta: end_play
  when: not __gate.go
"""

RETURN = r"""
chaos_lines:
  description: What was decided, a line with C(at) (UTC), C(level) and C(text); none after the last wave.
  returned: always
  type: list
  elements: dict
go:
  description: Whether the next wave may begin.
  returned: always
  type: bool
"""
