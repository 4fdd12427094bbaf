#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: record
short_description: End a run on its host, judge it, and bring its record home
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Undoes what is still in force, ends the observers, compares the host with the snapshot from before, judges the raw
    data, and keeps the record and the raw data in one folder on the host.
  - The action of the same name then fetches the raw data to the controller, as compressed JSON lines beside the report,
    and removes the record from the host. What could not be fetched stays there until it is collected.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  stem:
    description: The stem of the report files on the controller; without it nothing is fetched.
    type: path
  bundle:
    description: Whether the raw data is packed into one file to be fetched; filled in by the action of the same name.
    type: bool
    default: false
  abort:
    description:
      - Why the run ends before it was done, such as a host that was out of reach meanwhile. The record then says that
        it was aborted, and why. Empty when the run ends in order.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Judge the run and fetch its raw data
  exchange.chaos.record:
    run_id: "{{ chaos_run_id }}"
    stem: /tmp/chaos-exp-01-20261123-180000
  register: chaos_result
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
host_record:
  description: This host's part of the record, see docs/record.md.
  returned: always
  type: dict
bundle_path:
  description: Where the packed raw data lies on the host; empty when there is none.
  returned: always
  type: str
raw_files:
  description: Raw data on the controller, by name.
  returned: always
  type: dict
known:
  description: Whether this host has anything of the run, under way or ended. False is what no waiting can mend.
  returned: failure
  type: bool
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result
from ansible_collections.exchange.chaos.plugins.module_utils.host import libraries
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.finish import finish_run, read_record
from ansible_collections.exchange.chaos.plugins.module_utils.run import bundle
from ansible_collections.exchange.chaos.plugins.module_utils.run.abort import abort_run
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines, deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir


def end_or_find(state: StateDir, run_id: str, why: str) -> tuple[RunDir, bool]:
    """Return the ended run's folder, ending it first if it is under way; ``why`` it is aborted, "" if it is not."""
    run = state.run_dir(run_id)
    state.require_ours()
    if run.file("spec.json").exists():
        archive.complete_from(run.file("chaos.pyz"))
        archive.complete_from(
            libraries.FOLDER / "chaos.pyz"
        )  # where set-up laid one, should the run's be lost
        if why:
            with contextlib.suppress(ChaosError):  # a full disk must not keep a fault in force
                abort_run(run, why, by="controller")
        return finish_run(run, by="module"), True
    record = state.record_dir(run_id)
    if not record.file("record.json").exists():
        raise ChaosError(f"This host has neither a run nor a record {run_id}; was it collected already?")
    return record, False


def read_with_reason(run: RunDir, why: str) -> Result:
    """Return the host's record with ``why`` in its notes, whoever ended the run."""
    record = read_record(run)
    notes = record.get("notes", [])
    if why and not any(why in note for note in notes):
        record["notes"] = [*notes, why]
    return record


def pack_samples(run: RunDir, lines: Lines) -> str:
    """Return the path of the run's raw samples in one file; "", and a line for people, where the disk refuses it."""
    try:
        return str(bundle.pack_bundle(run))
    except OSError as error:
        lines.say(
            "warn",
            f"The raw samples stay on the host under {run.path}, as they cannot be packed there ({error.strerror}); "
            "the record is whole without them, and playbooks/collect.yml brings them once there is room.",
        )
        return ""


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "stem": {"type": "path"},
            "bundle": {"type": "bool", "default": False},
            "abort": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    lines = Lines()
    empty: dict[str, Any] = {"host_record": {}, "bundle_path": "", "raw_files": {}}
    if module.check_mode:
        module.exit_json(changed=True, chaos_lines=[], chaos_bpf=[], **empty)
    try:
        run, changed = end_or_find(
            StateDir(module.params["state_dir"]), module.params["run_id"], module.params["abort"]
        )
        packed = pack_samples(run, lines) if module.params["bundle"] else ""
        record = read_with_reason(run, module.params["abort"])
        module.exit_json(
            **deliver_result(
                run, changed=changed, before=lines.lines, host_record=record, bundle_path=packed, raw_files={}
            )
        )
    except ChaosError as error:
        known = StateDir(module.params["state_dir"]).knows_run(module.params["run_id"])
        module.fail_json(msg=str(error), changed=False, chaos_lines=[], chaos_bpf=[], known=known, **empty)


if __name__ == "__main__":
    main()
