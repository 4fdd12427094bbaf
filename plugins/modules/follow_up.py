# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: follow_up
short_description: Turns what a run measured into a runbook, alert rules, a dashboard and checks
version_added: 0.1.0
author:
  - The exchange.chaos authors (@exchange-chaos)
description:
  - Works on the controller alone, from a record and the raw samples beside it.
  - "It writes beside the record: a runbook of one page (C(.runbook.md)), alert rules for Prometheus on what moved no
    later than the users felt it, with the lead that was measured (C(.rules.yml)), a dashboard for Grafana
    (C(.grafana.json)), the faults as annotations for it (C(.annotations.json)), and plain checks for who has no
    exporters (C(.checks.yml))."
  - Of several hosts it speaks of the one on which most findings failed.
options:
  record:
    description: A record on disk.
    type: path
    required: true
attributes:
  idempotent:
    support: none
    details: No file is ever overwritten, so a second call on the same record is refused.
extends_documentation_fragment:
  - exchange.chaos.files.attributes
"""

EXAMPLES = r"""
- name: What follows from a run
  exchange.chaos.follow_up:
    record: /tmp/chaos-exp-01-20261123-180000.json
"""

RETURN = r"""
files:
  description: Paths by kind (C(runbook), C(rules), C(dashboard), C(annotations), C(checks)).
  returned: always
  type: dict
advice:
  description: What to change first, a sentence each, with the title of the finding it rests on.
  returned: always
  type: list
  elements: str
"""
