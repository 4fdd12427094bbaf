#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: impair
short_description: Delay, lose, duplicate, reorder, corrupt or slow packets from a service to a peer
version_added: 0.2.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Impairs what a service's containers send to a peer (another service, or somebody's
    addresses), IPv4 and IPv6, in the service's network namespace. What comes back is left alone, so O(delay_ms) is
    what a round trip gets longer by. Needs root.
  - The change and its undo are in the run's journal, on disk, before anything is impaired. The kernel lets packets go
    the usual way at O(ttl), though every process of the run is dead.
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
      - TCP port of the peer, connected to from inside the namespace to measure the round trip.
      - Of O(peer_addresses) the first three are tried before, and the first that answers is measured.
    type: int
  only_port:
    description: Impair only TCP packets to O(port), instead of all packets.
    type: bool
    default: false
  both_ends:
    description:
      - Whether the peers impair what they send here, too, as between two groups of hosts.
      - A round trip then gets longer by up to twice O(delay_ms), so it is not measured; what the kernel counted on the
        impaired path is the proof.
    type: bool
    default: false
  engine:
    description:
      - V(netem) uses the kernel's own network emulator.
      - V(tun) sends packets through a TUN device, behind which a process of the run delays them; it needs no netem,
        and costs that process's time for every packet.
      - V(auto) is V(netem) where the kernel has it and V(tun) otherwise; which one it was is in the record.
    type: str
    choices: [auto, netem, tun]
    default: auto
  delay_ms:
    description: Milliseconds that each packet waits.
    type: float
    default: 0
  jitter_ms:
    description: Milliseconds by which the delay varies, more and less. With V(tun) packets keep their order.
    type: float
    default: 0
  loss_pct:
    description: Packets lost, in per cent.
    type: float
    default: 0
  duplicate_pct:
    description: Packets sent twice, in per cent.
    type: float
    default: 0
  reorder_pct:
    description: Packets that do not wait and so overtake others, in per cent; needs O(delay_ms).
    type: float
    default: 0
  corrupt_pct:
    description: Packets of which one bit is flipped, in per cent.
    type: float
    default: 0
  rate_kbit:
    description: Kilobits per second that pass at most; V(0) for any number.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Make the way to the database 100 ms longer
  exchange.chaos.impair:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    peer: postgres
    port: 5432
    delay_ms: 100
    fault: latency_100
    ttl: 25

- name: Make it as it was
  exchange.chaos.impair:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: trading-api
    peer: postgres
    fault: latency_100
    ttl: 25
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

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import impair
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(impair)


if __name__ == "__main__":
    main()
