#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: connections
short_description: Exhaust the connections of a service's PostgreSQL, and free them
version_added: 0.1.0
description:
  - With O(mode=sessions), real sessions of the application's role are taken until PostgreSQL refuses one more
    (SQLSTATE 53300), and held until the undo. Slots that become free meanwhile are taken as well. The slots reserved
    for superusers stay free, unless the role is a superuser itself.
  - A process of the run holds them, from inside the network namespace of the container, and ends at the fault's
    expiry even if nothing else of the run is alive. Its end, however it comes, frees every session.
  - With O(mode=limit), C(max_connections) is lowered by C(ALTER SYSTEM) and a restart of the container, and put back
    as it was, written or unwritten, by a second restart. The restarts cut every session that was open.
author: The exchange.chaos authors (@exchange-chaos)
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  mode:
    description: How the connections are exhausted.
    type: str
    choices: [sessions, limit]
    default: sessions
  user:
    description: The role whose sessions are taken, the application's own; needed with O(state=present).
    type: str
  database:
    description: The database it connects to; needed with O(state=present).
    type: str
  password:
    description: Its password, where PostgreSQL asks for one even on the loopback address inside its container.
    type: str
  clear_password:
    description:
      - Whether a server that asks for the password in clear text gets it; whoever listens there would.
      - Otherwise such a server is refused.
    type: bool
    default: false
  administrator:
    description:
      - The superuser who is asked and, with O(mode=limit), writes a setting inside the container.
      - Left out, it is the container's E(POSTGRES_USER), else C(postgres).
    type: str
  port:
    description: The port PostgreSQL listens on inside its container.
    type: int
    default: 5432
  limit:
    description: The lowered C(max_connections); needed with O(mode=limit).
    type: int
"""

EXAMPLES = r"""
- name: Take every session the application could have
  exchange.chaos.connections:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: exhausted
    user: trading_user
    database: trading_db
    ttl: 45

- name: Free them
  exchange.chaos.connections:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: exhausted
    user: trading_user
    database: trading_db
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
  description: What shows that the fault took effect, from the engine (PostgreSQL's own word) and TCP.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import connections
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(connections)


if __name__ == "__main__":
    main()
