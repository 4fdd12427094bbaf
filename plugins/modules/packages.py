#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have the distribution's package manager bring, or remove, what setup needs
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Installs packages that are missing, and notes in a file of root's what came with them, so that exactly that can be
    removed again. For setup only; no run ever calls a package manager.
  - Never removes a package in order to install another, brings no recommended ones, and restarts no service.
  - Works with C(apt-get) and C(dnf) themselves, because the Python bindings that Ansible's own modules need are missing
    on small hosts, and would have to be installed first.
options:
  names:
    description: The packages wanted. Ignored with O(state=absent), which goes by what was noted.
    type: list
    elements: str
    default: []
  manager:
    description: The package manager.
    type: str
    choices: [apt, dnf]
    required: true
  state:
    description: Whether the packages are wanted, or what was brought is to go.
    type: str
    choices: [present, absent]
    default: present
  offline:
    description: Download nothing. What is missing comes from O(files), or stays missing.
    type: bool
    default: false
  files:
    description: Folder on the host with package files that hold O(names) and all that these need.
    type: path
  record:
    description: The file in which it is noted what was brought.
    type: path
    default: /etc/exchange-chaos/packages.json
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Bring bcc
  exchange.chaos.packages:
    manager: apt
    names: [python3-bpfcc]

- name: Remove what setup brought
  exchange.chaos.packages:
    manager: apt
    state: absent
"""

RETURN = r"""
lacking:
  description: Wanted packages that are not there, or were not before.
  returned: success
  type: list
  elements: str
installed:
  description: What was installed, dependencies included.
  returned: success
  type: list
  elements: str
removed:
  description: What was removed, or would be.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.setup import packages

ARGUMENTS = {
    "names": {"type": "list", "elements": "str", "default": []},
    "manager": {"type": "str", "choices": ["apt", "dnf"], "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "offline": {"type": "bool", "default": False},
    "files": {"type": "path"},
    "record": {"type": "path", "default": "/etc/exchange-chaos/packages.json"},
}


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    manager, record = packages.MANAGERS[given["manager"]], Path(given["record"])
    files = Path(given["files"]) if given["files"] else None
    found: dict[str, list[str]] = {"lacking": [], "installed": [], "removed": []}
    try:
        present = packages.list_installed(manager)
        if given["state"] == "absent":
            found["removed"] = sorted(set(packages.read_noted(record)) & present)
            if record.exists() and not module.check_mode:
                packages.remove_packages(manager, record)
            module.exit_json(changed=bool(found["removed"]), **found)
        found["lacking"] = packages.list_lacking(given["names"], present)
        able = bool(found["lacking"]) and (files is not None or not given["offline"])
        if able and not module.check_mode:
            found["installed"] = packages.install_packages(manager, found["lacking"], files, record)
        module.exit_json(changed=able, **found)
    except (ChaosError, OSError) as error:
        module.fail_json(msg=str(error), **found)


if __name__ == "__main__":
    main()
