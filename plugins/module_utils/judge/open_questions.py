# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run was to answer and did not: words that stand beside its outcome, however good that is."""

from __future__ import annotations

from collections.abc import Sequence

from ..common.schema import show_value
from ..evidence.evidence import Evidence
from ..evidence.phases import fault_windows
from .metrics.catalogue import measure

#: By the name under which ``require`` of a run's specification asks for it, the words for one that stayed open.
OPEN = {
    "data_loss": "data loss not measured",
    "recovery": "recovery not measured",
    "users": "what users saw not measured",
}


def find_problems(required: Sequence[str]) -> list[str]:
    """Return one sentence for each name that is required and means nothing; for use before a run."""
    return [
        f"chaos_require names {show_value(name)}; it may name {', '.join(OPEN)}."
        for name in required
        if name not in OPEN
    ]


def list_unanswered(evidence: Evidence) -> list[str]:
    """Return the names of the questions that stayed open; none where no fault was injected to ask them of."""
    injected = fault_windows(evidence)
    if not injected:
        return []
    steady = [measure(evidence, "recovery_s", window.id)[window.id].value for window in injected]
    asked = {
        "data_loss": measure(evidence, "data_loss")[""].value is None,
        "recovery": any(value is None for value in steady),
        "users": measure(evidence, "error_budget")[""].value is None,
    }
    return [name for name, is_open in asked.items() if is_open]


def phrase_questions(names: Sequence[str]) -> list[str]:
    """Return what stands beside the outcome."""
    return [OPEN[name] for name in names]


def list_missing(evidence: Evidence) -> list[str]:
    """Return in words which of the required answers the run does not have."""
    wanted = evidence.spec.require
    return [
        f"{OPEN[name]}, which chaos_require asks for" for name in list_unanswered(evidence) if name in wanted
    ]
