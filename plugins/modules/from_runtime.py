#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: from_runtime
short_description: Run a module of this collection from the host runtime that lies on the host
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - The actions of this collection call it in place of the module that a task names. It is small, so that Ansible has
    little to pack, to send and to compile, and finds that module, compiled, in the host runtime (C(chaos.pyz)) that the
    action carried along or that lies in the run's folder.
  - Changes nothing by itself. Where there is no such runtime it says so, and the action sends the whole module.
  - No task needs to name it.
options:
  module:
    description: The module's name, without the collection's.
    type: str
    required: true
  arguments:
    description: The module's arguments. They may hold secrets.
    type: dict
    required: true
  sha256:
    description: SHA-256 of the runtime that the action knows, in hexadecimal; no other is used.
    type: str
    required: true
  runtime:
    description:
      - Path of the runtime that the action carried along. Without it that of the run is used which O(arguments) names;
        its folder must belong to the user that this runs as, and no other may write to it or to a folder above it.
    type: path
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: What the action of exchange.chaos.kill asks for
  exchange.chaos.from_runtime:
    module: kill
    arguments: {run_id: "{{ chaos_run_id }}", fault: crash, ttl: 30}
    sha256: 4c3ad0c4b0e7b5f2a9d5a5d6c1b4e3f2a1908f7e6d5c4b3a29180f7e6d5c4b3a
"""

RETURN = r"""
unusable:
  description: Why the runtime was not used. Where it was, the result is that of O(module).
  returned: when the runtime was not used
  type: str
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive, files

_COLLECTION = "exchange.chaos"
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "module": {"type": "str", "required": True},
    "arguments": {"type": "dict", "required": True, "no_log": True},
    "sha256": {"type": "str", "required": True},
    "runtime": {"type": "path"},
}


def find_runtime(given: Mapping[str, Any]) -> Path:
    """Return the path of the runtime to use. Raises LookupError saying why there is none that is to be used."""
    arguments = given["arguments"]
    try:
        carried, state = given.get("runtime"), arguments.get("state_dir")
        path = Path(carried or archive.run_archive(str(arguments.get("run_id")), state))
        # what was carried along lies where Ansible laid this very module
        why = "" if carried else files.refuse_folder(path.parent)
        why = why or archive.refuse_archive(path, str(given["sha256"]))
    except (TypeError, ValueError):  # a path that is no text, or holds a NUL
        why = "it was given a path that is none"
    if why:
        raise LookupError(why)
    return path


def become_module(given: Mapping[str, Any]) -> None:
    """Run the module with its own arguments, and with what Ansible told of itself: check mode, verbosity, no_log."""
    told = {name: value for name, value in given.items() if name.startswith("_ansible_")}
    told["_ansible_module_name"] = f"{_COLLECTION}.{given['module']}"
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {**given["arguments"], **told}}).encode()
    importlib.import_module(f"ansible_collections.{_COLLECTION}.plugins.modules.{given['module']}").main()


def main() -> None:
    """Become the module that was asked for, or say why not."""
    # not by AnsibleModule: what it is given are the arguments of another, secrets among them
    given = basic._load_params() or {}
    why = "it was called without a module's name, its arguments and the sum of a runtime"
    if given.keys() >= {"module", "arguments", "sha256"} and isinstance(given["arguments"], dict):
        try:
            runtime, why = find_runtime(given), ""
        except LookupError as error:
            why = str(error)
    if not why:
        archive.complete_from(runtime)
        become_module(given)
    module = AnsibleModule(argument_spec=_ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, unusable=why)


if __name__ == "__main__":
    main()
