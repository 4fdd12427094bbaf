#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rush
short_description: Let a rush of orders come, and end it
version_added: 0.3.0
description:
  - A fault of a chaos experiment. The run's load is asked for more orders, as when a market opens. They rise for a
    tenth of the time, stay at their height for three tenths, and decay. They come from many clients, each with
    connections of its own, through the proxy and directly.
  - They are numbered, accounted for and cancelled with the load's others, and yield like them where the exchange does
    not bear them. M(exchange.chaos.load) must be under way.
  - With O(state=absent) no more of them are sent. They end by themselves, too.
author: The exchange.chaos authors (@exchange-chaos)
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  rate:
    description: Orders per second at the height; needed with O(state=present).
    type: float
  clients:
    description: Clients that they come from.
    type: int
    default: 40
  proxy:
    description: The compose service of the proxy. Left out, all clients come directly.
    type: str
  proxy_port:
    description: The port on which it listens inside its container.
    type: int
    default: 80
  proxy_url:
    description: Where the proxy answers, where that is not its published port or its container's address.
    type: str
  proxy_share:
    description: Share of the clients that come through the proxy.
    type: float
    default: 0.5
"""

EXAMPLES = r"""
- name: Let the rush come that the run's specification has
  exchange.chaos.rush:
    run_id: "{{ chaos_run_id }}"
    fault: rush

- name: End it
  exchange.chaos.rush:
    run_id: "{{ chaos_run_id }}"
    fault: rush
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
  description: What shows that the fault took effect, from the kernel's counts and the load's own.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import rush
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(rush)


if __name__ == "__main__":
    main()
