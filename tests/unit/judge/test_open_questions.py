# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays open stands beside the outcome, everywhere the outcome is told, and may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.judge import open_questions
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import run_record
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.merge import merge_hosts
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import read_schema
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.schema import find_problems
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.junit import render_junit
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.text import render_log

from tests.unit.scenario import Scenario

BLIND = {"lost": 0, "duplicated": 0, "unacknowledged_applied": 0, "shortest_visible_loss_ms": 40.0}
SAID = "passed, data loss not measured"


def recorded(folder: Path, ledger: dict[str, Any] = BLIND, **spec: Any) -> dict[str, Any]:
    return run_record(Scenario(ledger=dict(ledger), spec=spec).evidence(folder))


def test_a_pass_that_leaves_the_first_question_open_says_so_wherever_it_is_told(tmp_path: Path) -> None:
    record = recorded(tmp_path)
    assert (record["outcome"], record["open_questions"]) == ("passed", ["data loss not measured"])
    assert find_problems(record, read_schema()) == []
    text = render_log(record, {})
    assert any(line.endswith(f"Experiment 01 ended: {SAID}") for line in text)
    assert "OUTCOME: PASSED, data loss not measured" in text
    assert any("3. Was an acknowledged order lost?  ? 0 of " in line for line in text)
    assert any("; a loss under 40 ms would not have shown" in line for line in text)
    assert f'name="outcome" value="{SAID}"' in render_junit(record)
    assert 'name="question: data loss not measured"' in render_junit(record)


def test_one_that_answers_it_says_no_more_than_passed(tmp_path: Path) -> None:
    record = recorded(tmp_path, {**BLIND, "shortest_visible_loss_ms": 5.2})
    assert record["open_questions"] == []
    assert "OUTCOME: PASSED" in render_log(record, {})


def test_the_finding_says_what_would_not_have_shown(tmp_path: Path) -> None:
    record = recorded(tmp_path)
    loss = next(one for one in record["hosts"][0]["findings"] if one["id"] == "data_loss")
    assert loss["verdict"] == "unknown"
    assert loss["evidence"].endswith(
        "acknowledged orders lost; a loss under 40 ms would not have shown; 10 ms are wanted"
    )


@pytest.mark.parametrize(
    ("required", "outcome"), [(["data_loss"], "invalid"), (["recovery", "users"], "passed")]
)
def test_who_needs_the_answer_gets_no_pass_without_it(
    required: list[str], outcome: str, tmp_path: Path
) -> None:
    record = recorded(tmp_path, require=required)
    assert record["outcome"] == outcome
    asked = "invalid: data loss not measured, which chaos_require asks for"
    assert (asked in record["hosts"][0]["notes"]) == (outcome == "invalid")


def test_a_name_that_means_nothing_is_refused_before_the_run() -> None:
    assert open_questions.find_problems(["data_loss"]) == []
    (problem,) = open_questions.find_problems(["profit"])
    assert problem == "chaos_require names 'profit'; it may name data_loss, recovery, users."


def test_a_fleet_leaves_open_what_any_host_does(tmp_path: Path) -> None:
    first = recorded(tmp_path / "1")["hosts"][0]
    second = {
        **recorded(tmp_path / "2", {**BLIND, "shortest_visible_loss_ms": 5.2})["hosts"][0],
        "host": "other",
    }
    whole = merge_hosts(
        [first, second], run_id="r", experiment={"number": 1, "name": "a", "title": "A"},
        started_at="2026-11-30T06:00:00.000Z", ended_at="2026-11-30T06:01:00.000Z", collection_version="1",
    )  # fmt: skip
    assert whole["open_questions"] == ["data loss not measured"]
    assert find_problems(whole, read_schema()) == []
