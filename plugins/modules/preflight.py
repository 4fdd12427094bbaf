#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Look whether a host and its exchange are ready for chaos experiments
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Looks at the host (consent, Docker engine, kernel, bcc, disk), at the exchange (project, services, health) and at
    what an earlier run may have left, which it undoes.
  - Sends nothing to the exchange and opens no run; the trial order belongs to M(exchange.chaos.run).
options:
  state_dir:
    description: Folder on the host that holds runs, locks and uncollected records.
    type: path
  spec:
    description: "The parts of a specification that name the exchange: C(project), C(services), C(needs), C(faults)."
    type: dict
    required: true
  remote:
    description: Whether this host is another one than the controller, so that its owner's consent is required.
    type: bool
    default: true
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Is this host ready
  exchange.chaos.preflight:
    spec:
      project: exchange-chaos-lab
      services: {database: postgres, api: trading-api}
      needs: [database, api]
      faults: [{id: crash, kind: kill, target: postgres}]
"""

RETURN = r"""
chaos_lines:
  description: What was found, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
chaos_bpf:
  description: Always empty; every result of the collection has it.
  returned: always
  type: list
  elements: dict
ready:
  description: V(ready), V(degraded) (the warnings say why) or V(impossible) (the reason says why).
  returned: always
  type: str
reason:
  description: Why the experiment is impossible on this host; empty when it is not.
  returned: always
  type: str
clean:
  description: Whether nothing of an earlier run was left on the host.
  returned: always
  type: bool
facts:
  description: Kernel, versions and abilities.
  returned: always
  type: dict
held_by:
  description: The run that holds the project now; empty when it is free.
  returned: always
  type: str
uncollected:
  description: Finished records that wait on the host.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils import preflight, recovery
from ansible_collections.exchange.chaos.plugins.module_utils.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.result import Lines
from ansible_collections.exchange.chaos.plugins.module_utils.state import State


def examine(parameters: dict[str, Any], lines: Lines, *, act: bool) -> dict[str, Any]:
    """Look at everything and return the verdict; what makes the experiment impossible is its reason."""
    state, spec = State(parameters["state_dir"]), parameters["spec"]
    found: dict[str, Any] = {"ready": "impossible", "reason": "", "clean": True, "facts": {}, "held_by": ""}
    found["uncollected"] = [record.path.name for record in state.records()]
    try:
        report, engine = preflight.host(lines.say, remote=parameters["remote"], folder=state.root)
        found["facts"] = report.facts
        found["clean"] = recovery.end_abandoned(state, lines.say, act=act) == 0
        held = state.holder(str(spec["project"]))
        if held:
            found["held_by"] = held.describe()
            lines.say("warn", f"Project {held.project} is taken by {held.describe()}")
        preflight.exchange(report, engine, spec)
        preflight.try_faults(report, spec, engine)
    except ChaosError as error:
        found["reason"] = str(error)
        lines.say("fail", str(error))
        return found
    warned = any(line["level"] == "warn" for line in lines.lines)
    found["ready"] = "degraded" if warned else "ready"
    return found


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path"},
            "spec": {"type": "dict", "required": True},
            "remote": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    lines = Lines()
    found = examine(module.params, lines, act=not module.check_mode)
    title = (module.params["spec"].get("experiment") or {}).get("title", "The experiment")
    state = "clean" if found["clean"] else "cleaned of what an earlier run left"
    level = {"ready": "ok", "degraded": "warn", "impossible": "fail"}[found["ready"]]
    lines.say(
        level,
        f"{title}: {found['ready']}; the host is {state}, {len(found['uncollected'])} records wait on it",
    )
    module.exit_json(
        changed=not found["clean"] and not module.check_mode, chaos_lines=lines.lines, chaos_bpf=[], **found
    )


if __name__ == "__main__":
    main()
