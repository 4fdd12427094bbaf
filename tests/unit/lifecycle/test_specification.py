# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's specification: every senseless number or word gets its sentence before anything is done."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.common.schema import Wrong
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import specification
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FaultSpec,
    Specification,
    Windows,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.module.core_support import Host, Project

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def good(tmp_path: Any) -> dict[str, Any]:
    return copy.deepcopy(Host(Project("lab", client=None), tmp_path).spec())


def test_a_kinds_own_arguments_stand_beside_the_rest() -> None:
    """A role may name them below ``arguments``, so that no role but its own has to know them."""
    found = FaultSpec.from_data(
        {"id": "a", "kind": "own", "target": "api", "arguments": {"grace": 5, "pause": "2"}}
    )
    assert found.more == {"grace": 5, "pause": "2"}
    assert "arguments" not in found.to_data()
    for twice in ({"arguments": {"kind": "kill"}}, {"grace": 1, "arguments": {"grace": 5}}):
        with pytest.raises(Wrong) as refused:
            FaultSpec.from_data({"id": "a", **twice}, "faults[0]")
        assert "that stands beside them" in refused.value.sentences[0]


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


@pytest.mark.parametrize("value", [-5, 0, 1801, 1e12, "abc", [], float("nan"), float("inf"), True, 10**400])
def test_a_window_is_a_number_of_seconds_that_makes_sense(good: dict[str, Any], value: Any) -> None:
    good["faults"][1].update(window_s=value, ttl_s=20)
    problems = specification.validate(good)
    assert len(problems) == 1
    assert problems[0].startswith("chaos_faults[1].window_s is ")
    good["faults"][1].update(window_s=5)
    good["windows"]["baseline_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("chaos_baseline_s is ")


@pytest.mark.parametrize("value", [-1, 3601, "soon", float("nan"), True])
def test_a_ttl_is_a_number_of_seconds_that_makes_sense(good: dict[str, Any], value: Any) -> None:
    good["faults"][0]["ttl_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("chaos_faults[0].ttl_s is ")


@pytest.mark.parametrize("value", [-60, "wide", 1e9])
def test_a_senseless_margin_is_one_problem(good: dict[str, Any], value: Any) -> None:
    good["windows"]["ttl_margin_s"] = value
    (problem,) = specification.validate(good)
    assert problem.startswith("chaos_ttl_margin_s is ")


def test_a_ttl_is_not_shorter_than_its_window(good: dict[str, Any]) -> None:
    good["faults"][0].update(window_s=30, ttl_s=20)
    (problem,) = specification.validate(good)
    assert "20 s, less than its window of 30 s" in problem
    good["faults"][0]["ttl_s"] = 30
    assert specification.validate(good) == []


def test_a_ttl_is_the_window_and_a_margin_unless_given(good: dict[str, Any]) -> None:
    good["faults"][0].update(window_s=1799)
    good["faults"][0].pop("ttl_s", None)
    good["windows"]["ttl_margin_s"] = 1800
    assert specification.validate(good) == []
    good["faults"][0]["ttl_s"] = 1798
    (problem,) = specification.validate(good)
    assert "1798 s, less than its window of 1799 s" in problem


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("thresholds", "p99_ms"), None, "chaos_thresholds.p99_ms is None; it must be a number above 0."),
        (("thresholds",), 5, "chaos_thresholds is 5; it must be named values."),
        (("steady_roles",), "health", "chaos_steady_roles is 'health'; it must be a list of texts."),
        (
            ("abort_when",),
            {"free_disk_mb": "much"},
            "chaos_abort_when.free_disk_mb is 'much'; it must be a number",
        ),
        (("services",), "postgres", "chaos_services is 'postgres'; it must be named values."),
        (
            ("faults", 0, "peer_addresses"),
            True,
            "chaos_faults[0].peer_addresses is True; it must be a text or a list",
        ),
        (("faults", 0, "id"), "a" * 400, "chaos_faults[0].id is 'aaa"),
        (("probes", 0, "expect"), 5, "chaos_probes[0].expect is 5; it must be named values."),
        (("findings", 0, "max"), [1], "chaos_findings[0].max is [1]; it must be a number or a word."),
        (("load", "timeout_s"), True, "chaos_client_timeout_s is True; it must be a number."),
        (("load", "order_id"), 5, "load.order_id is 5; it must be a JMESPath expression, which is a text."),
        (("faults", 0, "path"), "/tmp/\0x", "must have no control characters"),
        (
            ("external",),
            {"cache": "10.0.0.9"},
            "chaos_external.cache is '10.0.0.9'; it must be named values.",
        ),
        (("external",), {"cache": {"address": "10.0.0.9", "port": "redis"}}, "from 1 to 65535"),
    ],
)
def test_a_wrong_value_is_told_by_its_variable(
    good: dict[str, Any], path: tuple[Any, ...], value: Any, words: str
) -> None:
    part: Any = good
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    (problem,) = specification.validate(good)
    assert words in problem


@pytest.mark.parametrize(
    "value", ["1e400", float("inf"), 10**400, "9" * 400, float("nan"), "NaN", True, [], {}]
)
def test_cores_are_a_number_that_a_machine_may_have(good: dict[str, Any], value: Any) -> None:
    good["faults"][0].update(kind="cpu", cores=value)
    problems = specification.validate(good)
    assert any("cores" in problem for problem in problems), problems
    assert all(len(problem) < 500 for problem in problems)


def test_a_number_that_came_as_text_is_one(good: dict[str, Any]) -> None:
    good["abort_when"] = {"free_disk_mb": "200", "latency_ms": None}
    found = specification.require_sound(good).abort_when
    assert found.free_disk_mb == 200.0
    assert found.latency_ms is None


def test_it_is_written_as_it_was_read(good: dict[str, Any]) -> None:
    good["faults"][0]["cores"] = 0.5
    read = Specification.read(good)
    assert Specification.read(read.to_data()) == read
    assert read.to_data()["faults"][0]["cores"] == 0.5


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
    assert problem.startswith("chaos_faults[1].hold_s is ")


def test_an_absurd_rate_and_a_finding_of_no_metric_are_problems_too(good: dict[str, Any]) -> None:
    good["load"]["rate"] = -10
    assert any("load.rate" in problem for problem in specification.validate(good))
    good["load"]["rate"] = 10
    good["findings"][0]["metric"] = "mood"
    assert any("mood" in problem for problem in specification.validate(good))


#: What a hand, a template or a stranger may put where something else was meant.
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("x" * 400),
    st.sampled_from([[], {}, [[]], {"a": None}, "\0", "\ud800", 10**400, "1e400", "nan", "-1", "200", b"x"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a specification."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


RICH = {
    "external": {"cache": {"address": "10.0.0.9", "port": 6379}}, "slow_host": 2, "steady_roles": ["readiness"],
    "abort_when": {"free_disk_mb": 200, "latency_ms": None}, "rescue": "none", "patience_s": 2.0, "wave": 1,
    "gauges": [
        {"kind": "sql", "name": "x", "query": "SELECT 1"},
        {"kind": "command", "name": "y", "service": "redis", "command": ["redis-cli", "dbsize"]},
        {"kind": "http", "service": "api", "port": 8080, "path": "/m", "values": {"a": "b"}},
    ],
    "capture": {"programs": ["tcp"], "ports": {"5432": "database"}, "control": {"from": "a", "to": "b", "port": 1}},
}  # fmt: skip
OTHER_FAULTS = [
    {"id": "cpu", "kind": "cpu", "target": "store", "window_s": 5, "hold_s": 5, "cores": 0.5},
    {"id": "oom", "kind": "memory", "target": "store", "window_s": 5, "limit_mb": 64},
    {
        "id": "busy",
        "kind": "disk",
        "target": "store",
        "window_s": 5,
        "hold_s": 5,
        "mode": "throttle",
        "read_bps": 9,
    },
    {
        "id": "cut",
        "kind": "partition",
        "target": "store",
        "window_s": 5,
        "peer_addresses": ["10.0.0.9"],
        "port": 5,
    },
    {"id": "slow", "kind": "impair", "target": "store", "window_s": 5, "peer": "store", "delay_ms": 100},
    {"id": "full", "kind": "connections", "target": "store", "window_s": 5, "mode": "limit", "limit": 5},
]


@given(data=st.data())
def test_whatever_is_given_is_answered_in_sentences(
    data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    spec = {**copy.deepcopy(Host(Project("lab", client=None), folder).spec()), **copy.deepcopy(RICH)}
    spec["faults"] += copy.deepcopy(OTHER_FAULTS)
    for path in data.draw(st.lists(st.sampled_from([*places(spec)]), min_size=1, max_size=3)):
        part: Any = spec
        for key in path[:-1]:
            found = (
                part.get(key)
                if isinstance(part, dict)
                else part[key]
                if isinstance(part, list) and isinstance(key, int) and key < len(part)
                else None
            )
            part = found
        if isinstance(part, dict) or (
            isinstance(part, list) and isinstance(path[-1], int) and path[-1] < len(part)
        ):
            part[path[-1]] = data.draw(ODD)
    for problem in specification.validate(spec):
        assert problem.endswith(".")
        assert problem.encode("utf-8")
        assert len(problem) < 2000


@pytest.mark.parametrize("data", [None, 5, "spec", [], [["a"]], {1: 2}, {"faults": {"a": 1}}])
def test_what_is_no_specification_is_told(data: Any) -> None:
    assert specification.validate(data)


def test_a_pit_of_brackets_is_told() -> None:
    pit: Any = []
    for _ in range(100_000):
        pit = [pit]
    (problem,) = Specification.problems({"facts": {"pit": pit}})
    assert "nested deeper" in problem
    assert Specification.problems({"steady_roles": pit}) == [
        "chaos_steady_roles is too much to be shown; it must be a list of texts."
    ]
    while pit:
        pit = pit.pop()


def test_several_problems_are_one_sentence_with_the_rest_behind() -> None:
    assert specification.first_sentence(["One."]) == "One."
    assert specification.first_sentence(["One.", "Two.", "Three."]) == "One. (2 more: Two. Three.)"


def test_a_window_s_default_is_the_variable_s() -> None:
    variables = yaml.safe_load((ROOT / "roles" / "chaos" / "defaults" / "main.yml").read_text())
    windows = {name: value for name, value in vars(Windows()).items() if isinstance(value, float)}
    assert {"ttl_margin_s", "baseline_s", "steady_s", "recovery_timeout_s"} <= set(windows)
    assert {name: float(variables[f"chaos_{name}"]) for name in windows} == windows


def test_a_fault_lives_for_its_window_and_the_margin_that_all_share(good: dict[str, Any]) -> None:
    spec = Specification.read({**good, "windows": {"ttl_margin_s": 7}})
    assert spec.ttl_of(FaultSpec(id="cut", kind="partition", window_s=20.0)) == 27.0
    assert spec.ttl_of(FaultSpec(id="cut", kind="partition", window_s=20.0, ttl_s=3.0)) == 3.0
