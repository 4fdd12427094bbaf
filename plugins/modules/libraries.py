#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libraries
short_description: Lay the private Python libraries on a host
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Makes a virtual environment of our own under C(/usr/local/lib/exchange-chaos/venv), with the libraries that the
    collection's modules and processes need, for the Python that Ansible uses on the host. The system's Python is left
    alone; our code finds the environment by its place.
  - The wheels are carried over from the controller, pip's own among them. Nothing is downloaded on the host, and it
    needs neither pip nor ensurepip.
  - An environment that was made for another Python, of other wheels, or that misses one of them, is made anew.
options:
  wheels:
    description:
      - Folder on the controller with the wheels, pure Python all of them.
      - Without it the controller downloads them once into its cache, by its own pip and that one's settings.
    type: path
  manifest:
    description: The wheels by file name with their SHA-256; the action plugin fills this in.
    type: dict
    default: {}
  archive:
    description: Where the action plugin laid the wheels on the host; without it the module only looks.
    type: path
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Lay the libraries, downloaded by the controller
  exchange.chaos.libraries:

- name: Lay the libraries out of a folder that was made elsewhere
  exchange.chaos.libraries:
    wheels: /srv/exchange-chaos/wheels
"""

RETURN = r"""
reason:
  description: Why the environment was made, or would be; empty when it is as it should be.
  returned: success
  type: str
site:
  description: The folder of its packages.
  returned: success
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host import libraries
from ansible_collections.exchange.chaos.plugins.module_utils.host.setup import environment


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "wheels": {"type": "path"},
            "manifest": {"type": "dict", "default": {}},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if not module.params["manifest"]:
        module.fail_json(
            msg="exchange.chaos.libraries takes its wheels from the controller through its action plugin."
        )
    manifest = {str(name): str(digest) for name, digest in module.params["manifest"].items()}
    python = environment.Python.running()
    try:
        reason = environment.explain_remake(libraries.FOLDER, python, manifest)
        if reason and module.params["archive"] and not module.check_mode:
            environment.make_environment(libraries.FOLDER, python, Path(module.params["archive"]), manifest)
    except (ChaosError, OSError) as error:
        module.fail_json(msg=str(error))
    site = libraries.locate_packages(libraries.FOLDER, python.version)
    module.exit_json(changed=bool(reason), reason=reason, site=str(site))


if __name__ == "__main__":
    main()
