#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: targets
short_description: Check who may be touched by a chaos experiment
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Runs on the controller, before any host is asked. Resolves the pattern of the targets and refuses what the guard
    rails forbid. Every host at once, no host, a host in a forbidden group, and a time outside the allowed hours.
  - A forbidden group is accepted only by C(-e chaos_i_accept_production=true) on the command line; the same variable
    in an inventory does not count.
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
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Check who may be touched
  exchange.chaos.targets:
    pattern: exchange
    forbidden_groups: [production, prod]
"""

RETURN = r"""
hosts:
  description: The hosts the pattern names.
  returned: always
  type: list
  elements: str
at:
  description: The time of the check, UTC.
  returned: always
  type: str
collection_version:
  description: Version of this collection.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that this is an action: there is nothing to do on a host."""
    module = AnsibleModule(
        argument_spec={
            "pattern": {"type": "str", "required": True},
            "forbidden_groups": {"type": "list", "elements": "str", "default": []},
            "allowed_hours": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="exchange.chaos.targets runs on the controller through its action plugin.")


if __name__ == "__main__":
    main()
