#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: disk_fill
short_description: Fill the filesystem under a service's volume
version_added: 0.2.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. A process of the run takes every block that is free on the filesystem under the
    service's data, by a file without a name, and what becomes free meanwhile.
  - Whatever ends that process gives every block back. The host ends it after O(ttl) seconds, whatever becomes of the
    controller.
  - Refused where the filesystem holds anything but that volume, unless O(accept_shared_disk) is set. Then
    O(floor_mb) stay free.
  - With O(state=absent) ends the process.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  path:
    description: A folder of the container on the filesystem that is meant; empty for its database's data folder.
    type: str
    default: ""
  floor_mb:
    description: Megabytes that stay free where the filesystem holds more than the volume.
    type: int
    default: 64
  accept_shared_disk:
    description: Whether others who use that filesystem may be hit.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Fill the database's own disk
  exchange.chaos.disk_fill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: full
    ttl: 30

- name: Give the room back
  exchange.chaos.disk_fill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: full
    ttl: 30
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
  description: Each change with its undo, as the journal holds it.
  returned: always
  type: list
  elements: str
proof:
  description: What shows that the fault took effect, from the kernel.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import disk_fill
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(disk_fill)


if __name__ == "__main__":
    main()
