#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kill
short_description: Kill containers of a compose service, and bring them back
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - A fault of a chaos experiment. Kills a service's main processes by SIGKILL from the host, so that the restart
    policy acts, or through the engine, which switches the restart policy off and so can hold an outage.
  - The change and its undo are in the run's journal, on disk, before anything is killed.
    The host undoes it after O(ttl) seconds, whatever becomes of the controller.
  - With O(state=absent) sees that the service runs again and starts it where it does not.
extends_documentation_fragment:
  - exchange.chaos.run
  - exchange.chaos.run.attributes
attributes:
  diff_mode:
    support: full
options:
  project:
    description: The compose project. Only its containers are ever touched.
    type: str
    required: true
  service:
    description: The compose service whose containers are killed.
    type: str
    required: true
  fault:
    description: The fault's id in the run; the same id twice is one fault.
    type: str
    required: true
  mode:
    description:
      - V(process) sends SIGKILL to the main process from the host and needs root.
      - V(engine) kills through the engine; without O(hold) the containers are then started again at once.
      - V(auto) is V(process) as root and V(engine) otherwise, or when the containers are to stay down.
    type: str
    choices: [auto, process, engine]
    default: auto
  hold:
    description: Keep the containers down until the undo.
    type: bool
    default: false
  replicas:
    description: How many containers of the service, V(one), V(all) or a number.
    type: str
    default: one
  port:
    description: TCP port of the service, tried after the kill as a proof of its own; none is tried when left out.
    type: int
  lead:
    description: Seconds between announcing the kill to load and probes, which then sample more densely, and the kill.
    type: float
    default: 1.0
  linger:
    description: Seconds to do nothing after kill or undo, so that the next module's start disturbs no measuring.
    type: float
    default: 2.0
  ttl:
    description: Seconds after which the host undoes the fault by itself, counted on CLOCK_BOOTTIME.
    type: float
    required: true
  state:
    description: Whether the fault is injected or undone.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Crash the database
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: crash
    ttl: 30

- name: Hold the database down, through the engine
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: outage
    hold: true
    ttl: 30

- name: Start it again
  exchange.chaos.kill:
    run_id: "{{ chaos_run_id }}"
    project: exchange-chaos-lab
    service: postgres
    fault: outage
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
  description: What shows that the fault took effect, from the kernel, the engine and TCP.
  returned: always
  type: list
  elements: dict
diff:
  description: The change in words.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils import clock
from ansible_collections.exchange.chaos.plugins.module_utils.engine import Engine
from ansible_collections.exchange.chaos.plugins.module_utils.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.facts import is_root
from ansible_collections.exchange.chaos.plugins.module_utils.faults import inject, kill, planning
from ansible_collections.exchange.chaos.plugins.module_utils.journal import Journal
from ansible_collections.exchange.chaos.plugins.module_utils.result import deliver
from ansible_collections.exchange.chaos.plugins.module_utils.spec import fault_ttl, first_sentence
from ansible_collections.exchange.chaos.plugins.module_utils.state import State, open_run
from ansible_collections.exchange.chaos.plugins.module_utils.undo import undo


def planned(parameters: dict[str, Any], engine: Engine) -> kill.Plan:
    """Look the target up and plan; changes nothing."""
    targets = engine.containers(parameters["project"], parameters["service"])
    if not targets:
        raise ChaosError(
            f"Project {parameters['project']} has no container of a service {parameters['service']}."
        )
    chosen = planning.choose(targets, parameters["service"], parameters["replicas"])
    return kill.from_spec({**parameters, "hold_s": int(parameters["hold"])}, chosen, root=is_root())


def preview(parameters: dict[str, Any]) -> dict[str, Any]:
    """Say what would be done; works before the run was opened, and never acts."""
    if parameters["state"] == "absent":
        run = State(parameters["state_dir"]).run(parameters["run_id"])
        entries = [entry for entry in Journal(run).open_entries() if entry.fault == parameters["fault"]]
        lines = [line for entry in entries for line in entry.plan]
        return result(bool(entries), lines, before="".join(f"{line}\n" for line in lines), after="")
    lines = planned(parameters, Engine.connect()).lines()
    return result(True, lines, before="", after="".join(f"{line}\n" for line in lines))


def result(changed: bool, plan: list[str], before: str, after: str) -> dict[str, Any]:
    """Return the keys every result of this module has."""
    diff = {
        "before": before,
        "after": after,
        "before_header": "faults in force",
        "after_header": "faults in force",
    }
    return {"changed": changed, "plan": plan, "proof": [], "diff": diff, "chaos_lines": [], "chaos_bpf": []}


def present(parameters: dict[str, Any]) -> dict[str, Any]:
    """Inject the fault in its run, unless this very fault was injected already."""
    run = open_run(parameters["run_id"], parameters["state_dir"])
    # one that never took effect and was put back may be tried again
    known = [entry for entry in Journal(run).entries() if entry.open or entry.applied_at is not None]
    if any(entry.fault == parameters["fault"] for entry in known):
        return {**result(False, [], "", ""), **deliver(run, changed=False)}
    engine = Engine.connect()
    change = planned(parameters, engine)

    def act() -> inject.Applied:
        at, proofs = kill.apply(change, engine)
        if parameters["port"]:
            proofs += [kill.refused(target.address, parameters["port"]) for target in change.targets]
        return inject.Applied(
            at, proofs, {"pids": [target.pid for target in change.targets], "engine": change.mode}
        )

    proofs = inject.inject(
        run,
        inject.Order(parameters["fault"], "kill", change.service, change.lines(), change.undo(), parameters["ttl"]),
        act, lead=parameters["lead"], linger=parameters["linger"],
    )  # fmt: skip
    shown = result(True, change.lines(), before="", after="".join(f"{line}\n" for line in change.lines()))
    return {**shown, "proof": [proof.fields() for proof in proofs], **deliver(run, changed=True)}


def absent(parameters: dict[str, Any]) -> dict[str, Any]:
    """Undo the fault if it is in force; twice is once."""
    run = open_run(parameters["run_id"], parameters["state_dir"])
    plan = [
        line
        for entry in Journal(run).open_entries()
        if entry.fault == parameters["fault"]
        for line in entry.plan
    ]
    done = undo(run, by="module", wanted=lambda entry: entry.fault == parameters["fault"])
    if done and not run.saw("steady", fault=parameters["fault"]):
        inject.quiet(run, clock.now() + parameters["linger"])
    shown = result(bool(done), plan, before="".join(f"{line}\n" for line in plan), after="")
    return {**shown, **deliver(run, changed=bool(done))}


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dir": {"type": "path"},
            "project": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "fault": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": ["auto", *kill.MODES], "default": "auto"},
            "hold": {"type": "bool", "default": False},
            "replicas": {"type": "str", "default": "one"},
            "port": {"type": "int"},
            "lead": {"type": "float", "default": 1.0},
            "linger": {"type": "float", "default": 2.0},
            "ttl": {"type": "float", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    try:
        problems = fault_ttl(parameters["fault"], parameters["ttl"])
        if problems:
            raise ChaosError(first_sentence(problems))
        if module.check_mode:
            module.exit_json(**preview(parameters))
        module.exit_json(**(present(parameters) if parameters["state"] == "present" else absent(parameters)))
    except ChaosError as error:
        module.fail_json(msg=str(error), at=clock.now(), **result(False, [], "", ""))


if __name__ == "__main__":
    main()
