#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: load
short_description: Sends orders during a run and accounts for each of them afterwards
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - With O(state=present) starts a process on the host that sends orders through the exchange's API at the rate that
    the run's specification gives, however the exchange answers (an open loop). Around kills the rate rises.
    The process outlives the task. Another one beside it notes what the host does besides, by pressure, processors and
    who uses them.
  - With O(state=absent) ends that process, waits until no request can be under way any more, holds the orders against
    the database, cancels through the API what stays open, and writes the ledger of the run.
  - Orders are numbered in the low decimals of their price, so that each is found again in the database.
    None is sent twice.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
options:
  state:
    description: Whether orders are being sent, or ended and accounted for.
    type: str
    choices: [present, absent]
    default: present
  probes:
    description:
      - Whether O(state=present) starts the probes, too, as M(exchange.chaos.probes) does, and spares a round trip.
    type: bool
    default: false
attributes:
  diff_mode:
    support: none
    details: What there is to see before it happens is in RV(plan).
notes:
  - O(state=absent) takes the client's time-out and 5 seconds from the last order on.
seealso:
  - module: exchange.chaos.run
  - module: exchange.chaos.probes
"""

EXAMPLES = r"""
- name: Send orders
  exchange.chaos.load:
    run_id: "{{ run_id }}"

- name: Stop sending and account for every order
  exchange.chaos.load:
    run_id: "{{ run_id }}"
    state: absent
  register: load
"""

RETURN = r"""
plan:
  description: What is done, or in check mode would be done, line by line.
  returned: always
  type: list
  elements: str
ledger:
  description:
    - The account of the orders. Empty until O(state=absent).
    - A count is null when the database could not be asked.
  returned: always
  type: dict
  contains:
    acknowledged:
      description: Orders that the API acknowledged.
      type: int
    lost:
      description: Acknowledged orders that are not in the database.
      type: int
    lost_numbers:
      description: Their numbers, at most 100.
      type: list
      elements: int
    duplicated:
      description: Orders that are in the database more than once.
      type: int
    unacknowledged_applied:
      description: Orders in the database whose sender saw an error or nothing.
      type: int
    in_database:
      description: Rows of the run in the database.
      type: int
    shortest_visible_loss_ms:
      description: The shortest loss before a kill that the orders would surely have shown, the worst of all faults.
      type: float
    per_fault:
      description: The same counts for each fault.
      type: dict
    open_orders_cancelled:
      description: Orders that stayed open and were cancelled through the API.
      type: int
    book_before:
      description: Levels in the order book before the first order.
      type: int
    book_after:
      description: Levels in the order book after the last was cancelled.
      type: int
    in_flight_unresolved:
      description: Orders without an answer when the process ended. Null when it was killed.
      type: int
chaos_lines:
  description: Lines for the screen and the log.
  returned: always
  type: list
  elements: dict
chaos_bpf:
  description: Events captured since the last result.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import read_json
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import order_book, reconcile
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.database import access_of_run
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load import load_plan
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes import start
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes, timeline
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines, deliver_result
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import attach_run


def make_present(run: RunDir, check: bool, probes: bool) -> Result:
    """Start the process unless it runs, and with ``probes`` theirs."""
    load, probed = run.spec.order_load, [probe.to_data() for probe in run.spec.probes] if probes else []
    plan = [*load_plan.describe_load(load), *load_plan.describe_probes(probed)]
    running = bool(processes.living_process(run, "load"))
    if check:
        started = not running or (probes and not processes.living_process(run, "probes"))
        return _answer(run, check, changed=bool(started), plan=plan, ledger={})
    if not running:
        # it has no part in the orders: nobody waits for it, and without it the run knows less
        if not processes.living_process(run, "interference"):
            processes.launch_process(run, "interference")
        run.write_event(timeline.BOOK, depth=order_book.read_depth({**load, "access": access_of_run(run)}))
        processes.start_process(run, "load")
        run.log("ok", f"Sending {load['rate']:g} orders per second to {load['url']}", "steady")
    started = probes and start.start_probes(run)
    return _answer(run, check, changed=not running or started, plan=plan, ledger={})


def make_absent(run: RunDir, check: bool, _probes: bool) -> Result:
    """End the process and account for its orders; once that is done, tell the account again."""
    known = read_json(run.file("ledger.json"))
    running = processes.living_process(run, "load")
    started = run.file("load.jsonl").exists()
    if not running and (known or not started):
        return _answer(run, check, changed=False, plan=[], ledger=known or {})
    plan = load_plan.describe_end(run.spec.order_load)
    if check:
        return _answer(run, check, changed=True, plan=plan, ledger={})
    return _answer(
        run,
        check,
        changed=True,
        plan=plan,
        ledger=reconcile.close_account(run, DockerEngine.connect_for(run)),
    )


def _answer(run: RunDir, check: bool, **fields: Any) -> Result:
    if not check:
        return deliver_result(run, **fields)
    lines = Lines()
    for line in fields["plan"]:
        lines.say("info", f"Would {line}")
    return {"chaos_lines": lines.lines, "chaos_bpf": [], **fields}


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "probes": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    act = make_present if module.params["state"] == "present" else make_absent
    try:
        run = attach_run(module.params["run_id"], module.params["state_dir"], of="module load")
        module.exit_json(**act(run, module.check_mode, module.params["probes"]))
    except ChaosError as error:
        module.fail_json(msg=str(error), changed=False, plan=[], ledger={}, chaos_lines=[], chaos_bpf=[])


if __name__ == "__main__":
    main()
