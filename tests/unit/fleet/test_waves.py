# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are touched, in which waves, and when the next wave begins: decided from data alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.utils.helpers import pct_to_int
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import aborts, guard_rails, waves
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.guard_rails import TargetError

HOSTS = [f"host-{number}" for number in range(1, 21)]


@pytest.mark.parametrize(
    ("value", "of", "meant"),
    [
        (3, 20, 3),
        ("3", 20, 3),
        ("20%", 20, 4),
        ("10%", 5, 1),
        ("25%", 10, 2),
        ("100%", 7, 7),
        ("0.5 %", 20, 1),
    ],
)
def test_a_count_or_a_percentage(value: object, of: int, meant: int) -> None:
    assert waves.count_hosts("chaos_sample", value, of) == meant
    if "%" in str(value) and "." not in str(value):
        assert meant == pct_to_int(value, of), "Ansible's serial would mean something else"


@pytest.mark.parametrize("value", ["0", "-1", "0%", "101%", "half", "1.5", "", "%", "True", "1 host", None])
def test_what_is_neither_is_refused_in_one_sentence(value: object) -> None:
    with pytest.raises(TargetError, match=r"^chaos_waves has .* must be a number of hosts .*\.$") as told:
        waves.count_hosts("chaos_waves", value, 20)
    assert str(value).strip() in str(told.value)


def test_a_sample_is_drawn_by_its_seed_alone() -> None:
    drawn = waves.draw_sample(HOSTS, "5", "7")
    assert len(drawn) == 5
    assert drawn == [host for host in HOSTS if host in drawn], "the order of the inventory is kept"
    assert drawn == waves.draw_sample(HOSTS, "5", "7")
    assert sorted(drawn) == sorted(waves.draw_sample(HOSTS[::-1], "25%", "7"))
    assert {tuple(waves.draw_sample(HOSTS, "5", str(seed))) for seed in range(30)} != {tuple(drawn)}
    # every host can be drawn, and a larger sample holds the smaller one
    assert {host for seed in range(60) for host in waves.draw_sample(HOSTS, "2", str(seed))} == set(HOSTS)
    assert set(drawn) < set(waves.draw_sample(HOSTS, "9", "7"))
    # pinned: a seed in somebody's notes means the same hosts with the next version
    assert waves.draw_sample(HOSTS, "2", "482113") == PINNED


PINNED = ["host-2", "host-20"]


def test_no_sample_is_every_host_and_too_many_are_refused() -> None:
    assert waves.draw_sample(HOSTS, "", "") == HOSTS
    with pytest.raises(TargetError, match="chaos_sample is 21, and chaos_targets has 20 hosts"):
        waves.draw_sample(HOSTS, "21", "1")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], [20]),
        ([1, "10%", "100%"], [1, 2, 17]),
        (["5"], [5, 5, 5, 5]),
        ([1, 3], [1, 3, 3, 3, 3, 3, 3, 1]),
        (["50%", "60%"], [10, 10]),
        ([30], [20]),
    ],
)
def test_the_waves_hold_every_host_once(sizes: list[object], expected: list[int]) -> None:
    found = waves.split_waves(HOSTS, sizes)
    assert [len(wave) for wave in found] == expected
    assert [host for wave in found for host in wave] == HOSTS


def test_the_facts_say_the_same_of_every_host() -> None:
    facts = waves.Radius(HOSTS, waves.split_waves(HOSTS, [1, 4]), "9").facts()
    assert facts["hosts"] == HOSTS
    assert facts["serial"] == [1, 4, 4, 4, 4, 3]
    assert all(host in facts["waves"][facts["wave_of"][host] - 1] for host in HOSTS)
    assert facts["slices"][0] > 60
    assert set(facts["slices"][1:]) == {waves.SLICE_S}
    assert facts["seed"] == "9"


def test_a_wave_beyond_the_forks_is_refused_with_the_number_to_give() -> None:
    waves.check_engine([HOSTS[:5], HOSTS[5:10]], 5, "linear", simultaneous=True)
    with pytest.raises(
        TargetError, match=r"^Wave 2 has 6 hosts, and Ansible works on 5 at a time: give -f 6 "
    ):
        waves.check_engine([HOSTS[:1], HOSTS[1:7]], 5, "linear", simultaneous=False)


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.free", "host_pinned"])
def test_several_waves_and_one_instant_need_the_linear_strategy(strategy: str) -> None:
    waves.check_engine([HOSTS[:5]], 5, strategy, simultaneous=False)
    waves.check_engine([HOSTS[:1], HOSTS[1:2]], 5, "ansible.builtin.linear", simultaneous=True)
    with pytest.raises(TargetError, match=f"^Several waves .* strategy, and it is set to {strategy};"):
        waves.check_engine([HOSTS[:1], HOSTS[1:2]], 5, strategy, simultaneous=False)
    with pytest.raises(TargetError, match=f"^One instant .* strategy, and it is set to {strategy},"):
        waves.check_engine([HOSTS[:5]], 5, strategy, simultaneous=True)


def test_the_plan_names_every_host_its_wave_the_seed_and_the_bound() -> None:
    drawn = waves.Radius(HOSTS, waves.split_waves(HOSTS[:5], [1, 2]), "482113")
    assert waves.describe_plan(drawn, pattern="exchange", simultaneous=False) == [
        "Plan: 5 of the 20 hosts of exchange, drawn with chaos_sample_seed=482113",
        "Wave 1 of 3: host-1",
        "Wave 2 of 3, if wave 1 passed: host-2, host-3",
        "Wave 3 of 3, if wave 2 passed: host-4, host-5",
        "Each fault begins on each host of a wave as soon as Ansible comes to it",
        "A host that aborts stops the others of its wave within a slice of 2 s and one pass, 7 s at most",
    ]
    assert "one agreed time" in "".join(waves.describe_plan(drawn, pattern="exchange", simultaneous=True))
    alone = waves.Radius(["localhost"], [["localhost"]], "")
    assert waves.describe_plan(alone, pattern="exchange", simultaneous=False) == [
        "Plan: localhost alone is touched"
    ]
    many = waves.describe_plan(waves.Radius(HOSTS, [HOSTS], ""), pattern="exchange", simultaneous=False)
    assert "at most" not in many[-1], "the bound is promised for five hosts"


WAVES = [["a"], ["b", "c"], ["d"]]


@pytest.mark.parametrize(
    ("number", "outcomes", "may_skip", "go"),
    [
        (1, {"a": "passed"}, False, True),
        (1, {"a": "failed"}, False, False),
        (1, {"a": "skipped"}, False, False),
        (1, {"a": "skipped"}, True, True),
        (1, {"a": ""}, True, False),
        (1, {}, False, False),
        (2, {"b": "passed", "c": "aborted"}, False, False),
        (2, {"b": "passed", "c": "passed"}, False, True),
        (3, {"d": "failed"}, False, True),
    ],
)
def test_the_next_wave_begins_only_if_all_of_this_one_passed(
    number: int, outcomes: dict[str, str], may_skip: bool, go: bool
) -> None:
    found, text = waves.decide_gate(number, WAVES, outcomes, may_skip=may_skip)
    assert found is go
    assert bool(text) is (number < 3)


def test_the_gate_says_who_stopped_it_and_who_is_spared() -> None:
    _go, text = waves.decide_gate(2, WAVES, {"b": "passed", "c": "aborted"}, may_skip=False)
    assert text == (
        "Wave 2 of 3 did not pass (c: aborted), so no further wave begins: "
        "the host of the waves after it is not touched"
    )
    _go, text = waves.decide_gate(1, WAVES, {}, may_skip=False)
    assert "(a: no outcome)" in text
    assert "the 3 hosts of the waves after it are not touched" in text


def run(**more: Any) -> dict[str, Any]:
    return {"run_id": "exp-02-now", **waves.Radius(["a", "b", "c", "d"], WAVES, "").facts(), **more}


def test_what_a_host_told_of_an_earlier_run_does_not_count() -> None:
    record = {"host": "a", "outcome": "failed"}
    told = [
        ["a", "exp-02-now", record, {}],
        *([host, "exp-01-before", {"host": host, "outcome": "passed"}, {}] for host in ("b", "c")),
        ["d", "", {}, {}],
    ]
    found = waves.gather_records(told, run())
    assert found["hosts"] == [{**record, "wave": 1}]
    assert found["refused"] == []
    assert found["without_record"] == [
        [
            host,
            {
                "outcome": "skipped",
                "reason": f"Not touched: wave 1 did not pass (a: failed), so wave {wave} did not begin.",
                "wave": wave,
            },
        ]
        for host, wave in (("b", 2), ("c", 2), ("d", 3))
    ]


@pytest.mark.parametrize("sent", [{"host": "b", "wave": 3, "outcome": "passed"}, ["passed"], "passed", 5])
def test_a_host_speaks_in_its_own_name_whatever_it_sends(sent: Any) -> None:
    told = [
        ["a", "exp-02-now", sent, {}],
        ["b", "exp-02-now", {"host": "b", "wave": 1, "outcome": "failed"}, {}],
    ]
    found = waves.gather_records(told, run())
    assert [(one["host"], one["wave"]) for one in found["hosts"]] == [("a", 1), ("b", 2)]
    assert found["hosts"][1]["outcome"] == "failed"


def test_a_host_without_a_record_keeps_its_reason() -> None:
    gone = {"outcome": "aborted", "reason": "Unreachable since noon."}
    told = [[host, "exp-02-now", {}, gone if host == "c" else {}] for host in "abcd"]
    found = waves.gather_records(told, run())
    assert dict(found["without_record"])["c"] == {**gone, "wave": 2}
    assert dict(found["without_record"])["a"] == {"wave": 1}
    assert found["refused"] == ["c"]


def test_the_blast_radius_comes_by_the_command_line_alone() -> None:
    inventory = {"one": {"ansible_host"}, "two": {"ansible_host", "chaos_waves", "chaos_project"}}
    guard_rails.check_command_line(inventory, {"chaos_waves"})
    guard_rails.check_command_line({"one": {"ansible_host"}}, set())
    with pytest.raises(
        TargetError, match=r"^chaos_waves is set in the inventory \(for host two\).*-e chaos_waves="
    ):
        guard_rails.check_command_line(inventory, {"chaos_sample"})


def test_siblings_hear_of_each_other_but_not_of_themselves(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    assert aborts.find_abort("exp-01-a", "one") == ""
    aborts.announce_abort("exp-01-a", "two/2", "error_ratio is 0.9")
    assert aborts.find_abort("exp-01-a", "two/2") == ""
    assert aborts.find_abort("exp-01-a", "one") == "two/2, of the same wave, was aborted: error_ratio is 0.9"
    assert aborts.find_abort("exp-01-b", "one") == "", "another run of a suite"


def facts_of(tasks: str) -> dict[str, jinja2.Template]:
    """The last facts that a file of the lifecycle's tasks sets, as templates."""
    path = Path(__file__).resolve().parents[3] / "roles" / "chaos" / "tasks" / tasks
    last = yaml.safe_load(path.read_text())[-1]["ansible.builtin.set_fact"]
    return {name: jinja2.Template(text) for name, text in last.items()}


@pytest.mark.parametrize(
    ("fault", "stop", "go", "abort"),
    [("crash", "", "True", ""), ("crash", "h1 was", "False", "h1 was"), ("outage", "h1 was", "False", "")],
)
def test_a_host_whose_window_was_over_stops_with_its_wave_too(
    fault: str, stop: str, go: str, abort: str
) -> None:
    """Unless it had nothing left to do: then it has simply done all of it."""
    known = {
        "__chaos_window": {"steady": True, "aborted": ""},
        "__chaos_stop": stop,
        "chaos_fault": {"id": fault},
        "chaos_faults": [{"id": "crash"}, {"id": "outage"}],
    }
    found = {name: template.render(known) for name, template in facts_of("fault.yml").items()}
    assert found == {"__chaos_go": go, "__chaos_abort": abort}


@pytest.mark.parametrize("stop", ["", "h1 was"])
def test_nothing_is_injected_when_the_wave_was_stopped_in_the_baseline(stop: str) -> None:
    known = {
        "__chaos_window": {"steady": True, "injectable": True, "aborted": ""},
        "__chaos_capturing": {"blind": False},
        "__chaos_stop": stop,
    }
    found = {name: template.render(known).strip() for name, template in facts_of("watch.yml").items()}
    assert found == {"__chaos_go": str(not stop), "__chaos_abort": stop}
