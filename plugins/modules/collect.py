#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: collect
short_description: Completes a run's record with what its hosts kept
version_added: 0.1.0
author:
  - The exchange.chaos authors (@exchange-chaos)
description:
  - For hosts that could not be reached at the end of a run, and for runs whose playbook was killed. A host ends such a
    run by itself and keeps its record and raw samples until they are collected, for at most seven days.
  - With O(state=planned), on the controller, says which hosts owe a record. With O(state=fetched), on each of them,
    ends the run if it is still under way, fetches record and raw samples, and removes them there. With
    O(state=written), on the controller, writes the completed record and its report under a name of their own.
  - Raw samples that came home without their record are judged again.
  - The playbook C(exchange.chaos.collect) does all three.
options:
  state:
    description: What to do.
    type: str
    choices: [planned, fetched, written]
    required: true
  record:
    description: A record on disk. If it was completed since, what was completed last is gone on from.
    type: path
  run_id:
    description: The run, where there is no record of it. Ignored with O(record).
    type: str
  targets:
    description: The hosts of the run, a pattern of the inventory. Only for O(run_id) without a record.
    type: str
    default: exchange
  report_dir:
    description: Folder of the report files. Only for O(run_id); with O(record) it is the record's.
    type: path
    default: /tmp
  state_dir:
    description: Folder on the host that holds runs, locks and uncollected records.
    type: path
  plan:
    description: What O(state=planned) returned. Required for the other two.
    type: dict
  collected:
    description: What O(state=fetched) returned on each of the plan's hosts, in their order, for O(state=written).
    type: list
    elements: raw
    default: []
attributes:
  idempotent:
    details: Where nothing is left to fetch, nothing is written.
extends_documentation_fragment:
  - exchange.chaos.files.attributes
seealso:
  - module: exchange.chaos.record
  - module: exchange.chaos.report
"""

EXAMPLES = r"""
- name: Which hosts owe a record?
  exchange.chaos.collect:
    state: planned
    record: /tmp/chaos-exp-01-20261123-180000.json
  register: chaos_plan
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
chaos_lines:
  description: What happened, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
run_id:
  description: The run.
  returned: when O(state=planned)
  type: str
base:
  description: The record that is gone on from; empty if the run left none.
  returned: when O(state=planned)
  type: str
source:
  description: The stem beside which the run's raw samples lie.
  returned: when O(state=planned)
  type: str
hosts:
  description: The hosts that owe a record.
  returned: when O(state=planned)
  type: list
  elements: str
pattern:
  description: The hosts for a play of its own; the controller where no host owes anything.
  returned: when O(state=planned)
  type: list
  elements: str
stem:
  description: Path of the new report files without their endings.
  returned: when O(state=planned), or something was written
  type: str
asked:
  description: Whether the host was asked.
  returned: when O(state=fetched)
  type: bool
problem:
  description: Why the host could not give its record; empty if it could, or has none.
  returned: when O(state=fetched)
  type: str
host_record:
  description: The host's part of the record; empty if it has none.
  returned: when O(state=fetched)
  type: dict
raw_files:
  description: Raw data on the controller, by name.
  returned: when O(state=fetched) and the host had a record
  type: dict
added:
  description: The hosts whose records were added.
  returned: when O(state=written)
  type: list
  elements: str
waiting:
  description: The hosts that still owe one; with any the task fails.
  returned: when O(state=written)
  type: list
  elements: str
files:
  description: Paths of the report files by kind.
  returned: when something was written
  type: dict
outcome:
  description: The outcome of the completed run.
  returned: when something was written
  type: str
verdicts:
  description: The three verdicts of the completed run.
  returned: when something was written
  type: dict
"""
