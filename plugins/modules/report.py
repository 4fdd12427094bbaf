# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Reserves, writes and renders the report files of a run
version_added: 0.1.0
author:
  - The exchange.chaos authors (@exchange-chaos)
description:
  - Works on the controller alone. Nothing is carried to a host and no connection is needed.
  - With O(state=reserved) a name for all report files of a run is taken, and the log begun.
  - With O(state=written) the records of the hosts become the record of the run, on disk before the task ends.
  - Then it is told to monitoring, where that was asked for. Whatever goes wrong with that is a warning, and changes
    nothing about the run.
  - With O(state=rendered) a record that lies on disk is turned into the files that people and machines read.
  - The log itself is written by the callback P(exchange.chaos.report#callback) while the run goes on.
    Where that is not enabled, the task says in one line how to get the report.
options:
  state:
    description: What to do.
    type: str
    choices: [reserved, written, rendered]
    required: true
  report_dir:
    description: Folder of the report files. It must exist. Required when O(state=reserved).
    type: path
  number:
    description: Number of the experiment. Required when O(state=reserved).
    type: int
  name:
    description: Name of the experiment, as its role has it. Required when O(state=reserved).
    type: str
  title:
    description: Title for the head of the log. Made from O(name) by default.
    type: str
  at:
    description: When the run began, in UTC (ISO 8601). Now by default.
    type: str
  hosts:
    description:
      - When O(state=reserved), the names of the hosts of the run. With more than one, each line names its own.
      - When O(state=written), the records of the hosts, as M(exchange.chaos.record) returns them.
    type: list
    elements: raw
    default: []
  without_record:
    description:
      - "Hosts of the run that may have no record, each as a pair of its name and why, a dictionary of C(outcome),
        C(reason) and C(wave). Those that are not among O(hosts) come into the record with nothing but that."
    type: list
    elements: raw
    default: []
  stem:
    description: What O(state=reserved) returned. Required when O(state=written).
    type: path
  run_id:
    description: The run. Required when O(state=written).
    type: str
  experiment:
    description: The experiment. Required when O(state=written).
    type: dict
    suboptions:
      number:
        description: Its number.
        type: int
        required: true
      name:
        description: Its name.
        type: str
        required: true
      title:
        description: Its title.
        type: str
        required: true
  started_at:
    description: When the run began, in UTC (ISO 8601). Required when O(state=written).
    type: str
  ended_at:
    description: When the run ended, in UTC (ISO 8601). Now by default.
    type: str
  collection_version:
    description: Version of this collection. Required when O(state=written).
    type: str
  spread_ms:
    description: How far apart hosts that agreed on one instant may have been hit, for the finding C(simultaneity).
    type: float
    default: 10.0
  otel_endpoint:
    description:
      - Where an OpenTelemetry collector takes OTLP over HTTP, such as V(http://127.0.0.1:4318). When
        O(state=written), the spans of the run, its hosts, phases and faults are sent there, in ten seconds at most.
        Empty for nowhere.
      - What is no such address is refused when O(state=reserved).
      - Needs C(opentelemetry-sdk) and C(opentelemetry-exporter-otlp-proto-http) on the controller.
    type: str
    default: ""
  metrics_file:
    description:
      - A file for a node exporter's textfile collector, which holds the newest run of each experiment as
        OpenMetrics text. Renewed when O(state=written). Empty for none.
      - What cannot be such a file is refused when O(state=reserved).
      - Needs C(prometheus_client) on the controller.
    type: str
    default: ""
  record:
    description: A record on disk. Required when O(state=rendered).
    type: path
notes:
  - The raw kernel events of each host are looked for beside the record, as C(STEM.HOST.bpf.jsonl.gz).
    Fetch them before O(state=written).
attributes:
  idempotent:
    support: none
    details: Each call takes new names. No report file is ever overwritten.
extends_documentation_fragment:
  - exchange.chaos.files.attributes
"""

EXAMPLES = r"""
- name: Take a name for the report files
  exchange.chaos.report:
    state: reserved
    report_dir: /tmp
    number: 1
    name: database_sudden_death
    hosts: "{{ groups['exchange'] }}"
  register: reserved
  run_once: true

- name: Write the record of the run
  exchange.chaos.report:
    state: written
    stem: "{{ reserved.stem }}"
    hosts: "{{ host_records }}"
    run_id: "{{ run_id }}"
    experiment: {number: 1, name: database_sudden_death, title: Database sudden death}
    started_at: "{{ started_at }}"
    collection_version: 0.1.0
  register: written
  run_once: true

- name: Render a record of last week
  exchange.chaos.report:
    state: rendered
    record: /tmp/chaos-exp-01-20261123-180000.json
"""

RETURN = r"""
stem:
  description: Path of the report files without their endings.
  returned: always
  type: str
  sample: /tmp/chaos-exp-01-20261123-180000
files:
  description: Paths of the report files by kind (C(log), C(bpf), C(json), C(html), C(xml)).
  returned: always
  type: dict
outcome:
  description: C(passed), C(failed), C(invalid), C(skipped) or C(aborted). Empty when O(state=reserved).
  returned: always
  type: str
  sample: passed
verdicts:
  description: The verdicts C(effect), C(hypothesis) and C(restored). Empty when O(state=reserved).
  returned: always
  type: dict
chaos_report:
  description: For the callbacks. The stem, the state and the names of the hosts.
  returned: always
  type: dict
chaos_record:
  description: The record, shortened when it is large. Null when O(state=reserved) and in check mode.
  returned: always
  type: dict
chaos_record_complete:
  description: Whether RV(chaos_record) is the whole record, as the file is.
  returned: always
  type: bool
"""
