#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: halt
short_description: Undo everything of ours on a host at once
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Ends every run on the host, whoever began it and whoever watches it. Faults are undone from the journals, observers
    and watchdogs are ended, and each run's record is kept on the host until it is collected.
  - Needs no lock and no run id, and changes nothing on a clean host.
options:
  state_dir:
    description: Folder on the host that holds runs, locks and uncollected records.
    type: path
  project:
    description: End only the runs of this compose project.
    type: str
  runtime:
    description: The host runtime as carried to the host; filled in by the action of the same name.
    type: path
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Stop all chaos on this host
  exchange.chaos.halt:
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
ended:
  description: The runs that were ended, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path"},
            "project": {"type": "str"},
            "runtime": {"type": "path"},
        },
        supports_check_mode=True,
    )
    archive.complete_from(Path(module.params["runtime"] or ""))
    lines = Lines()
    try:
        ended = abandoned.halt_runs(
            StateDir(module.params["state_dir"]),
            module.params["project"],
            lines.say,
            act=not module.check_mode,
        )
        module.exit_json(changed=bool(ended), ended=ended, chaos_lines=lines.lines, chaos_bpf=[])
    except (
        Exception
    ) as error:  # whatever it was: what could be ended is ended by now, and a person reads this
        told = (
            str(error) if isinstance(error, ChaosError) else f"halt failed: {type(error).__name__}: {error}"
        )
        module.fail_json(msg=told, changed=True, ended=[], chaos_lines=lines.lines, chaos_bpf=[])


if __name__ == "__main__":
    main()
