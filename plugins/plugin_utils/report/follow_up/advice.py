# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to change first, from what was measured: each sentence names the finding that it rests on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....module_utils.common.shapes import is_number
from ...words import escape_line, format_number, format_quantity, format_threshold
from .rules import FAILED, FALSE, POSITIVE, TRUE, WAITED, AdviceRule, read_rules

Host = Mapping[str, Any]
Finding = Mapping[str, Any]

#: A failed order that took so many times what a good one took at p99 has waited to fail.
_WAITED_TIMES = 10


@dataclass(frozen=True)
class Advice:
    """One change. ``finding``: the id and ``title`` of what it rests on, ``place`` its place among the host's."""

    rule: str
    finding: str
    title: str
    place: int
    sentence: str
    weight: int


def give_advice(host: Host) -> list[Advice]:
    """Return what a host's run calls for, what users lose most by first; nothing if nothing calls for it.

    A run whose fault had no effect, or that came to no end, taught nothing about the exchange.
    """
    if host["outcome"] in ("invalid", "skipped"):
        return []
    found = [advice for rule in read_rules() for advice in _apply(rule, host)]
    return sorted(found, key=lambda advice: advice.weight)


def _apply(rule: AdviceRule, host: Host) -> list[Advice]:
    for place, finding in enumerate(host["findings"]):
        if finding["id"] in rule.findings and condition_holds(rule.when, finding, host):
            sentence = _begun(rule.says.format(**_facts(finding, host)).replace(" ()", ""))
            return [Advice(rule.id, finding["id"], finding["title"], place, sentence, rule.weight)]
    return []


def condition_holds(when: str, finding: Finding, host: Host) -> bool:
    """Return whether a condition of the rules holds for a finding."""
    value = finding["value"]
    if when == FAILED:
        return bool(finding["verdict"] == "fail")
    if when in (TRUE, FALSE):
        return value is (when == TRUE)
    if when == POSITIVE:
        return is_number(value) and value > 0
    seen = host["questions"]["users_saw"]
    known = (
        when == WAITED and seen["what"] == "errors" and None not in (seen["p50_ms"], seen["baseline_p99_ms"])
    )
    return bool(known and seen["p50_ms"] > _WAITED_TIMES * seen["baseline_p99_ms"] > 0)


def _facts(finding: Finding, host: Host) -> dict[str, str]:
    limit, seen = finding["threshold"], host["questions"]["users_saw"]
    kinds = host["questions"]["errors_clear"]["kinds"]
    return {
        "title": escape_line(finding["title"]),
        "value": format_quantity(finding["value"], finding["unit"], limit["value"] if limit else None),
        "limit": format_threshold(limit, finding["unit"]).strip("()"),
        "bound": format_quantity(limit["value"], finding["unit"]) if limit else "",
        "target": escape_line(find_target(finding, host)),
        "failed": str(host["load"]["errors"]),
        "requests": str(host["load"]["requests"]),
        "kind": escape_line(max(kinds, key=lambda kind: kinds[kind], default="errors")),
        "p50": "?" if seen["p50_ms"] is None else format_number(seen["p50_ms"]),
        "before": "?" if seen["baseline_p99_ms"] is None else format_number(seen["baseline_p99_ms"]),
    }


def find_target(finding: Finding, host: Host) -> str:
    """Return what the fault of a finding was aimed at: evidence begins with the fault's id."""
    faults = host["faults"]
    named = next((one for one in faults if str(finding["evidence"]).startswith(f"{one['id']}:")), None)
    chosen = named or (faults[0] if faults else None)
    return str(chosen["target"]) if chosen else "it"


def _begun(sentence: str) -> str:
    """Return a sentence that begins as one."""
    return sentence[:1].upper() + sentence[1:]
