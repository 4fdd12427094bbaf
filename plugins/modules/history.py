# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: history
short_description: Compares runs of an experiment, and keeps the index of a report folder
version_added: 0.1.0
author:
  - The exchange.chaos authors (@exchange-chaos)
description:
  - Works on the controller alone, from records. Nothing is carried to a host and no connection is needed.
  - With O(state=compared) runs before and after a change are held against each other, with their noise in view.
    A finding counts as moved only if the ranks of its values say so at 5 %, and by more than the values of either side
    lie apart, so three runs on each side are the fewest that can tell. A count that must be 0 is no noise.
  - With O(state=indexed) a folder's records become one page, C(chaos-index.html), with the trend of each finding.
options:
  state:
    description: What to do.
    type: str
    choices: [compared, indexed]
    required: true
  before:
    description: Records of the runs before the change, as paths or patterns. Required when O(state=compared).
    type: list
    elements: str
  after:
    description: Records of the runs after it. Required when O(state=compared).
    type: list
    elements: str
  report_dir:
    description: Folder of the records when O(state=indexed), and of the page. By default that of the newest record.
    type: path
attributes:
  idempotent:
    support: full
    details: The same records give the same pages. A page of an earlier call is written anew, any other file never.
extends_documentation_fragment:
  - exchange.chaos.files.attributes
"""

EXAMPLES = r"""
- name: Hold this release against the last one
  exchange.chaos.history:
    state: compared
    before: [/reports/4.1/chaos-exp-02-*.json]
    after: [/reports/4.2/chaos-exp-02-*.json]
  register: compared

- name: Stop a release that is worse
  ansible.builtin.fail:
    msg: "{{ compared.verdict }}"
  when: compared.verdict != ''

- name: Renew the index of a report folder
  exchange.chaos.history:
    state: indexed
    report_dir: /reports
"""

RETURN = r"""
page:
  description: Path of the page that was written.
  returned: always
  type: str
  sample: /tmp/chaos-index.html
verdict:
  description: Why a release must not go on, empty if it may. Empty when O(state=indexed).
  returned: always
  type: str
lines:
  description: What was found, as lines for a screen.
  returned: always
  type: list
  elements: str
findings:
  description: Each finding with C(host), C(id), C(title), C(limit), C(before), C(after), C(verdict) and C(why).
  returned: when O(state=compared)
  type: list
  elements: dict
"""
