#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Hold a lock in a service's PostgreSQL, and let it go
version_added: 0.3.0
description:
  - A fault of a chaos experiment. A session of the application's role takes an C(ACCESS EXCLUSIVE) lock on a table, or
    locks rows as C(SELECT … FOR UPDATE) does, and does nothing more. Needs root.
  - A process of the run holds the session, from inside the network namespace of the container, and ends at the fault's
    expiry even if nothing else of the run is alive. Its end, however it comes, rolls the transaction back. Where the
    process stands still, PostgreSQL ends the session after ten seconds.
  - The change and its undo are in the run's journal, on disk, before the lock is taken.
author: The exchange.chaos authors (@exchange-chaos)
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
  - exchange.chaos.fault
attributes:
  diff_mode:
    support: full
options:
  table:
    description: The table, with its schema.
    type: str
    default: trading.orders
  where:
    description: The condition, in SQL, of the rows that are locked. Left out, the whole table is.
    type: str
  user:
    description: The role of the session, the application's own; needed with O(state=present).
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
      - The superuser who is asked inside the container.
      - Left out, it is the container's E(POSTGRES_USER), else C(postgres).
    type: str
  port:
    description: The port PostgreSQL listens on inside its container.
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Hold the orders' table, as the run's specification has it
  exchange.chaos.lock:
    run_id: "{{ chaos_run_id }}"
    fault: lock

- name: Let it go
  exchange.chaos.lock:
    run_id: "{{ chaos_run_id }}"
    fault: lock
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
  description: What shows that the fault took effect, from the engine (PostgreSQL's own word).
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import lock
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module


def main() -> None:
    """Parse, call, report."""
    fault_module.run(lock)


if __name__ == "__main__":
    main()
