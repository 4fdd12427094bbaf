#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: runtime
short_description: Lay the host runtime on a host for good
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Copies the runtime, one Python zip application, to a host, for the boot unit and the timer that undo what a run left
    behind when all its processes died. A run brings its own runtime and needs none of this.
  - Builds the file on the controller and copies it as M(ansible.builtin.copy) does.
options:
  dest:
    description: Where the file is laid.
    type: path
    required: true
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Lay the runtime where the boot unit looks for it
  exchange.chaos.runtime:
    dest: /usr/local/lib/exchange-chaos/chaos.pyz
"""

RETURN = r"""
dest:
  description: Where the file is.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that this is an action: what it copies is built on the controller."""
    module = AnsibleModule(
        argument_spec={"dest": {"type": "path", "required": True}}, supports_check_mode=True
    )
    module.fail_json(
        msg="exchange.chaos.runtime builds its file on the controller through its action plugin."
    )


if __name__ == "__main__":
    main()
