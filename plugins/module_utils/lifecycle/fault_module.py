# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every fault module does: check, plan, inject or undo in a run, and answer with the same keys in every mode."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..common import clock
from ..common.errors import ChaosError
from ..exchange import external, fault_entry
from ..faults import inject, planning
from ..faults.contract import Fault, Plan, Scene, Site
from ..faults.undo import undo
from ..host.docker_engine import DockerEngine
from ..host.facts import is_root
from ..run import lease, timeline
from ..run.abort import abort_reason, refuse_more_faults
from ..run.folder import RunDir
from ..run.instant import FARTHEST_S, Instant
from ..run.journal import Journal
from ..run.results import deliver_result
from ..run.state_dir import StateDir, attach_run
from .specification import fault_ttl, first_sentence


def arguments() -> dict[str, dict[str, Any]]:
    """Return the options all fault modules share, as the documentation fragment ``exchange.chaos.fault`` has them."""
    return {
        "run_id": {"type": "str", "required": True},
        "state_dir": {"type": "path"},
        "project": {"type": "str", "required": True},
        "service": {"type": "str", "required": True},
        "fault": {"type": "str", "required": True},
        "replicas": {"type": "str", "default": "one"},
        "lead": {"type": "float", "default": 1.0},
        "linger": {"type": "float", "default": 2.0},
        "ttl": {"type": "float", "required": True},
        "at": {"type": "float"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def run(module: AnsibleModule, kind: str, fault: Fault, **more: Any) -> None:
    """Do what the module's parameters ask and exit. ``more``: keys of the fault's entry that are no parameters."""
    parameters = module.params
    wanted = {
        **{name: value for name, value in parameters.items() if value is not None},
        **more,
        "id": parameters["fault"],
        "kind": kind,
        "target": parameters["service"],
    }
    try:
        problems = fault_ttl(parameters["fault"], parameters["ttl"])
        if parameters["state"] == "present":
            problems += fault.check(wanted)
        if problems:
            raise ChaosError(first_sentence(problems))
        if module.check_mode:
            module.exit_json(**preview(fault, wanted))
        module.exit_json(**(present(fault, wanted) if parameters["state"] == "present" else absent(wanted)))
    except ChaosError as error:
        # for the action of all fault modules: the wave must hear of an abort that no window will tell of
        aborted = abort_reason(StateDir(parameters["state_dir"]), parameters["run_id"])
        if not module.check_mode:
            _tell_failure(parameters, kind, str(error))
        if parameters["state"] == "present" and not module.check_mode:
            _go_no_further(parameters, str(error))
        module.fail_json(msg=str(error), at=clock.now(), aborted=aborted, **result(False, [], "", ""))


def _tell_failure(parameters: Mapping[str, Any], kind: str, reason: str) -> None:
    """Have the host know that a module failed: should nobody come after it, that is why."""
    with suppress(ChaosError):
        run = StateDir(parameters["state_dir"]).run_dir(parameters["run_id"])
        if run.file("spec.json").exists():
            run.note(timeline.MODULE_FAILED, module=kind, state=parameters["state"], error=reason)


def _go_no_further(parameters: Mapping[str, Any], reason: str) -> None:
    """Have the host know, where the run is still under way, that a fault which failed is the last."""
    with suppress(ChaosError):
        run = attach_run(parameters["run_id"], parameters["state_dir"])
        refuse_more_faults(run, reason, fault=parameters["fault"])


def result(changed: bool, plan: list[str], before: str, after: str) -> dict[str, Any]:
    """Return the keys every result of a fault module has."""
    diff = {
        "before": before,
        "after": after,
        "before_header": "faults in force",
        "after_header": "faults in force",
    }
    return {"changed": changed, "plan": plan, "proof": [], "diff": diff, "chaos_lines": [], "chaos_bpf": []}


def planned(fault: Fault, wanted: Mapping[str, Any], engine: DockerEngine) -> Plan:
    """Look the target up and plan; changes nothing."""
    targets = engine.containers(wanted["project"])
    for service in fault_entry.services_of(wanted):
        if not any(container.service == service for container in targets):
            raise ChaosError(f"Project {wanted['project']} has no container of a service {service}.")
    chosen = planning.chosen(targets, wanted)
    change: Plan = fault.from_spec(wanted, chosen, Site(targets, is_root(), engine))
    return change


def preview(fault: Fault, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Say what would be done; works before the run was opened, and never acts."""
    if wanted["state"] == "absent":
        journal = Journal(StateDir(wanted.get("state_dir")).run_dir(wanted["run_id"]))
        entries = [entry for entry in journal.open_entries() if entry.fault == wanted["id"]]
        lines = [line for entry in entries for line in entry.plan]
        return result(bool(entries), lines, before=_text(lines), after="")
    lines = planned(fault, wanted, DockerEngine.connect()).lines()
    return result(True, lines, before="", after=_text(lines))


def present(fault: Fault, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Inject the fault in its run, unless this very fault was injected already."""
    run = attach_run(wanted["run_id"], wanted.get("state_dir"), of=f"module {wanted['kind']}")
    external.refuse_external([wanted], external.list_external(run.spec))
    # one that never took effect and was put back may be tried again
    known = [entry for entry in Journal(run).entries() if entry.open or entry.applied_at is not None]
    if any(entry.fault == wanted["id"] for entry in known):
        return {**result(False, [], "", ""), **deliver_result(run, changed=False)}
    engine = DockerEngine.connect_for(run)
    change = planned(fault, wanted, engine)
    lines = change.lines()
    order = inject.Injection(
        wanted["id"], wanted["kind"], change.service, lines, change.undo(), wanted["ttl"]
    )
    agreed = _agreed(run, wanted)
    scene = Scene(run, engine, agreed)
    proofs = inject.inject_fault(
        run,
        order,
        lambda entry: fault.apply(change, entry, scene),
        lead=wanted["lead"],
        linger=wanted["linger"],
        agreed=agreed,
    )
    shown = result(True, lines, before="", after=_text(lines))
    return {**shown, "proof": [proof.fields() for proof in proofs], **deliver_result(run, changed=True)}


def _agreed(run: RunDir, wanted: Mapping[str, Any]) -> Instant | None:
    """Return the instant to wait for, if any. Raises ChaosError for one that can only be a mistake."""
    if wanted.get("at") is None:
        return None
    agreed = Instant(run, wanted["id"], wanted["at"])
    if abs(agreed.left) > FARTHEST_S:
        raise ChaosError(
            f"The instant agreed for fault {wanted['id']} is {agreed.left:+.0f} s from now; it must lie within "
            f"{FARTHEST_S:.0f} s: nothing was changed."
        )
    return agreed


def absent(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Undo the fault if it is in force; twice is once."""
    run = attach_run(wanted["run_id"], wanted.get("state_dir"), of=f"module {wanted['kind']}, undoing")
    entries = [entry for entry in Journal(run).open_entries() if entry.fault == wanted["id"]]
    lines = [line for entry in entries for line in entry.plan]
    done = undo(run, by="module", wanted=lambda entry: entry.fault == wanted["id"])
    # until now the fault's own time to live was the run's as well
    lease.renew_on_contact(run, f"module {wanted['kind']}, undoing")
    if done and not run.read_timeline().recovered(wanted["id"]):
        inject.quiet(run, clock.now() + wanted["linger"])
    shown = result(bool(done), lines, before=_text(lines), after="")
    return {**shown, **deliver_result(run, changed=bool(done))}


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
