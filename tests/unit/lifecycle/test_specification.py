# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's specification: every senseless number or word gets its sentence before anything is done."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import specification

from tests.module.core_support import Host, Project


@pytest.fixture
def good(tmp_path: Any) -> dict[str, Any]:
    return copy.deepcopy(Host(Project("lab", client=None), tmp_path).spec())


def test_a_good_one_has_no_problem(good: dict[str, Any]) -> None:
    assert specification.validate(good) == []


@pytest.mark.parametrize(
    "name",
    [
        "experiment",
        "project",
        "services",
        "load",
        "probes",
        "database",
        "windows",
        "thresholds",
        "faults",
        "findings",
    ],
)
def test_each_part_is_needed(good: dict[str, Any], name: str) -> None:
    del good[name]
    assert specification.validate(good) == [f"The run's specification has no {name}."]


@pytest.mark.parametrize("project", ["Lab", "a b", "../x", "lab/x", "-x", "lab\n", "ä"])
def test_a_project_is_a_compose_projects_name(good: dict[str, Any], project: str) -> None:
    (problem,) = specification.validate({**good, "project": project})
    assert "compose project's name" in problem


@pytest.mark.parametrize("value", [-5, 0, 1801, 1e12, "abc", None, float("nan"), float("inf"), True])
def test_a_window_is_a_number_of_seconds_that_makes_sense(good: dict[str, Any], value: Any) -> None:
    good["faults"][1].update(window_s=value, ttl_s=20)
    problems = specification.validate(good)
    assert len(problems) == 1
    assert problems[0].startswith("The window of fault outage is ")
    good["faults"][1].update(window_s=5)
    good["windows"]["baseline_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("The window baseline_s is ")


@pytest.mark.parametrize("value", [-1, 3601, "soon", float("nan"), True])
def test_a_ttl_is_a_number_of_seconds_that_makes_sense(good: dict[str, Any], value: Any) -> None:
    good["faults"][0]["ttl_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("The ttl of fault crash is ")


@pytest.mark.parametrize("value", [-60, "wide", 1e9])
def test_a_senseless_margin_is_one_problem(good: dict[str, Any], value: Any) -> None:
    good["windows"]["ttl_margin_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("The window ttl_margin_s is ")


def test_a_ttl_is_not_shorter_than_its_window(good: dict[str, Any]) -> None:
    good["faults"][0].update(window_s=30, ttl_s=20)
    (problem,) = specification.validate(good)
    assert "20 s, less than its window of 30 s" in problem
    good["faults"][0]["ttl_s"] = 30
    assert specification.validate(good) == []


def test_a_ttl_is_the_window_and_a_margin_unless_given(good: dict[str, Any]) -> None:
    assert specification.ttl_of({"window_s": 5}, {}) == 20
    assert specification.ttl_of({"window_s": "5"}, {"ttl_margin_s": 3}) == 8
    assert specification.ttl_of({"window_s": 5, "ttl_s": 7}, {}) == 7


def test_faults_have_different_ids_a_kind_of_ours_and_a_target(good: dict[str, Any]) -> None:
    good["faults"][1]["id"] = "crash"
    assert specification.validate(good) == ["The faults' ids must differ; they are crash, crash."]
    good["faults"][1].update(id="outage", kind="explode")
    (problem,) = specification.validate(good)
    assert "'explode'" in problem
    assert "kill" in problem
    good["faults"][1].update(kind="kill", target="")
    (problem,) = specification.validate(good)
    assert "has no target" in problem


@pytest.mark.parametrize("value", [-5, "abc", 1e9, float("nan")])
def test_an_outage_is_a_number_of_seconds_that_makes_sense(good: dict[str, Any], value: Any) -> None:
    good["faults"][1]["hold_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("The hold of fault outage is ")


def test_an_absurd_rate_and_a_finding_of_no_metric_are_problems_too(good: dict[str, Any]) -> None:
    good["load"]["rate"] = -10
    assert any("load.rate" in problem for problem in specification.validate(good))
    good["load"]["rate"] = 10
    good["findings"][0]["metric"] = "mood"
    assert any("mood" in problem for problem in specification.validate(good))


def test_several_problems_are_one_sentence_with_the_rest_behind() -> None:
    assert specification.first_sentence(["One."]) == "One."
    assert specification.first_sentence(["One.", "Two.", "Three."]) == "One. (2 more: Two. Three.)"
