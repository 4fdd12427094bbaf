# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's specification: what the lifecycle role says is to be done, checked before anything is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..common.errors import ChaosError
from ..common.schema import show_value
from ..exchange import external
from ..faults import planning, registry
from ..judge import findings, open_questions
from ..observe import gauges
from ..observe.load import load_plan
from ..run.specification import TTL_MAX_S, FaultSpec, Specification

_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NEEDED = (
    "experiment",
    "project",
    "services",
    "load",
    "probes",
    "database",
    "windows",
    "thresholds",
    "faults",
    "findings",
)


def require_sound(data: Any) -> Specification:
    """Return the specification that a role gave. Raises ChaosError in one sentence with all that is wrong with it."""
    problems = validate(data)
    if problems:
        raise ChaosError(first_sentence(problems))
    return Specification.read(data)


def validate(data: Any) -> list[str]:
    """Return one sentence for each thing wrong with a specification; none when it is good. Needs no host."""
    found = Specification.problems(data) or [
        f"The run's specification has no {name}." for name in _NEEDED if not _is_given(data, name)
    ]
    return found or _disagreements(Specification.read(data))


def _is_given(data: Any, name: str) -> bool:
    """Whether a part is there, and not empty but for the faults: a placebo alone has none."""
    return name in data if name == "faults" else bool(data.get(name))


def _disagreements(spec: Specification) -> list[str]:
    """Return what is wrong with parts that are each what they must be."""
    found = []
    if not spec.faults and not spec.windows.placebo_s:
        found.append(
            "The run's specification has no faults, and no placebo window either: nothing would be learned."
        )
    if not _PROJECT.fullmatch(spec.project):
        found.append(
            f"chaos_project is {show_value(spec.project)}; a compose project's name has small letters, digits, - and _."
        )
    identities = [fault.id for fault in spec.faults]
    if len(set(identities)) != len(identities):
        found.append(f"The faults' ids must differ; they are {', '.join(identities)}.")
    found += external.find_problems(spec)
    for fault in spec.faults:
        found += _fault(fault, spec.ttl_of(fault))
    found += load_plan.validate_load(spec.order_load)
    found += load_plan.validate_probes([probe.to_data() for probe in spec.probes])
    found += open_questions.find_problems(spec.require)
    found += gauges.find_problems(spec.gauges)
    return found + findings.find_problems(spec.findings)


def _fault(fault: FaultSpec, ttl_s: float) -> list[str]:
    kinds = registry.known_kinds()
    if fault.kind not in kinds:
        return [
            f"Fault {fault.id} is of kind {show_value(fault.kind)}; it must be one of {', '.join(kinds)}."
        ]
    if not fault.services:
        return [f"Fault {fault.id} has no target; it must be a service of the project."]
    if fault.window_s is None:
        return [f"The window of fault {fault.id} is not given; it must be a number of seconds."]
    if ttl_s < fault.window_s:
        return [
            f"The ttl of fault {fault.id} is {ttl_s:g} s, less than its window of {fault.window_s:g} s; "
            "it must be at least that, or the host would undo it too early."
        ]
    return fault_ttl(fault.id, ttl_s) or planning.check(fault.to_data())


def fault_ttl(fault: str, ttl: Any) -> list[str]:
    """Return what is wrong with a fault's time to live alone (seconds)."""
    return _seconds(f"The ttl of fault {fault}", ttl, TTL_MAX_S)


def _seconds(what: str, value: Any, most: float) -> list[str]:
    try:
        seconds = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        return [f"{what} is {show_value(value)}; it must be a number of seconds above 0 and up to {most:g}."]
    if not 0 < seconds <= most:
        return [f"{what} is {seconds:g} s; it must be above 0 and up to {most:g}."]
    return []


def first_sentence(problems: Sequence[str]) -> str:
    """Return the first problem, and how many more there are."""
    more = f" ({len(problems) - 1} more: {' '.join(problems[1:])})" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
