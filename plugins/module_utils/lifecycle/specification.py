# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's specification: what the lifecycle role says is to be done, checked before anything is done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..exchange import external
from ..faults import planning, registry
from ..judge import findings, open_questions
from ..observe import gauges
from ..observe.load import load_plan
from ..run import slow_host

TTL_MAX_S = 3600.0
TTL_MARGIN_S = 15.0
WINDOW_MAX_S = 1800.0
#: The one window that may be left out.
_NO_PLACEBO = ("placebo_s", 0.0)
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


def validate(spec: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing wrong with a specification; none when it is good. Needs no host."""
    missing = [f"The run's specification has no {name}." for name in _NEEDED if not _given(spec, name)]
    if not missing and not spec.get("faults") and not spec["windows"].get("placebo_s"):
        missing = [
            "The run's specification has no faults, and no placebo window either: nothing would be learned."
        ]
    if missing:
        return missing
    found = []
    if not _PROJECT.fullmatch(str(spec["project"])):
        found.append(
            f"chaos_project is {spec['project']!r}; a compose project's name has small letters, digits, - and _."
        )
    bad_windows = [
        problem
        for name, value in spec["windows"].items()
        if (name, value) != _NO_PLACEBO
        for problem in _seconds(f"The window {name}", value, WINDOW_MAX_S)
    ]
    found += bad_windows
    identities = [str(fault.get("id", "")) for fault in spec["faults"]]
    if len(set(identities)) != len(identities):
        found.append(f"The faults' ids must differ; they are {', '.join(identities)}.")
    found += external.find_problems(spec)
    for fault in spec["faults"]:
        # a margin that makes no sense has its own sentence, and makes none of each ttl
        found += _fault(fault, {} if bad_windows else spec["windows"])
    found += load_plan.validate_load(spec["load"]) + load_plan.validate_probes(spec["probes"])
    found += slow_host.problems(spec)
    found += open_questions.find_problems(spec)
    found += gauges.find_problems(spec.get("gauges") or [])
    return found + findings.find_problems(spec["findings"])


def _given(spec: Mapping[str, Any], name: str) -> bool:
    """Whether a part is there, and not empty but for the faults: a placebo alone has none."""
    return name in spec if name == "faults" else bool(spec.get(name))


def _fault(fault: Mapping[str, Any], windows: Mapping[str, Any]) -> list[str]:
    identity = str(fault.get("id"))
    kinds = registry.known_kinds()
    if fault.get("kind") not in kinds:
        return [f"Fault {identity} is of kind {fault.get('kind')!r}; it must be one of {', '.join(kinds)}."]
    if not fault.get("target"):
        return [f"Fault {identity} has no target; it must be a service of the project."]
    found = fault_times(identity, fault.get("window_s"), ttl_of(fault, windows))
    if not found and fault.get("hold_s") not in (None, 0, "0"):
        found = _seconds(f"The hold of fault {identity}", fault["hold_s"], WINDOW_MAX_S)
    return found or planning.check(fault)


def ttl_of(fault: Mapping[str, Any], windows: Mapping[str, Any]) -> Any:
    """Return a fault's time to live: its own, else its window and the margin all faults share (seconds)."""
    try:
        return fault.get("ttl_s") or float(fault["window_s"]) + float(
            windows.get("ttl_margin_s") or TTL_MARGIN_S
        )
    except (KeyError, TypeError, ValueError):
        return None


def fault_times(fault: str, window: Any, ttl: Any) -> list[str]:
    """Return what is wrong with a fault's window and time to live, both in seconds."""
    found = _seconds(f"The window of fault {fault}", window, WINDOW_MAX_S) or fault_ttl(fault, ttl)
    if not found and float(ttl) < float(window):
        found.append(
            f"The ttl of fault {fault} is {float(ttl):g} s, less than its window of {float(window):g} s; "
            "it must be at least that, or the host would undo it too early."
        )
    return found


def fault_ttl(fault: str, ttl: Any) -> list[str]:
    """Return what is wrong with a fault's time to live alone (seconds)."""
    return _seconds(f"The ttl of fault {fault}", ttl, TTL_MAX_S)


def _seconds(what: str, value: Any, most: float) -> list[str]:
    try:
        seconds = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        return [f"{what} is {value!r}; it must be a number of seconds above 0 and up to {most:g}."]
    if not 0 < seconds <= most:
        return [f"{what} is {seconds:g} s; it must be above 0 and up to {most:g}."]
    return []


def first_sentence(problems: Sequence[str]) -> str:
    """Return the first problem, and how many more there are."""
    more = f" ({len(problems) - 1} more: {' '.join(problems[1:])})" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
