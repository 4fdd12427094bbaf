# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a whole run before it begins: what each fault will do to which container, in the journal's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import AS_ROOT, ChaosError, Unsupported
from ..common.schema import show_value
from ..exchange import fault_entry
from ..exchange.reconcile import AFTER_S
from ..host.docker_engine import Container
from ..run.folder import RunDir
from ..run.specification import FaultSpec, Specification
from . import registry
from .contract import Fault, Plan, Site


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a fault's own arguments, one sentence each."""
    return registry.by_kind(str(fault["kind"])).check(fault)


def try_fault(fault: Mapping[str, Any], site: Site) -> str:
    """Try what a fault needs and say what was found. Raises Unsupported or ChaosError."""
    kind = registry.by_kind(str(fault["kind"]))
    _require_root(kind, fault, site)
    return kind.trial(fault, choose_targets(site.targets, fault), site)


def plan_fault(fault: Mapping[str, Any], site: Site) -> Plan:
    """Plan one fault for the containers it takes. Raises Unsupported or ChaosError."""
    kind = registry.by_kind(str(fault["kind"]))
    _require_root(kind, fault, site)
    planned: Plan = kind.from_spec(fault, choose_targets(site.targets, fault), site)
    return planned


def _require_root(kind: Fault, fault: Mapping[str, Any], site: Site) -> None:
    what = kind.KIND.needs_root
    if what and not site.root:
        raise Unsupported(f"Fault {fault['id']} {what}, which needs root: {AS_ROOT}.")


def list_roles(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the roles of services that faults need besides their targets."""
    found = [role for fault in faults for role in registry.describe_kind(str(fault["kind"])).roles]
    return list(dict.fromkeys(found))


def choose_targets(targets: Sequence[Container], fault: Mapping[str, Any]) -> list[Container]:
    """Return the containers a fault takes, of each of its services."""
    replicas = str(fault.get("replicas", "one"))
    return [
        container
        for service in fault_entry.services_of(fault)
        for container in choose(targets, service, replicas)
    ]


def choose(targets: Sequence[Container], service: str, replicas: str) -> list[Container]:
    """Return the containers of a service a fault takes: ``one``, ``all`` or a number of them, running ones first.

    Raises ChaosError for any other word.
    """
    if replicas not in ("one", "all") and not (
        replicas.isdecimal() and len(replicas) < 10 and int(replicas) > 0
    ):
        raise ChaosError(f"replicas is {show_value(replicas)}; it must be one, all, or a number above 0.")
    found = sorted(
        (container for container in targets if container.service == service),
        key=lambda container: (not container.running, container.number),
    )
    if replicas == "all":
        return found
    return found[: 1 if replicas == "one" else int(replicas)]


def describe_plans(faults: Sequence[FaultSpec], site: Site) -> list[str]:
    """Return the plan of every fault, a line a change, each with the fault's id in front."""
    found = []
    for fault in faults:
        found += [f"{fault.id}: {line}" for line in plan_fault(fault.to_data(), site).lines()]
    return found


def start_samplers(run: RunDir) -> None:
    """Start what kinds of this run's faults sample of their targets through the whole run."""
    targets: dict[str, list[str]] = {}
    for fault in run.spec.faults:
        targets.setdefault(fault.kind, []).extend(fault.services)
    for kind, services in targets.items():
        start = registry.describe_kind(kind).sample
        if start is not None:
            start(run, sorted(set(services)))


def describe_duration(spec: Specification) -> str:
    """Say how long the run will wait on purpose, and for what: at least, and at most if nothing recovers."""
    windows, faults = spec.windows, spec.faults
    timeout, placebo, quiet = (
        windows.recovery_timeout_s,
        windows.placebo_s or 0.0,
        spec.client_timeout_s + AFTER_S,
    )
    least = windows.baseline_s + placebo + sum(_least(fault, windows.steady_s) for fault in faults)
    longest = windows.baseline_timeout_s or windows.baseline_s
    slowest = sum((fault.window_s or 0.0) + timeout for fault in faults)
    most = longest + (placebo and placebo + timeout) + slowest + quiet
    parts = "".join(
        f"{fault.id} {'' if fault.hold_s > 0 else 'up to '}{fault.window_s or 0.0:g} s, " for fault in faults
    )
    parts = (f"placebo {placebo:g} s, " if placebo else "") + parts
    return (
        f"Will wait {least:.0f} s at least and {most:.0f} s at most: steady state {windows.baseline_s:g} s "
        f"within {longest:g} s, {parts}"
        f"recovery up to {timeout:g} s each, then up to {quiet:g} s until no request can be under way"
    )


def _least(fault: FaultSpec, steady: float) -> float:
    """A held fault is waited out and then recovers; any other is over once steady state returned."""
    return ((fault.window_s or 0.0) if fault.hold_s > 0 else 0.0) + steady
