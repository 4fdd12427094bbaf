# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run that could not be judged: what is known of it, part by part, and why there are no verdicts.

Ending a run never depends on judging it. A threshold that is no number, or raw samples that somebody damaged, cost the
run its judgement and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..common.shapes import Recorded
from ..evidence.evidence import Evidence
from . import record as parts
from .capture import describe_capture
from .verdicts import decide_outcome, judge_restore

_UNKNOWN = {"effect": "unknown", "hypothesis": "unknown", "restored": "unknown"}


def safe_record(evidence: Evidence) -> Recorded:
    """Return the host's record of the evidence, or what is known without a judgement."""
    try:
        found = parts.host_record(evidence)
        json.dumps(found, allow_nan=False)
        return found
    except Exception as error:
        return unjudged_record(evidence, _reason(error))


def unjudged_record(evidence: Evidence, reason: str) -> Recorded:
    """Return the record of a run without findings: every part of it that can be told is told."""
    left = _attempt(lambda: judge_restore(evidence), ("unknown", [], []))
    verdict, leftovers, notes = left
    aborts = _attempt(lambda: [str(event.get("reason", "")) for event in evidence.timeline.aborts], [])
    outcome = decide_outcome(
        not_restored=verdict == "fail",
        aborted=bool(aborts),
        invalid=True,
        broken=False,
    )
    blank = _blank(evidence.spec.to_data(), reason)
    told: dict[str, Callable[[], Any]] = {
        "faults": lambda: parts.told_faults(evidence),
        "phases": lambda: parts.told_phases(evidence),
        "placebo": lambda: parts.told_placebo(evidence),
        "load": lambda: parts.told_load(evidence),
        "ledger": lambda: parts.told_ledger(evidence),
        "bpf": lambda: parts.told_capture(evidence),
        "timeline": lambda: parts.told_timeline(evidence),
        "leftovers": lambda: parts.told_leftovers(leftovers),
    }
    found = {
        **blank,
        **{key: _attempt(tell, blank[key]) for key, tell in told.items()},
        "outcome": outcome,
        "verdicts": {**_UNKNOWN, "restored": verdict},
        "notes": [*blank["notes"], *(f"aborted: {text}" for text in aborts), *notes],
    }
    fitted: dict[str, Any] = _attempt(lambda: parts.fit_record(found), blank)
    return fitted


def _attempt(tell: Callable[[], Any], otherwise: Any) -> Any:
    """Return what a part has to tell, if that can be written down."""
    try:
        found = tell()
        json.dumps(found, allow_nan=False)
        return found
    except Exception:
        return otherwise


def unread_record(spec: Mapping[str, Any], error: Exception) -> Recorded:
    """Return the record of a run whose raw samples could not even be read."""
    return _blank(spec, _reason(error))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _blank(spec: Mapping[str, Any], reason: str) -> Recorded:
    """Return a host record that says who and why, and nothing else."""
    facts = spec.get("facts")
    kernel = facts.get("kernel") if isinstance(facts, dict) else None
    wave = spec.get("wave")
    questions: dict[str, Any] = {
        "recovered_automatically": None,
        "recovery_s": None,
        "data_loss": None,
        "users_saw": {
            "what": "unknown", "errors": 0, "slow": 0, "p50_ms": None, "p99_ms": None, "baseline_p99_ms": None,
        },
        "errors_clear": {
            "clear": None, "clear_count": 0, "unclear_count": 0, "kinds": {}, "example": None,
            "first_log_line": None, "first_log_after_s": None,
        },
    }  # fmt: skip
    ledger = ("acknowledged", "lost", "duplicated", "unacknowledged_applied", "shortest_visible_loss_ms")
    return {
        "host": str(spec.get("host") or "localhost"),
        "wave": wave if isinstance(wave, int) and not isinstance(wave, bool) and wave >= 1 else 1,
        "kernel": str(kernel or "unknown"),
        "capabilities": dict(parts.CAPABILITIES),
        "clock": {"offset_ms": None, "uncertainty_ms": None},
        "outcome": "invalid",
        "verdicts": dict(_UNKNOWN),
        "judged": False,
        "faults": [],
        "phases": [],
        "placebo": None,
        "load": {"rate": 0, "floor": 0, "requests": 0, "ok": 0, "errors": 0},
        "ledger": dict.fromkeys(ledger),
        "findings": [],
        "questions": questions,
        "bpf": describe_capture({}),
        "timeline": [],
        "leftovers": [],
        "notes": [f"The run was ended and its faults undone, but it could not be judged ({reason[:200]})."],
    }  # fmt: skip
