# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service asked its resolver, and how often, while names did not resolve."""

from __future__ import annotations

import re
from collections import Counter

from ....common.shapes import Line
from ....evidence.evidence import Evidence
from ....evidence.phases import Window, find_baseline, find_placebo, orders_within
from ..registry import Measured, per_fault

#: Who asked more rarely than once in so many seconds before counts as if it had asked that often.
_RARE_S = 8.0


@per_fault("name_questions", "questions")
def name_questions(evidence: Evidence, window: Window) -> Measured:
    """Names that the target asked for in the fault's window, by count; the evidence has the answers it got."""
    seconds = _seconds(evidence, window)
    if not seconds:
        return _not_seen()
    answers, names = Counter[str](), Counter[str]()
    for one in seconds:
        answers.update(one.get("answers") or {})
        names.update(one.get("asked") or {})
    asked = sum(int(one["value"]) for one in seconds)
    told = ", ".join(f"{count} {code}" for code, count in answers.most_common()) or "none"
    most = ", ".join(f"{name} {count}" for name, count in names.most_common(3)) or "nobody"
    return Measured(asked, f"timeline.jsonl: answers: {told}; asked for: {most}", len(seconds))


@per_fault("name_question_storm", "times")
def name_question_storm(evidence: Evidence, window: Window) -> Measured:
    """Questions per second in the fault's window, against the placebo's, whose load is the same, or the baseline's."""
    during, quiet = _seconds(evidence, window), find_placebo(evidence) or find_baseline(evidence)
    before = [
        one
        for one in _measured(evidence, window)
        if quiet is not None and quiet.start <= float(one["t"]) <= quiet.end
    ]
    if not during or not before:
        return _not_seen()
    was, now = _rate(before), _rate(during)
    text = f"timeline.jsonl: {was:.2f} questions per second without the fault, {now:.2f} in the fault"
    return Measured(now / max(was, 1 / _RARE_S), text, len(during))


@per_fault("failed_for_names", "orders")
def failed_for_names(evidence: Evidence, window: Window) -> Measured:
    """Orders that failed while names did not resolve, and were answered with that cause (the fault's ``log_words``)."""
    end = window.end if window.undone is None else window.undone
    sent = [order for order in orders_within(evidence.orders, window.injected, end) if order.telling]
    if not sent or not window.spec.log_words:
        return Measured(None, "load.jsonl: no orders in the window, or no words to know the cause by")
    words = re.compile(window.spec.log_words, re.IGNORECASE)
    named = [order for order in sent if order.failed and words.search(order.error or "")]
    example = f", such as: {named[0].error}" if named else ""
    text = f"load.jsonl: {len(named)} of {len(sent)} orders failed for a name{example}"
    return Measured(len(named), text, len(sent))


def _measured(evidence: Evidence, window: Window) -> list[Line]:
    return [dict(one) for one in evidence.timeline.measured("names") if one.get("service") == window.target]


def _seconds(evidence: Evidence, window: Window) -> list[Line]:
    """The counts of the seconds that lie in the fault's window."""
    end = window.end if window.undone is None else window.undone
    return [one for one in _measured(evidence, window) if window.injected <= float(one["t"]) <= end]


def _rate(seconds: list[Line]) -> float:
    return sum(int(one["value"]) for one in seconds) / len(seconds)


def _not_seen() -> Measured:
    return Measured(None, "timeline.jsonl: nobody counted the questions of the target (that needs root)")
