# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that a service asked its resolver: counted, with their answers, and held against before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs.registry import observers_of
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

from tests.unit.scenario import T0, Episode, Scenario

AT = T0 + 10.0


def run_with(
    folder: Path, before: int, during: int, code: str = "SERVFAIL", service: str = "postgres"
) -> Evidence:
    """A run whose target asked so many questions in each second."""
    episode = Episode("names", AT, hold=5.0, store_down=None, api_bad=None, api_good=None)
    known = Scenario([episode], end=T0 + 20.0).evidence(folder)
    seconds: list[dict[str, Any]] = [
        {
            "t": T0 + second,
            "event": "measured",
            "name": "names",
            "service": service,
            "value": during if T0 + second >= AT else before,
            "answers": {code if T0 + second >= AT else "NOERROR": during if T0 + second >= AT else before},
            "asked": {"redis": during},
        }
        for second in range(2, 18)
    ]
    return replace(known, timeline=Timeline(sorted([*known.timeline, *seconds], key=lambda one: one["t"])))


def verdict(known: Evidence, name: str, **limits: Any) -> str:
    return judge_finding(
        known, FindingSpec.from_data({"id": name, "title": name, "metric": name, **limits})
    ).verdict


def test_questions_are_counted_with_their_answers(tmp_path: Path) -> None:
    found = measure(run_with(tmp_path, 1, 4), "name_questions", "names")["names"]
    assert found.value == 4 * found.samples
    assert f"{found.value} SERVFAIL" in found.evidence
    assert "redis" in found.evidence


@pytest.mark.parametrize(
    ("before", "during", "times"), [(2, 2, 1.0), (2, 40, 20.0), (0, 0, 0.0), (0, 1, 8.0)]
)
def test_a_storm_is_held_against_before(before: int, during: int, times: float, tmp_path: Path) -> None:
    known = run_with(tmp_path, before, during)
    assert measure(known, "name_question_storm", "names")["names"].value == pytest.approx(times)
    assert verdict(known, "name_question_storm", max=10) == ("fail" if times > 10 else "pass")


def test_orders_that_fail_for_a_name_are_told_from_others(tmp_path: Path) -> None:
    known = run_with(tmp_path, 1, 4)
    spec = known.spec.to_data()
    spec["faults"][0]["log_words"] = "name resolution|gaierror"
    failed = [
        one._replace(
            ok=False, kind="error", status=500, error="postgres: Temporary failure in name resolution"
        )
        if AT <= one.at < AT + 1
        else one._replace(ok=False, kind="error", status=500, error="store is full")
        if AT + 1 <= one.at < AT + 2
        else one
        for one in known.orders
    ]
    known = replace(known, spec=type(known.spec).from_data(spec), orders=failed)
    found = measure(known, "failed_for_names", "names")["names"]
    assert found.value == sum(AT <= one.at < AT + 1 for one in failed) > 0
    assert verdict(known, "failed_for_names", max=0) == "fail"
    assert verdict(run_with(tmp_path / "none", 1, 1), "failed_for_names", max=0) == "unknown"


@pytest.mark.parametrize(
    ("answer", "code", "holds"),
    [
        ("servfail", "SERVFAIL", True),
        ("servfail", "NOERROR", False),
        ("nothing", "NOERROR", False),
        ("late", "NOERROR", None),
    ],
)
def test_the_targets_own_questions_prove_the_fault(
    answer: str, code: str, holds: bool | None, tmp_path: Path
) -> None:
    known = run_with(tmp_path, 1, 4, code)
    spec = known.spec.to_data()
    spec["faults"][0]["arguments"] = {"answer": answer}
    known = replace(known, spec=type(known.spec).from_data(spec))
    seen = observers_of("resolve").seen
    assert seen is not None
    (proof,) = seen(known, fault_windows(known)[0])
    assert proof.holds is holds
    assert f" {code}" in str(proof.value)
    assert seen(run_with(tmp_path / "none", 0, 0), fault_windows(known)[0]) == []


def test_without_a_count_of_the_target_nothing_is_claimed(tmp_path: Path) -> None:
    known = run_with(tmp_path, 1, 4, service="redis")
    for name in ("name_questions", "name_question_storm"):
        assert measure(known, name, "names")["names"].value is None
