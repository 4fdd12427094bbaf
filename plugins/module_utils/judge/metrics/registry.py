# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a metric is, and where it is found by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ...common.errors import ChaosError
from ...evidence.evidence import Evidence
from ...evidence.phases import Window, fault_windows

Scalar = Union[bool, int, float, str]
Interval = tuple[float, float]
Value = Union[Scalar, Interval]


@dataclass(frozen=True)
class Measured:
    """What a metric found.

    value: None if it could not be measured, else a scalar or the interval the true value lies in.
    evidence: where that lies: file, samples, instants.
    at_least: the true value is this or more: what was waited for had not come when watching ended.
    never: what was waited for did not come in all the time it was given; no upper threshold can hold.
    interval: of a scalar that compares phases, between which values the true one lies (see common/intervals.py).
    seconds: how long the window was that gave its samples.
    """

    value: Value | None
    evidence: str
    samples: int = 0
    at_least: bool = False
    never: bool = False
    interval: Interval | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Metric:
    """A metric by name. ``scale`` orders the values of one that is a word, best first.

    without_fault: it means the same in a window without a fault, so that the placebo has a value of it.
    rests_on: LATENCY or SPEED, where a slow host or a late observer changes it; empty where neither can.
    of_events: it reads the engine's events, so that it knows nothing of a time in which nobody saw them.
    """

    name: str
    unit: str | None
    summary: str
    function: Callable[..., Measured]
    each_fault: bool
    scale: Sequence[str] | None = None
    without_fault: bool = False
    rests_on: str = ""
    of_events: bool = False


#: What a metric may rest on: how long orders took, or how fast anything went, by which it is measured or given up.
LATENCY, SPEED = "latency", "speed"

_METRICS: dict[str, Metric] = {}

PerFault = Callable[[Evidence, Window], Measured]
PerRun = Callable[[Evidence, Union[Window, None]], Measured]


def per_fault(
    name: str,
    unit: str | None,
    scale: Sequence[str] | None = None,
    *,
    without_fault: bool = False,
    rests_on: str = "",
    of_events: bool = False,
) -> Callable[[PerFault], PerFault]:
    """Register a metric that is measured in the window of one fault, or in a window without one, too."""

    def register(function: PerFault) -> PerFault:
        _add(
            Metric(name, unit, _summary(function), function, True, scale, without_fault, rests_on, of_events)
        )
        return function

    return register


def per_run(
    name: str,
    unit: str | None,
    *,
    without_fault: bool = False,
    rests_on: str = "",
    of_events: bool = False,
) -> Callable[[PerRun], PerRun]:
    """Register a metric that is measured over the whole run, or over one fault's window if one is named."""

    def register(function: PerRun) -> PerRun:
        _add(
            Metric(name, unit, _summary(function), function, False, None, without_fault, rests_on, of_events)
        )
        return function

    return register


def find_metric(name: str) -> Metric:
    """Return a metric. Raises ChaosError naming the known ones."""
    if name not in _METRICS:
        raise ChaosError(f"There is no metric {name!r}; known are: {', '.join(list_names())}.")
    return _METRICS[name]


def list_names() -> list[str]:
    """Return the names of all metrics, sorted."""
    return sorted(_METRICS)


def measure(evidence: Evidence, name: str, fault: str | None = None) -> dict[str, Measured]:
    """Measure a metric and return what was found, by fault; the key is empty for the run as a whole.

    Without ``fault``, a metric of fault windows is measured in each. Raises ChaosError for an unknown metric
    or fault.
    """
    metric = find_metric(name)
    injected = {window.id: window for window in fault_windows(evidence)}
    if fault is not None:
        evidence.fault_spec(fault)
        if fault not in injected:
            return {fault: Measured(None, f"fault {fault} was not injected")}
        return {fault: metric.function(evidence, injected[fault])}
    if not metric.each_fault:
        return {"": metric.function(evidence, None)}
    if not injected:
        return {"": Measured(None, "no fault was injected")}
    return {name: metric.function(evidence, window) for name, window in injected.items()}


def _add(metric: Metric) -> None:
    if metric.name in _METRICS:
        raise ValueError(f"metric {metric.name} is registered twice")
    _METRICS[metric.name] = metric


def _summary(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]
