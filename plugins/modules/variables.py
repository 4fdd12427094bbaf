#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: variables
short_description: Check the variables of roles before anything is done
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Holds the variables of a host against the argument specification of the roles that will use them, and fails with a
    sentence for each that is wrong. Which it is, what was given, and what would be right.
  - Runs on the controller and asks no host. Ansible checks a role's arguments by itself when the role begins; this says
    more, and also of what makes that check end in words of its own, such as a number where named values are wanted, or
    a template that cannot be filled in.
  - The playbooks of this collection begin with it, for the controller, which sees what is given with C(-e), and for
    each host.
options:
  roles:
    description:
      - The roles whose variables are checked, by their full names. Of each it is the main entry point.
      - One that is not there is refused.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Check the variables of an experiment
  exchange.chaos.variables:
    roles: [exchange.chaos.chaos, exchange.chaos.database_sudden_death]
"""

RETURN = r"""
problems:
  description: What is wrong, a sentence each; empty when all is well.
  returned: always
  type: list
  elements: str
"""
