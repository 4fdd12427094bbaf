# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a whole run before it begins: what each fault will do to which container, in the journal's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import ChaosError
from ..exchange import fault_entry
from ..exchange.reconcile import AFTER_S
from ..host.docker_engine import Container
from .contract import Fault, Site
from .kinds import connections, cpu, disk, impair, kill, memory, partition

#: Every kind; a new one adds its own line here and its file beside this one. By name, so that Ansible packs them.
_KINDS: dict[str, Fault] = {
    "connections": connections,
    "cpu": cpu,
    "disk": disk,
    "impair": impair,
    "kill": kill,
    "memory": memory,
    "partition": partition,
}
KINDS = tuple(_KINDS)


def check(fault: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a fault's own arguments, one sentence each."""
    return _KINDS[str(fault["kind"])].check(fault)


def trial(fault: Mapping[str, Any], site: Site) -> str:
    """Try what a fault needs and say what was found. Raises Unsupported or ChaosError."""
    return _KINDS[str(fault["kind"])].trial(fault, chosen(site.targets, fault), site)


def chosen(targets: Sequence[Container], fault: Mapping[str, Any]) -> list[Container]:
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
    if replicas not in ("one", "all") and not (replicas.isdecimal() and int(replicas) > 0):
        raise ChaosError(f"replicas is {replicas!r}; it must be one, all, or a number above 0.")
    found = sorted(
        (container for container in targets if container.service == service),
        key=lambda container: (not container.running, container.number),
    )
    if replicas == "all":
        return found
    return found[: 1 if replicas == "one" else int(replicas)]


def lines(faults: Sequence[Mapping[str, Any]], site: Site) -> list[str]:
    """Return the plan of every fault, a line a change, each with the fault's id in front."""
    found = []
    for fault in faults:
        plan = _KINDS[str(fault["kind"])].from_spec(fault, chosen(site.targets, fault), site)
        found += [f"{fault['id']}: {line}" for line in plan.lines()]
    return found


def duration(spec: Mapping[str, Any]) -> str:
    """Say how long the run will wait on purpose, and for what: at least, and at most if nothing recovers."""
    windows, faults = spec["windows"], spec["faults"]
    steady, timeout = float(windows["steady_s"]), float(windows["recovery_timeout_s"])
    quiet = float(spec["load"]["timeout_s"]) + AFTER_S
    placebo = float(windows.get("placebo_s") or 0.0)
    least = float(windows["baseline_s"]) + placebo + sum(_least(fault, steady) for fault in faults)
    longest = float(windows.get("baseline_timeout_s") or windows["baseline_s"])
    slowest = sum(float(fault["window_s"]) + timeout for fault in faults)
    most = longest + (placebo and placebo + timeout) + slowest + quiet
    parts = "".join(
        f"{fault['id']} {'' if _held(fault) else 'up to '}{float(fault['window_s']):g} s, "
        for fault in faults
    )
    parts = (f"placebo {placebo:g} s, " if placebo else "") + parts
    return (
        f"Will wait {least:.0f} s at least and {most:.0f} s at most: steady state {float(windows['baseline_s']):g} s "
        f"within {longest:g} s, {parts}"
        f"recovery up to {timeout:g} s each, then up to {quiet:g} s until no request can be under way"
    )


def _held(fault: Mapping[str, Any]) -> bool:
    return float(fault.get("hold_s") or 0) > 0


def _least(fault: Mapping[str, Any], steady: float) -> float:
    """A held fault is waited out and then recovers; any other is over once steady state returned."""
    return (float(fault["window_s"]) if _held(fault) else 0.0) + steady
