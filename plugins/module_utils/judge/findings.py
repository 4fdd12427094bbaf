# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a finding as specified to a finding as measured: value, threshold, verdict, where the evidence lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..common import intervals
from ..common.errors import ChaosError
from ..common.schema import show_value
from ..common.shapes import Recorded
from ..evidence.evidence import Evidence
from ..evidence.specified import FindingSpec
from . import controls, rules
from .metrics.catalogue import Measured, Metric, find_metric, measure
from .metrics.registry import Scalar, Value

#: A finding's threshold key and how a record writes it.
OPERATORS = {"max": "<=", "min": ">=", "equals": "=="}
#: What is said of a finding outside its threshold that was outside it in the placebo, too: no fault caused it.
WITHOUT_FAULT_TOO = "outside its threshold without a fault already"
_RANK = {"pass": 0, "unknown": 1, "fail": 2}


@dataclass(frozen=True)
class Finding:
    """One finding of a record. ``counts`` is False for one that informs only and decides nothing.

    control: the same metric in the placebo, None where it means nothing there or was not measured.
    interval: between which values the true one lies, None where there is no doubt or no figure.
    """

    id: str
    title: str
    value: Value | None
    unit: str | None
    threshold: tuple[str, Scalar] | None
    verdict: str
    evidence: str
    counts: bool
    control: Value | None = None
    interval: tuple[float, float] | None = None

    def record(self) -> Recorded:
        """Return it as the record wants it."""
        threshold = None if self.threshold is None else dict(zip(("op", "value"), self.threshold))
        return {
            "id": self.id,
            "title": self.title,
            "value": _recorded(self.value),
            "unit": self.unit,
            "threshold": threshold,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "control": _recorded(self.control),
            "interval": None
            if self.interval is None
            else [_short(end) if math.isfinite(end) else None for end in self.interval],
        }


def check_finding(spec: FindingSpec) -> None:
    """Raise ChaosError for a specified finding that could never be judged; for use before a run."""
    name = spec.id or "?"
    metric = find_metric(spec.metric)
    given = spec.limits
    if len(given) > 1:
        raise ChaosError(
            f"Finding {show_value(name)} has {' and '.join(given)}; give one of {', '.join(OPERATORS)}."
        )
    limit = _threshold(spec)
    if metric.scale is None and limit is not None and isinstance(limit[1], str):
        raise ChaosError(
            f"Finding {show_value(name)} has a threshold of {show_value(limit[1])} for {metric.name}; "
            "it must be a number."
        )
    wanted = next(iter(given.values()), None)
    if metric.scale is not None and given and wanted not in metric.scale:
        raise ChaosError(
            f"Finding {show_value(name)} wants {show_value(wanted)} of {metric.name}, "
            f"which is one of: {', '.join(metric.scale)}."
        )


def judge_findings(evidence: Evidence) -> list[Finding]:
    """Measure and judge every finding the run specifies, in their order."""
    return [judge_finding(evidence, spec) for spec in evidence.spec.findings]


def judge_finding(evidence: Evidence, spec: FindingSpec) -> Finding:
    """Measure and judge one finding; where it is measured in several fault windows, the worst one speaks."""
    check_finding(spec)
    metric = find_metric(spec.metric)
    informs = spec.informational
    limit = None if informs else _threshold(spec)
    fault = spec.fault
    found = _measured(evidence, metric, fault)
    judged = [(judge_value(one, limit, metric), name, one) for name, one in found.items()]
    verdict, name, worst = max(judged, key=lambda item: (_RANK[item[0]], _badness(item[2], limit, metric)))
    text = f"{name}: {worst.evidence}" if name else worst.evidence
    if len(found) > 1:
        text += f" (the worst of {', '.join(found)})"
    doubt = _doubt(worst, limit) if verdict == "unknown" else ""
    text = f"{doubt}; {text}" if doubt else text
    noise = rules.find_objection(evidence, metric, name or None) if limit is not None else ""
    if noise and verdict != "unknown":
        verdict, text = "unknown", f"{noise}; {text}"
    control = controls.measure(evidence, metric, name or None)
    if verdict == "fail" and control is not None and judge_value(control, limit, metric) == "fail":
        verdict = "unknown"
        there = "" if control == worst else f"{_said(control)} ({control.evidence}); "
        text = f"{WITHOUT_FAULT_TOO}: {there}{text}"
    value = worst.value
    if worst.at_least and verdict == "unknown":
        value, text = None, f"{text}; {_short(worst.value)} or more"
    return Finding(
        id=spec.id,
        title=spec.title or spec.id,
        value=value,
        unit=metric.unit if spec.unit is None else spec.unit,
        threshold=limit,
        verdict=verdict,
        evidence=text,
        counts=limit is not None,
        control=None
        if control is None or (control.at_least and control.value is not None)
        else control.value,
        interval=None if value is None else _interval(worst),
    )


def _measured(evidence: Evidence, metric: Metric, fault: str | None) -> dict[str, Measured]:
    """Measure; a fault that was switched off takes its findings along instead of the whole record.

    A run that is all placebo is measured in that.
    """
    if not evidence.spec.faults:
        alone = controls.measure(evidence, metric, None)
        return {"": alone or Measured(None, "this run has no fault, and was not watched without one")}
    if fault is not None and evidence.spec.fault(fault) is None:
        return {fault: Measured(None, "this run has no such fault")}
    return measure(evidence, metric.name, fault)


def find_problems(specs: Sequence[FindingSpec]) -> list[str]:
    """Return one sentence for each specified finding that could never be judged; for use before a run."""
    found = []
    for spec in specs:
        try:
            check_finding(spec)
        except ChaosError as error:
            found.append(str(error))
    return found


def judge_value(measured: Measured, limit: tuple[str, Scalar] | None, metric: Metric) -> str:
    """Hold a measurement against a threshold ``(op, value)``.

    What was not measured is ``unknown``, and so is an interval in which the threshold lies. Without a
    threshold, to have measured it is all that is asked.
    """
    if measured.value is None:
        return "unknown"
    if limit is None:
        return "unknown" if measured.at_least else "pass"
    op, wanted = limit[0], _rank(limit[1], metric.scale)
    low, high = measured.interval or _bounds(measured.value, metric.scale)
    if measured.at_least:
        if op == ">=":
            return "pass" if low >= wanted else "unknown"
        return "fail" if measured.never or low > wanted else "unknown"
    if op == "==":
        return "pass" if low == high == wanted else "fail"
    if op == ">=":
        return "pass" if low >= wanted else "fail" if high < wanted else "unknown"
    return "pass" if high <= wanted else "fail" if low > wanted else "unknown"


def _threshold(spec: FindingSpec) -> tuple[str, Scalar] | None:
    return next(
        ((op, _typed(getattr(spec, key))) for key, op in OPERATORS.items() if getattr(spec, key) is not None),
        None,
    )


def _typed(value: Any) -> Scalar:
    """A threshold that went through a template may have come out as text: give it its type back."""
    if not isinstance(value, str):
        return value  # type: ignore[no-any-return]
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return float(value) if "." in value or "e" in value.lower() else int(value)
    except ValueError:
        return value


def _rank(value: Any, scale: Sequence[str] | None) -> Any:
    """A word of a scale counts by its place, whatever it goes on with; all else as it is."""
    if scale is None or not isinstance(value, str):
        return value
    return next((place for place, word in enumerate(scale) if value.startswith(word)), value)


def _bounds(value: Value, scale: Sequence[str] | None) -> tuple[Any, Any]:
    if isinstance(value, tuple):
        return value
    rank = _rank(value, scale)
    return rank, rank


def _badness(measured: Measured, limit: tuple[str, Scalar] | None, metric: Metric) -> float:
    """How bad among equals in verdict: far to the wrong side of the threshold; not measured is worst."""
    if measured.value is None:
        return float("inf")
    high = _bounds(measured.value, metric.scale)[1]
    if isinstance(high, str):
        return 0.0
    return -float(high) if limit is not None and limit[0] == ">=" else float(high)


def _doubt(measured: Measured, limit: tuple[str, Scalar] | None) -> str:
    """Say between which values the true one lies if the threshold does, too, and how long a window would tell."""
    interval = _interval(measured)
    if interval is None or measured.at_least or limit is None or isinstance(limit[1], str):
        return ""
    high = "more" if math.isinf(interval[1]) else f"{interval[1]:.4g}"
    ends = f"{interval[0]:.4g} to {high}"
    told = f"too few samples to tell ({ends}, with {measured.samples})"
    if measured.interval is None or measured.seconds is None or not isinstance(measured.value, (int, float)):
        return told
    seconds = intervals.seconds_to_tell(interval, measured.value, float(limit[1]), measured.seconds)
    if seconds is None:
        return f"{told}; it lies on its threshold"
    return f"{told}; a window of about {math.ceil(seconds)} s would tell"


def _interval(measured: Measured) -> tuple[float, float] | None:
    """What is known of a figure's place: its own interval, or the interval that it is."""
    return measured.value if isinstance(measured.value, tuple) else measured.interval


def _recorded(value: Value | None) -> Any:
    return [_short(part) for part in value] if isinstance(value, tuple) else _short(value)


def _said(measured: Measured) -> str:
    """A measurement in words: a number, an interval's ends, a word."""
    if isinstance(measured.value, tuple):
        return " to ".join(f"{part:.4g}" for part in measured.value)
    return f"{measured.value:.4g}" if isinstance(measured.value, float) else str(measured.value)


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
