# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends and starts of containers, meant and unmeant; and whether an exchange needs the load to fall to come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.containers import list_changes
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import Finding, judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec

from tests.unit.scenario import T0, Scenario

RESTARTS = {"id": "unmeant", "metric": "unmeant_restarts", "max": 0}
UNDER_LOAD = {"id": "under_load", "metric": "recovers_under_load", "equals": "yes"}


def event(service: str, action: str, t: float, code: int | None = None) -> dict[str, Any]:
    return {"t": t, "service": service, "container": f"{service}-1", "action": action, "exit_code": code}


def judged(folder: Path, spec: dict[str, Any], **scenario: Any) -> Finding:
    return judge_finding(Scenario(**scenario).evidence(folder), FindingSpec.from_data(spec))


def test_what_a_fault_means_is_meant(tmp_path: Path) -> None:
    run = Scenario().evidence(tmp_path)
    assert [(one.ended, one.meant) for one in list_changes(run)] == [
        (True, "fault crash"), (False, "fault crash"), (True, "fault outage"), (False, "fault outage"),
    ]  # fmt: skip
    found = judge_finding(run, FindingSpec.from_data(RESTARTS))
    assert (found.value, found.verdict) == (0, "pass")
    assert found.evidence == "engine.jsonl: 0 of 4 ends and starts were meant by nobody"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            event("trading-api", "die", T0 + 17, 1),
            "trading-api-1 ended with exit code 1, which nobody meant at ",
        ),
        (event("redis", "start", T0 + 5), "redis-1 started, which nobody meant at "),  # before any fault
        (
            event("postgres", "die", T0 + 20, 137),
            "postgres-1 ended with exit code 137, which nobody meant",
        ),  # again
    ],
)
def test_what_nobody_meant_is_a_finding_that_names_it(
    more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    found = judged(tmp_path, RESTARTS, extra_engine=[more])
    assert (found.value, found.verdict) == (1, "fail")
    assert said in found.evidence


def test_a_rescue_of_ours_is_meant(tmp_path: Path) -> None:
    rescue = {"t": T0 + 17, "event": "rescue", "fault": "outage", "service": "trading-api"}
    restart = [event("trading-api", "die", T0 + 18, 143), event("trading-api", "start", T0 + 19)]
    assert judged(tmp_path, RESTARTS, extra_engine=restart, extra_timeline=[rescue]).verdict == "pass"


def test_silence_of_the_engine_is_not_calm(tmp_path: Path) -> None:
    scenario = Scenario()
    for episode in scenario.episodes:
        episode.store_down = None
    assert judge_finding(scenario.evidence(tmp_path), FindingSpec.from_data(RESTARTS)).verdict == "unknown"


def yielded(rate: float, at: float = T0 + 12) -> dict[str, Any]:
    return {"t": at, "event": "load_yielded", "rate": rate, "reason": "19 of 20 failed", "level": "trickle"}


def under_load(run: Evidence) -> Finding:
    return judge_finding(run, FindingSpec.from_data(UNDER_LOAD))


def test_an_exchange_that_comes_back_while_the_load_goes_on(tmp_path: Path) -> None:
    found = under_load(Scenario().evidence(tmp_path))
    assert (found.value, found.verdict) == ("yes", "pass")
    assert "; the load went on" in found.evidence


def test_one_that_needs_the_load_to_fall(tmp_path: Path) -> None:
    found = under_load(Scenario(extra_timeline=[yielded(5.0), yielded(1.0, T0 + 13)]).evidence(tmp_path))
    assert (found.value, found.verdict) == ("only after the load fell to 1 per second", "fail")
    assert "the load fell to 5.0/s: 19 of 20 failed" in found.evidence


def test_what_the_load_did_before_the_fault_is_not_the_fault_s(tmp_path: Path) -> None:
    assert under_load(Scenario(extra_timeline=[yielded(5.0, T0 + 5)]).evidence(tmp_path)).value == "yes"


def test_one_that_does_not_come_back_at_all(tmp_path: Path) -> None:
    scenario = Scenario(spec={"windows": {"baseline_s": 8, "steady_s": 3, "recovery_timeout_s": 4}})
    scenario.episode("outage").api_good = None
    found = under_load(scenario.evidence(tmp_path))
    assert (found.value, found.verdict) == ("no", "fail")
