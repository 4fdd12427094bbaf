# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target's own questions met while its names did not resolve, as they were seen on its loopback device."""

from __future__ import annotations

from collections import Counter

from ...evidence.evidence import Evidence
from ...evidence.phases import Window
from .proof import ProofOutcome
from .registry import observed_proofs

#: What the fault was to answer, and the code that it answers with.
_SERVFAIL, _NOTHING, _CODE = "servfail", "nothing", "SERVFAIL"
#: So many of the answers must be the fault's: a name that is let through has true ones.
_MOST = 0.8


@observed_proofs
def resolve_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return what became of the target's own questions; nothing where it asked none, or one name alone is hit."""
    end = window.end if window.undone is None else window.undone
    seconds = [
        one
        for one in evidence.timeline.measured("names")
        if one.get("service") == window.target and window.injected < float(one["t"]) <= end
    ][1:]  # the first began before the fault
    asked = sum(int(one["value"]) for one in seconds)
    if not asked or window.spec.more.get("name"):
        return []
    answers = Counter[str]()
    for one in seconds:
        answers.update(one.get("answers") or {})
    told = ", ".join(f"{count} {code}" for code, count in answers.most_common()) or "no answer"
    fact = f"names that {window.target} itself asked for"
    holds = _as_meant(answers, str(window.spec.more.get("answer") or ""))
    return [ProofOutcome("kernel", fact, f"{asked}: {told}", float(seconds[0]["t"]), holds)]


def _as_meant(answers: Counter[str], answer: str) -> bool | None:
    """Whether the answers are those of the fault; None for late ones, which are like any."""
    if answer == _NOTHING:
        return not answers
    if answer == _SERVFAIL:
        return answers[_CODE] >= _MOST * sum(answers.values()) > 0
    return None
