#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: disk
short_description: Starve a compose service's disk, and give it back
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Holds the reads and writes of a service to a small rate on the disk under its
    volume, by its cgroup, version 1 or 2. Needs root.
  - With O(mode=contention) saturates that disk with C(fio) or C(stress-ng) instead, which hits its other users as well.
  - With O(state=absent) writes back what was there, to the byte, or ends the tool.
  - The change and its undo are in the run's journal, on disk, before anything is written.
    The host undoes it after O(ttl) seconds, whatever becomes of the controller.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  mode:
    description: Whether the service's own rate is limited, or the whole disk is kept busy.
    type: str
    choices: [limit, contention]
    default: limit
  write_bps:
    description: Bytes per second the service may write.
    type: int
    default: 131072
  read_bps:
    description: Bytes per second the service may read.
    type: int
    default: 131072
  path:
    description: A folder of the container on the disk that is meant; that of its only volume when left out.
    type: str
    default: ""
  accept_shared_disk:
    description: Whether other users of the disk may be hit. O(mode=contention) is refused without.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Starve the database of its disk
  exchange.chaos.disk:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: starve
    ttl: 45

- name: Put it back
  exchange.chaos.disk:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: starve
    ttl: 45
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
  description: What shows that the fault took effect, from the kernel and the engine.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import disk
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(disk)


if __name__ == "__main__":
    main()
