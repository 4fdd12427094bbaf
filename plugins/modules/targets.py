#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: targets
short_description: Check who may be touched by a chaos experiment, and plan its waves
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Runs on the controller, before any host is asked. Resolves the pattern of the targets and refuses what the guard
    rails forbid. Every host at once, no host, a host in a forbidden group, and a time outside the allowed hours.
  - A forbidden group is accepted only by C(-e chaos_i_accept_production=true) on the command line; the same variable
    in an inventory does not count.
  - The hosts, the sample drawn of them and the waves are chosen on the command line alone. C(chaos_targets),
    C(chaos_sample), C(chaos_sample_seed), C(chaos_waves) or C(chaos_simultaneous) set in the inventory, and not with
    C(-e), is refused. So is a guard rail that the inventory gives a target and not the controller, which heeds it.
  - Shows the plan. Refuses a wave with more hosts than Ansible's forks, and several waves or one instant with a
    strategy other than linear.
options:
  pattern:
    description: Host pattern of the targets, such as a group. V(all) is refused.
    type: str
    required: true
  forbidden_groups:
    description: Groups whose hosts are refused.
    type: list
    elements: str
    default: []
  allowed_hours:
    description: Hours in the controller's local time, such as V(09:00-17:00); empty for always.
    type: str
    default: ""
  sample:
    description: How many of the hosts are touched, such as V(3) or V(20%) (rounded down, at least one). Empty for all.
    type: str
    default: ""
  sample_seed:
    description: The seed by which the sample is drawn. The same seed draws the same hosts. Empty for a random one.
    type: str
    default: ""
  waves:
    description:
      - Hosts of each wave, such as V(1), V(10%), V(100%). Percentages are of the sample, rounded down, at least one.
      - The last one repeats until every host has its wave. An empty list is one wave.
    type: list
    elements: str
    default: []
  simultaneous:
    description: Whether the faults of a wave begin at one instant; told in the plan.
    type: bool
    default: false
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Check who may be touched
  exchange.chaos.targets:
    pattern: exchange
    forbidden_groups: [production, prod]

- name: A sample of five, a canary first, then half, then the rest
  exchange.chaos.targets:
    pattern: exchange
    sample: 5
    waves: [1, 50%, 100%]
"""

RETURN = r"""
chaos_lines:
  description: The plan, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
hosts:
  description: The hosts that are touched, in the order of their waves.
  returned: always
  type: list
  elements: str
waves:
  description: The hosts of each wave, a list each.
  returned: always
  type: list
  elements: list
wave_of:
  description: The number of each host's wave, from 1 on.
  returned: always
  type: dict
serial:
  description: How many hosts each wave has, as a play's C(serial) wants it.
  returned: always
  type: list
  elements: int
slices:
  description: The longest slice of a window in each wave, seconds.
  returned: always
  type: list
  elements: float
seed:
  description: The seed by which the sample was drawn; empty without a sample.
  returned: always
  type: str
at:
  description: The time of the check, UTC.
  returned: always
  type: str
collection_version:
  description: Version of this collection.
  returned: always
  type: str
"""
