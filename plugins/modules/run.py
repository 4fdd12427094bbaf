#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: run
short_description: Open and close a chaos experiment's run on a host
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - With O(state=present) does the whole preflight of a run and then opens it. The owner's consent is required on a
    remote host, the exchange is looked at, what the faults need is tried, one order goes in, is found in the database
    and is cancelled, the project is locked, the state snapshot taken, and the watchdog started.
  - With O(state=absent) removes a finished run's record from the host, once it was collected.
  - Everything that is wrong is told in one sentence before anything was changed.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  state:
    description: Whether the run is opened, or its collected record removed.
    type: str
    choices: [present, absent]
    default: present
  spec:
    description:
      - "The run's specification: C(experiment), C(project), C(services), C(needs), C(load), C(probes), C(capture),
        C(database), C(windows), C(thresholds), C(abort_when), C(faults), C(findings)."
      - The lifecycle role builds it from its variables. Required for O(state=present).
    type: dict
  runtime:
    description: The host runtime as carried to the host; filled in by the action of the same name.
    type: path
  secrets:
    description:
      - A file on the host with the password that C(database) of O(spec) had, and the headers and authority of C(load);
        written by the action of the same name, so that they are in no argument.
    type: path
  remote:
    description: Whether this host is another one than the controller; filled in by the action of the same name.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Open the run
  exchange.chaos.run:
    run_id: exp-01-20261123-180000
    spec: "{{ chaos_spec }}"

- name: Remove the collected record from the host
  exchange.chaos.run:
    run_id: exp-01-20261123-180000
    state: absent
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
plan:
  description: Each change the run's faults will make, with its undo.
  returned: always
  type: list
  elements: str
chaos_clock:
  description: How far this host's clock is ahead of the controller's, C(offset_ms) and C(uncertainty_ms).
  returned: always
  type: dict
skipped_reason:
  description: Why this host cannot do the experiment at all; empty when it can.
  returned: always
  type: str
"""

import sys
from dataclasses import replace
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import read_object
from ansible_collections.exchange.chaos.plugins.module_utils.common.secret import Secret
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Access
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned, opening, preflight
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.specification import require_sound
from ansible_collections.exchange.chaos.plugins.module_utils.run import slow_host
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines, deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir


def make_present(module: AnsibleModule, state: StateDir, lines: Lines) -> Result:
    """Preflight, then open the run; in check mode stop before anything is made."""
    run_id = module.params["run_id"]
    spec = slow_host.ease_probes(require_sound(module.params["spec"] or {}))
    if state.run_dir(run_id).file("spec.json").exists():
        return deliver_result(state.run_dir(run_id), changed=False, plan=[], skipped_reason="")
    secrets = read_object(Path(module.params["secrets"])) if module.params["secrets"] else {}
    password = str(secrets.get("password") or spec.database.password)
    admin = Secret(secrets.get("admin_password") or spec.database.admin_password)
    spec = replace(spec, database=spec.database.without_passwords())
    database = {**spec.database.to_data(), "password": password}
    asked = {name: secrets[name] for name in ("headers", "authority") if secrets.get(name)}
    access = Access.from_data(asked)
    report, engine = preflight.check_host(
        lines.say, remote=module.params["remote"], folder=state.root, slow=spec.slow_host
    )
    abandoned.end_abandoned(state, lines.say, act=not module.check_mode)
    held = state.lock_holder(spec.project)
    if held:
        raise ChaosError(
            f"Project {spec.project} on this host is taken by {held.describe()}; wait, or use playbooks/halt.yml."
        )
    preflight.check_exchange(report, engine, spec)
    preflight.try_faults(report, spec, engine, password, admin)
    spec = preflight.resolve_specification(report, spec)
    plan = planning.describe_plans(
        spec.faults, Site(report.targets, report.facts["capabilities"]["root"], engine, admin)
    )
    lines.say("info", planning.describe_duration(spec))
    if module.check_mode:
        for line in plan:
            lines.say("info", f"Would inject {line}")
        return {
            "changed": True,
            "chaos_lines": lines.lines,
            "chaos_bpf": [],
            "plan": plan,
            "skipped_reason": "",
        }
    spec = replace(preflight.try_order(report, engine, spec, database, access), python=sys.executable)
    kept = {**asked, "password": password, "admin_password": admin.reveal()}
    run = opening.create_run(state, run_id, spec, Path(module.params["runtime"]), lines, kept)
    return deliver_result(run, changed=True, before=lines.lines, plan=plan, skipped_reason="")


def make_absent(module: AnsibleModule, state: StateDir) -> Result:
    """Remove a collected record; a run under way is none."""
    run_id = module.params["run_id"]
    if state.run_dir(run_id).path.exists():
        raise ChaosError(
            f"Run {run_id} is still under way; end it with exchange.chaos.record or playbooks/halt.yml first."
        )
    record = state.record_dir(run_id)
    there = record.path.exists()
    if there and not module.check_mode:
        state.discard_run(record)
    return {"changed": there, "chaos_lines": [], "chaos_bpf": [], "plan": [], "skipped_reason": ""}


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "spec": {"type": "dict"},
            "runtime": {"type": "path"},
            # a path, not what is in it
            "secrets": {"type": "path", "no_log": False},
            "remote": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ("spec", "runtime"))],
        supports_check_mode=True,
    )
    state, lines = StateDir(module.params["state_dir"]), Lines()
    archive.complete_from(Path(module.params["runtime"] or ""))
    try:
        act = (
            make_present(module, state, lines)
            if module.params["state"] == "present"
            else make_absent(module, state)
        )
        module.exit_json(**act)
    except Unsupported as error:
        lines.say("warn", f"Skipped: {error}")
        module.exit_json(
            changed=False, chaos_lines=lines.lines, chaos_bpf=[], plan=[], skipped_reason=str(error)
        )
    except ChaosError as error:
        module.fail_json(
            msg=str(error), changed=False, chaos_lines=lines.lines, chaos_bpf=[], plan=[], skipped_reason=""
        )


if __name__ == "__main__":
    main()
