# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every fault module does: check, plan, inject or undo in a run, and answer with the same keys in every mode.

Where the run's specification has the fault, it is the one source of the fault's arguments: the module needs the fault's
id alone, and refuses an argument that says otherwise. For any other fault the module's arguments say all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..common import clock
from ..common.errors import ChaosError, PasswordWanted
from ..common.secret import NO_SECRET, Secret, take_arguments
from ..common.shapes import Arguments, Result
from ..exchange import database, external, fault_entry
from ..faults import inject, planning
from ..faults.contract import Fault, Plan, Scene, Site
from ..faults.undo import undo
from ..host import consent
from ..host.docker_engine import DockerEngine
from ..host.facts import is_root
from ..run import lease, timeline
from ..run.abort import abort_reason, refuse_more_faults
from ..run.folder import RunDir
from ..run.instant import FARTHEST_S, Instant
from ..run.journal import Journal
from ..run.results import Lines, deliver_result
from ..run.specification import Specification
from ..run.state_dir import StateDir, attach_run
from .specification import fault_ttl, first_sentence

#: What a call says of itself; all else is the fault's.
_OF_THE_CALL = {
    "run_id",
    "state_dir",
    "fault",
    "state",
    "at",
    "lead",
    "linger",
    "specification",
    "password",
    "clear_password",
}


def shared_arguments() -> dict[str, Arguments]:
    """Return the options all fault modules share, as the documentation fragment ``exchange.chaos.fault`` has them."""
    return {
        "run_id": {"type": "str", "required": True},
        "state_dir": {"type": "path"},
        "project": {"type": "str"},
        "service": {"type": "str"},
        "fault": {"type": "str", "required": True},
        "replicas": {"type": "str", "default": "one"},
        "lead": {"type": "float", "default": 1.0},
        "linger": {"type": "float", "default": 2.0},
        "ttl": {"type": "float"},
        "at": {"type": "float"},
        "specification": {"type": "dict"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


class FaultModule(AnsibleModule):  # type: ignore[misc]  # ansible-core is untyped
    """The module of a kind of fault; ``given`` are the arguments that its task names."""

    def __init__(self, kind: Fault) -> None:
        self.given: set[str] = set()
        super().__init__(
            argument_spec={**shared_arguments(), **kind.KIND.arguments}, supports_check_mode=True
        )

    def _load_params(self) -> None:
        """Note what was given before Ansible fills in the defaults."""
        super()._load_params()
        # Ansible's own, such as check mode, have an underscore in front
        self.given = {
            name for name, value in self.params.items() if value is not None and not name.startswith("_")
        }


def run(kind: Fault) -> None:
    """Be the module of a kind of fault: do what its arguments ask, and exit."""
    module = FaultModule(kind)
    parameters = take_arguments(module)
    try:
        wanted = wanted_fault(kind, parameters, module.given)
        problems = fault_ttl(parameters["fault"], wanted["ttl"]) + find_wrong_pauses(wanted)
        if parameters["state"] == "present":
            problems += kind.check(wanted)
        if problems:
            raise ChaosError(first_sentence(problems))
        if module.check_mode:
            module.exit_json(**preview_fault(kind, wanted))
        module.exit_json(
            **(make_present(kind, wanted) if parameters["state"] == "present" else make_absent(wanted))
        )
    except ChaosError as error:
        # for the action of all fault modules: the wave must hear of an abort that no window will tell of
        aborted = abort_reason(StateDir(parameters["state_dir"]), parameters["run_id"])
        if not module.check_mode:
            _tell_failure(parameters, kind_name(kind), str(error))
        if parameters["state"] == "present" and not module.check_mode:
            _go_no_further(parameters, str(error))
        module.fail_json(msg=str(error), at=clock.read(), aborted=aborted, **make_result(False, [], "", ""))


def find_wrong_pauses(wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each pause around the fault that is none: no number, below 0, or longer than any is."""
    return [
        f"The {name} of fault {wanted.get('id')} is {wanted[name]!r}; it must be seconds from 0 to {FARTHEST_S:.0f}."
        for name in ("lead", "linger")
        if wanted.get(name) is not None and not 0 <= wanted[name] <= FARTHEST_S
    ]


def _tell_failure(parameters: Mapping[str, Any], kind: str, reason: str) -> None:
    """Have the host know that a module failed: should nobody come after it, that is why."""
    with suppress(ChaosError):
        run = StateDir(parameters["state_dir"]).run_dir(parameters["run_id"])
        if run.file("spec.json").exists():
            run.note(timeline.MODULE_FAILED, module=kind, state=parameters["state"], error=reason)


def kind_name(kind: Fault) -> str:
    """Return what a kind of fault is called: as its file."""
    return str(kind.__name__).rpartition(".")[2]  # type: ignore[attr-defined]  # a kind is a module


def wanted_fault(kind: Fault, parameters: Mapping[str, Any], given: Collection[str]) -> Arguments:
    """Return the fault's entry with all that a module adds to it, from the specification where that has the fault.

    Raises ChaosError for an argument of those ``given`` that contradicts it, or for one that is missing without it.
    """
    name = kind_name(kind)
    own = {key: value for key, value in parameters.items() if key != "specification" and value is not None}
    spec = _specification(parameters)
    fault = spec.fault(parameters["fault"])
    if fault is None:
        missing = [key for key in ("project", "service", "ttl") if parameters.get(key) is None]
        if missing:
            raise ChaosError(
                f"Fault {parameters['fault']} is in no specification of run {parameters['run_id']}, so its "
                f"{', '.join(missing)} must be given."
            )
        return {
            **own, **kind.KIND.as_entry(parameters),
            "id": parameters["fault"], "kind": name, "target": parameters["service"],
        }  # fmt: skip
    if fault.kind != name:
        raise ChaosError(f"Fault {fault.id} of this run is of kind {fault.kind}, not {name}.")
    entry = fault.to_data()
    told = {
        **entry, **kind.KIND.as_arguments(entry),
        "project": spec.project, "service": fault.target, "ttl": spec.ttl_of(fault),
    }  # fmt: skip
    defaults = {
        option: known.get("default")
        for option, known in {**shared_arguments(), **kind.KIND.arguments}.items()
    }
    _refuse_contradiction(fault.id, parameters, told, given, defaults)
    return {**own, **told, **_password(kind, parameters)}


def _specification(parameters: Mapping[str, Any]) -> Specification:
    """Return the specification of the run on this host; the one that is given only where there is no such run.

    Without either it is one without any fault: a later step says so.
    """
    with suppress(ChaosError):
        return StateDir(parameters["state_dir"]).run_dir(parameters["run_id"]).spec
    return Specification.read(parameters.get("specification") or {})


def _password(kind: Fault, parameters: Mapping[str, Any]) -> Arguments:
    """Return the database's password where the kind takes one: it is in no specification that others may read."""
    if "password" not in kind.KIND.arguments or parameters.get("password"):
        return {}
    with suppress(ChaosError):
        known = database.store_of_run(StateDir(parameters["state_dir"]).run_dir(parameters["run_id"]))
        clear = parameters.get("clear_password") or known.get("clear_password")
        return {"password": known.get("password") or "", "clear_password": bool(clear)}
    return {}


def _refuse_contradiction(
    fault: str,
    parameters: Mapping[str, Any],
    told: Mapping[str, Any],
    given: Collection[str],
    defaults: Mapping[str, Any],
) -> None:
    """Raise ChaosError for an argument of the fault that the specification has otherwise."""
    for name in sorted(set(given) - _OF_THE_CALL):
        value = told.get(name, defaults.get(name))
        if not _same(parameters[name], value):
            raise ChaosError(
                f"The argument {name} of fault {fault} is {parameters[name]!r} here and {value!r} in the run's "
                "specification; leave it out, or change it there."
            )


def _same(given: Any, told: Any) -> bool:
    """Compare an argument with what a specification has, which older Ansible writes as text."""
    if isinstance(given, bool):
        return given == fault_entry.is_true(told)
    if isinstance(given, (int, float)):
        with suppress(TypeError, ValueError, OverflowError):
            return float(given) == float(told or 0)
        return False
    if isinstance(given, list):
        return given == [str(one) for one in told or []]
    return str(given) == str(told or "")


def _go_no_further(parameters: Mapping[str, Any], reason: str) -> None:
    """Have the host know, where the run is still under way, that a fault which failed is the last."""
    with suppress(ChaosError):
        run = attach_run(parameters["run_id"], parameters["state_dir"])
        refuse_more_faults(run, reason, fault=parameters["fault"])


def make_result(changed: bool, plan: list[str], before: str, after: str) -> Result:
    """Return the keys every result of a fault module has."""
    diff = {
        "before": before,
        "after": after,
        "before_header": "faults in force",
        "after_header": "faults in force",
    }
    return {"changed": changed, "plan": plan, "proof": [], "diff": diff, "chaos_lines": [], "chaos_bpf": []}


def plan_fault(
    fault: Fault, wanted: Mapping[str, Any], engine: DockerEngine, admin: Secret = NO_SECRET
) -> Plan:
    """Look the target up and plan; changes nothing."""
    targets = engine.containers(wanted["project"])
    for service in fault_entry.services_of(wanted):
        if not any(container.service == service for container in targets):
            raise ChaosError(f"Project {wanted['project']} has no container of a service {service}.")
    for container in targets:
        consent.require_own_process(container, engine.inspect)
    return planning.plan_fault(wanted, Site(targets, is_root(), engine, admin))


def preview_fault(fault: Fault, wanted: Mapping[str, Any]) -> Result:
    """Say what would be done; works before the run was opened, and never acts."""
    if wanted["state"] == "absent":
        journal = Journal(StateDir(wanted.get("state_dir")).run_dir(wanted["run_id"]))
        entries = [entry for entry in journal.open_entries() if entry.fault == wanted["id"]]
        lines = [line for entry in entries for line in entry.plan]
        return make_result(bool(entries), lines, before=_text(lines), after="")
    try:
        lines = plan_fault(fault, wanted, DockerEngine.connect()).lines()
    except PasswordWanted:  # check mode opens no run, and a run alone is given passwords
        said = Lines()
        said.say("info", f"What fault {wanted['id']} would change is told with the run's own plan, above")
        return {**make_result(True, [], before="", after=""), "chaos_lines": said.lines}
    return make_result(True, lines, before="", after=_text(lines))


def make_present(fault: Fault, wanted: Mapping[str, Any]) -> Result:
    """Inject the fault in its run, unless this very fault was injected already."""
    run = attach_run(wanted["run_id"], wanted.get("state_dir"), of=f"module {wanted['kind']}")
    external.refuse_external(
        [(wanted["id"], fault_entry.services_of(wanted))], external.list_external(run.spec)
    )
    # one that never took effect and was put back may be tried again
    known = [entry for entry in Journal(run).entries() if entry.open or entry.applied_at is not None]
    if any(entry.fault == wanted["id"] for entry in known):
        return {**make_result(False, [], "", ""), **deliver_result(run, changed=False)}
    engine = DockerEngine.connect_for(run)
    change = plan_fault(fault, wanted, engine, database.admin_of_run(run))
    lines = change.lines()
    injection = inject.Injection(
        wanted["id"], wanted["kind"], change.service, lines, change.undo(), float(wanted["ttl"])
    )
    agreed = _agreed(run, wanted)
    scene = Scene(run, engine, agreed)
    proofs = inject.inject_fault(
        run,
        injection,
        lambda entry: fault.apply(change, entry, scene),
        lead=wanted["lead"],
        linger=wanted["linger"],
        agreed=agreed,
    )
    shown = make_result(True, lines, before="", after=_text(lines))
    return {**shown, "proof": [proof.fields() for proof in proofs], **deliver_result(run, changed=True)}


def _agreed(run: RunDir, wanted: Mapping[str, Any]) -> Instant | None:
    """Return the instant to wait for, if any. Raises ChaosError for one that can only be a mistake."""
    if wanted.get("at") is None:
        return None
    agreed = Instant(run, wanted["id"], wanted["at"])
    if not abs(agreed.seconds_left) <= FARTHEST_S:  # which NaN is not
        raise ChaosError(
            f"The instant agreed for fault {wanted['id']} is {agreed.seconds_left:+.0f} s from now; it must lie within "
            f"{FARTHEST_S:.0f} s: nothing was changed."
        )
    return agreed


def make_absent(wanted: Mapping[str, Any]) -> Result:
    """Undo the fault if it is in force; twice is once."""
    run = attach_run(wanted["run_id"], wanted.get("state_dir"), of=f"module {wanted['kind']}, undoing")
    entries = [entry for entry in Journal(run).open_entries() if entry.fault == wanted["id"]]
    lines = [line for entry in entries for line in entry.plan]
    done = undo(run, by="module", wanted=lambda entry: entry.fault == wanted["id"])
    # until now the fault's own time to live was the run's as well
    lease.renew_on_contact(run, f"module {wanted['kind']}, undoing")
    if done and not run.read_timeline().recovered(wanted["id"]):
        inject.wait_quietly(run, clock.read() + wanted["linger"])
    shown = make_result(bool(done), lines, before=_text(lines), after="")
    return {**shown, **deliver_result(run, changed=bool(done))}


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
