# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host slower than most: asked less often, and given more time. ``slow_host`` in the specification says by how much.

Probes at their usual rates would be most of what a small or emulated machine does, and a process that takes seconds
to start there is not dead. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 50.0
#: An observer must hear of a fault that was announced (a second before) in time to come more often.
_LONGEST_TICK_S = 0.3


def of(spec: Mapping[str, Any]) -> float:
    """Return by how much the host is slower than most; 1 unless the specification says so."""
    return float(spec.get("slow_host") or 1)


def tick(spec: Mapping[str, Any], seconds: float) -> float:
    """Return how long an observer sleeps between two looks at the run, where it is ``seconds`` on most hosts."""
    return min(seconds * of(spec), max(seconds, _LONGEST_TICK_S))


def problems(spec: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with it, in a sentence."""
    value = spec.get("slow_host")
    try:
        good = value is None or (not isinstance(value, bool) and 1 <= float(value) <= MOST)
    except (TypeError, ValueError):
        good = False
    return [] if good else [f"chaos_slow_host is {value!r}; it must be a number from 1 to {MOST:g}."]


def eased(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification with probes that come that much less often, and wait that much longer."""
    by = of(spec)
    return {**spec, "probes": [_eased(probe, by) for probe in spec["probes"]]}


def _eased(probe: Mapping[str, Any], by: float) -> dict[str, Any]:
    changed = {
        name: float(probe[name]) / by for name in ("rate", "fault_rate", "outage_rate") if probe.get(name)
    }
    if probe.get("timeout_s"):
        changed["timeout_s"] = float(probe["timeout_s"]) * by
    return {**probe, **(changed if by != 1 else {})}
