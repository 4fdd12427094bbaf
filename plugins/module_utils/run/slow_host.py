# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host slower than most: asked less often, and given more time. ``slow_host`` in the specification says by how much.

Probes at their usual rates would be most of what a small or emulated machine does, and a process that takes seconds
to start there is not dead. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from .specification import ProbeSpec, Specification

#: An observer must hear of a fault that was announced (a second before) in time to come more often.
_LONGEST_TICK_S = 0.3


def observer_tick(spec: Specification, seconds: float) -> float:
    """Return how long an observer sleeps between two looks at the run, where it is ``seconds`` on most hosts."""
    return min(seconds * spec.slow_host, max(seconds, _LONGEST_TICK_S))


def ease_probes(spec: Specification) -> Specification:
    """Return the specification with probes that come that much less often, and wait that much longer."""
    by = spec.slow_host
    return spec if by == 1 else replace(spec, probes=tuple(_eased(probe, by) for probe in spec.probes))


def _eased(probe: ProbeSpec, by: float) -> ProbeSpec:
    return replace(
        probe,
        rate=probe.rate / by,
        fault_rate=None if probe.fault_rate is None else probe.fault_rate / by,
        outage_rate=None if probe.outage_rate is None else probe.outage_rate / by,
        timeout_s=None if probe.timeout_s is None else probe.timeout_s * by,
    )
