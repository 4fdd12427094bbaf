# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advice appears when its cause is there, and not otherwise; each sentence holds what was measured."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up.advice import give_advice
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up.rules import (
    FAILED,
    FALSE,
    POSITIVE,
    TRUE,
    WAITED,
    read_rules,
)

from tests.unit import fleets, recorded

ROLES = Path(__file__).resolve().parents[4] / "roles"
RULES = {rule.id: rule for rule in read_rules()}


def known_findings() -> set[str]:
    """Return the ids of the findings of all experiments."""
    found = set()
    for path in ROLES.glob("*/vars/main.yml"):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            if name.endswith("_findings") and isinstance(value, list):
                found |= {str(one["id"]) for one in value if isinstance(one, dict)}
    return found


def host_with(finding_id: str, **changes: Any) -> dict[str, Any]:
    """Return a host whose only finding is one of a rule, which held."""
    host = copy.deepcopy(fleets.sample("passed")["hosts"][0])
    limit = {"op": "<=", "value": 1}
    host["findings"] = [{"id": finding_id, "title": "The finding", "value": 0.5, "unit": "s", "threshold": limit,
                         "verdict": "pass", "evidence": "crash: somewhere", **changes}]  # fmt: skip
    host["load"]["errors"] = 412
    host["questions"]["users_saw"].update(what="errors", errors=412, p50_ms=4.0, baseline_p99_ms=3.5)
    return host


#: What makes a condition true, and what is nearest to it and does not.
CAUSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    FAILED: ({"verdict": "fail", "value": 26.1}, {"verdict": "unknown", "value": 26.1}),
    TRUE: ({"value": True, "unit": None}, {"value": False, "unit": None}),
    FALSE: ({"value": False, "unit": None}, {"value": None, "unit": None}),
    POSITIVE: ({"value": 3, "unit": "orders"}, {"value": 0, "unit": "orders"}),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_each_rule_speaks_when_its_cause_is_there_and_not_otherwise(rule: Any) -> None:
    for finding in rule.findings:
        if rule.when == WAITED:
            bad, good = host_with(finding), host_with(finding)
            bad["questions"]["users_saw"].update(p50_ms=460.0)
        else:
            bad, good = (host_with(finding, **changes) for changes in CAUSES[rule.when])
        told = [one for one in give_advice(bad) if one.rule == rule.id]
        assert len(told) == 1, finding
        assert told[0].finding == finding
        assert not re.search(r"[{}]", told[0].sentence)
        assert re.search(r"\d|did not grow", told[0].sentence), "nothing general: the number stands in it"
        assert [one.rule for one in give_advice(good) if one.rule == rule.id] == []


def test_every_rule_rests_on_findings_that_an_experiment_has() -> None:
    known = known_findings()
    assert {finding for rule in RULES.values() for finding in rule.findings} <= known
    assert len(RULES) == len(read_rules())


@pytest.mark.parametrize("number", recorded.EACH)
def test_a_run_that_passed_is_told_of_no_broken_threshold(number: int, tmp_path: Path) -> None:
    host = recorded.report(number, tmp_path)[0]["hosts"][0]
    assert [one.rule for one in give_advice(host) if RULES[one.rule].when == FAILED] == []


def test_losses_come_first_and_a_run_that_taught_nothing_advises_nothing() -> None:
    host = fleets.sample("failed")["hosts"][0]
    assert [one.weight for one in give_advice(host)] == sorted(one.weight for one in give_advice(host))
    assert give_advice(fleets.sample("invalid")["hosts"][0]) == []
    assert give_advice(fleets.unreachable(1)) == []


def test_the_sentence_names_target_and_numbers() -> None:
    host = host_with("detection", verdict="fail", value=26.1)
    (told,) = give_advice(host)
    assert told.sentence.startswith("That postgres was gone was noticed after 26.1 s (≤ 1 s is wanted)")
    assert "412 of" in told.sentence
