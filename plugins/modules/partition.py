#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: partition
short_description: Drop all packets between a service and a peer
version_added: 0.2.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Drops what goes between a service's containers and a peer (another service, or
    somebody's addresses), both ways, IPv4 and IPv6, by a table of nftables in the service's network namespace. Needs
    root.
  - The table is named after the run, and no other is touched. Its addresses expire in the kernel at O(ttl), so that
    packets flow again though every process of the run is dead.
  - The change and its undo are in the run's journal, on disk, before anything is dropped.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
requirements:
  - pyroute2 >= 0.7
attributes:
  diff_mode:
    support: full
options:
  peer:
    description: The service at the other end of the path. With O(state=present) this or O(peer_addresses) is needed.
    type: str
  peer_addresses:
    description:
      - The other end of the path, where it is no service of the project. IPv4 and IPv6 addresses, and networks such as
        V(10.0.0.0/24), as the service's containers know them.
      - Refused are loopback, multicast and link-local addresses, networks wider than a V(/8) (IPv6 V(/16)), the
        container's own address, and a network that takes the container's gateway along.
    type: list
    elements: str
    default: []
  port:
    description:
      - TCP port of the peer, tried from inside the namespace as a proof of its own.
      - Of O(peer_addresses) the first three are tried before, and the first that answers then.
    type: int
  only_port:
    description: Drop only TCP packets to and from O(port), instead of all packets.
    type: bool
    default: false
  control:
    description:
      - A service, or an address, to which the path must stay open; tried from inside the namespace.
      - One that the partition would cut along is refused.
    type: str
  control_port:
    description: TCP port of the service in O(control).
    type: int
"""

EXAMPLES = r"""
- name: Cut the API off from its database
  exchange.chaos.partition:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    peer: postgres
    port: 5432
    control: redis
    control_port: 6379
    fault: partition
    ttl: 45

- name: Cut the API off from two hosts of another zone
  exchange.chaos.partition:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    peer_addresses: [10.0.0.5, fd00::5]
    fault: zone
    ttl: 45

- name: Heal the path
  exchange.chaos.partition:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    peer: postgres
    fault: partition
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
  description: What shows that the fault took effect, from the kernel and TCP.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import partition
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(partition)


if __name__ == "__main__":
    main()
