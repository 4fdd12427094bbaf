#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Look whether a host and its exchange are ready for chaos experiments
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Looks at the host (consent, Docker engine, kernel, bcc, disk), at the exchange (project, services, health) and at
    what an earlier run may have left, which it undoes.
  - Opens no run, and sends nothing to the exchange unless O(load) is given.
options:
  state_dir:
    description: Folder on the host that holds runs, locks and uncollected records.
    type: path
  project:
    description: The compose project of the exchange.
    type: str
    required: true
  services:
    description: The compose services of the exchange, by the part they play.
    type: dict
    required: true
  external:
    description:
      - Which of these live on another host, by the part they play, each with C(address) and C(port).
      - They are not looked for in the compose project; that they answer over TCP is tried.
    type: dict
    default: {}
  password:
    description: The password of the application's own role, where PostgreSQL asks for one inside its own container.
    type: str
  admin_password:
    description: That of the database's administrator, where PostgreSQL asks for one on its own socket.
    type: str
    version_added: 1.0.0
  load:
    description:
      - How orders go in, as M(exchange.chaos.run) takes it. One is sent then, found in the database and cancelled, as
        at the beginning of each run; what is wrong with it makes every experiment impossible, and is said.
      - Not in check mode.
    type: dict
  headers:
    description: Headers of every request to the API, such as one with a token.
    type: dict
  authority:
    description: The authority, as PEM has it, that the API's certificate is of; empty for those this host trusts.
    type: str
    default: ""
  database:
    description: Where that order has to be found, as M(exchange.chaos.run) takes it, without O(password).
    type: dict
    default: {}
  experiments:
    description: "What may be run: dictionaries of C(number), C(name), C(title), C(needs) and C(faults)."
    type: list
    elements: dict
    required: true
  unfilled:
    description:
      - What of the exchange is neither set nor found, in one sentence. Every experiment is impossible then, and this is
        the reason.
    type: str
    default: ""
    version_added: 1.0.0
  remote:
    description: Whether this host is another one than the controller, so that its owner's consent is required.
    type: bool
    default: true
  runtime:
    description: The host runtime as carried to the host; filled in by the action of the same name.
    type: path
extends_documentation_fragment:
  - exchange.chaos.run.attributes
"""

EXAMPLES = r"""
- name: Is this host ready
  exchange.chaos.preflight:
    project: exchange-chaos-lab
    services: {database: postgres, api: trading-api}
    experiments:
      - number: 1
        name: database_sudden_death
        title: Database sudden death
        needs: [database, api]
        faults: [{id: crash, kind: kill, target: postgres, window_s: 10}]
"""

RETURN = r"""
chaos_lines:
  description: What was found, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
chaos_bpf:
  description: Always empty; every result of the collection has it.
  returned: always
  type: list
  elements: dict
rows:
  description:
    - An experiment each, with C(number), C(name), C(title), C(ready) (V(ready), V(degraded) or V(impossible)) and
      C(why), a list of sentences.
  returned: always
  type: list
  elements: dict
clean:
  description: Whether nothing of an earlier run was left on the host.
  returned: always
  type: bool
facts:
  description: Kernel, versions and abilities.
  returned: always
  type: dict
held_by:
  description: The run that holds the project now; empty when it is free.
  returned: always
  type: str
under_way:
  description: The runs on this host that somebody looks after; C(halt) ends them.
  returned: always
  type: list
  elements: str
uncollected:
  description: Finished records that wait on the host.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common import archive
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.secret import Secret, take_arguments
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Arguments, Result
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import external
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Access
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned, preflight
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.specification import first_sentence
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load import load_plan
from ansible_collections.exchange.chaos.plugins.module_utils.run import claims
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir


def examine_host(parameters: Arguments, lines: Lines, *, act: bool) -> Result:
    """Look at the host once and try what each experiment needs; what makes one impossible is its reason."""
    state = StateDir(parameters["state_dir"])
    found: dict[str, Any] = {"rows": [], "clean": True, "facts": {}, "held_by": "", "under_way": []}
    try:
        report, engine = preflight.check_host(lines.say, remote=parameters["remote"], folder=state.root)
        found["facts"] = report.facts
        found["clean"] = abandoned.end_abandoned(state, lines.say, act=act) == 0
        for run in abandoned.living_runs(state):
            found["under_way"].append(run.path.name)
            lines.say(
                "warn",
                f"Run {run.path.name} of project {run.known.get('project') or 'unknown'} is under way on this host; "
                "playbooks/halt.yml ends it",
            )
        here = {run.path for run in state.list_runs()}
        for claim in claims.find_claims():
            if claim.folder not in here:
                found["under_way"].append(claim.run_id)
                lines.say(
                    "warn",
                    f"{claim.describe().capitalize()} is under way on this host; playbooks/halt.yml ends it",
                )
        held = state.lock_holder(parameters["project"])
        if held:
            found["held_by"] = held.describe()
            lines.say("warn", f"Project {held.project} is taken by {held.describe()}")
    except ChaosError as error:
        lines.say("fail", str(error))
        found["clean"] = not state.list_runs()  # not looked into, or one that resists
        found["rows"] = [
            _row(experiment, "impossible", [str(error)]) for experiment in parameters["experiments"]
        ]
        return found
    finally:  # with those of runs that were ended just now
        found["uncollected"] = [record.path.name for record in state.list_records()]
    if parameters.get("unfilled"):
        lines.say("fail", parameters["unfilled"])
        found["rows"] = [
            _row(one, "impossible", [parameters["unfilled"]]) for one in parameters["experiments"]
        ]
        return found
    common = [line["text"] for line in lines.lines if line["level"] == "warn"]
    if act and parameters["load"] is not None:
        try:
            _send_trial_order(parameters, report, engine)
        except ChaosError as error:
            lines.say("fail", str(error))
            found["rows"] = [_row(one, "impossible", [str(error)]) for one in parameters["experiments"]]
            return found
    found["rows"] = [
        _examined(parameters, experiment, report.facts, engine, common)
        for experiment in parameters["experiments"]
    ]
    return found


def _send_trial_order(parameters: Arguments, report: preflight.Report, engine: DockerEngine) -> None:
    """Send the one order that every run begins with. Raises ChaosError with what is wrong."""
    given = {key: parameters[key] for key in ("project", "services", "external", "load", "database")}
    spec = Specification.read(given)
    problems = load_plan.validate_load(spec.order_load)
    if problems:
        raise ChaosError(first_sentence(problems))
    report.targets = engine.containers(spec.project)
    password = parameters["password"] or spec.database.password
    resolved = preflight.resolve_specification(report, spec)
    access = Access.from_data({"headers": parameters["headers"], "authority": parameters["authority"]})
    preflight.try_order(report, engine, resolved, {**spec.database.to_data(), "password": password}, access)


def _examined(
    parameters: Arguments,
    experiment: Arguments,
    facts: Arguments,
    engine: DockerEngine,
    common: list[str],
) -> Result:
    own = Lines()
    common_part = {key: parameters[key] for key in ("project", "services", "external")}
    try:
        spec = Specification.read(
            {**common_part, **{key: experiment.get(key) for key in ("needs", "faults")}}
        )
        problems = external.find_problems(spec)
        problems += [problem for fault in spec.faults for problem in planning.check(fault.to_data())]
        if problems:
            raise ChaosError(first_sentence(problems))
        report = preflight.Report(own.say, facts)
        preflight.check_exchange(report, engine, spec)
        admin = Secret(parameters["admin_password"])
        preflight.try_faults(report, spec, engine, parameters["password"] or "", admin)
    except ChaosError as error:
        return _row(experiment, "impossible", [str(error)])
    why = [*common, *(line["text"] for line in own.lines if line["level"] == "warn")]
    return _row(experiment, "degraded" if why else "ready", why)


def _row(experiment: Arguments, ready: str, why: list[str]) -> Result:
    return {**{key: experiment.get(key) for key in ("number", "name", "title")}, "ready": ready, "why": why}


def render_closing(found: Result, *, acted: bool) -> str:
    """Return the sentence on what an earlier run left, and whether that is gone by now."""
    uncollected = len(found["uncollected"])
    left = f"{uncollected} records wait on it" if uncollected else "no record waits on it"
    if found.get("under_way"):
        return f"The host is not clean: {', '.join(found['under_way'])} is under way; {left}"
    if found["clean"]:
        return f"The host is clean; {left}"
    cleaned = "cleaned of what an earlier run left" if acted else "not clean of what an earlier run left"
    return f"The host is {cleaned}; {left}"


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path"},
            "project": {"type": "str", "required": True},
            "services": {"type": "dict", "required": True},
            "external": {"type": "dict", "default": {}},
            "password": {"type": "str", "no_log": True},
            "admin_password": {"type": "str", "no_log": True},
            "load": {"type": "dict"},
            "headers": {"type": "dict", "no_log": True},
            "authority": {"type": "str", "default": ""},
            "database": {"type": "dict", "default": {}},
            "experiments": {"type": "list", "elements": "dict", "required": True},
            "unfilled": {"type": "str", "default": ""},
            "remote": {"type": "bool", "default": True},
            "runtime": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = take_arguments(module)
    archive.complete_from(Path(given["runtime"] or ""))
    lines = Lines()
    act = not module.check_mode
    found = examine_host(given, lines, act=act)
    acted = act and not any(line["level"] == "fail" for line in lines.lines)
    good = (found["clean"] or acted) and not found["under_way"]
    lines.say("ok" if good else "warn", render_closing(found, acted=acted))
    module.exit_json(changed=not found["clean"] and acted, chaos_lines=lines.lines, chaos_bpf=[], **found)


if __name__ == "__main__":
    main()
