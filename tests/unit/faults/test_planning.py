# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a whole run: which containers are taken, and how long it will wait."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FaultSpec, Specification

from tests.unit.containers import down, target

THREE = [target(number=3), down(number=1), target(number=2), target("redis")]


@pytest.mark.parametrize(
    ("replicas", "numbers"),
    [("one", [2]), ("1", [2]), ("2", [2, 3]), ("3", [2, 3, 1]), ("9", [2, 3, 1]), ("all", [2, 3, 1])],
)
def test_running_containers_of_the_service_come_first(replicas: str, numbers: list[int]) -> None:
    assert [one.number for one in planning.choose(THREE, "postgres", replicas)] == numbers


@pytest.mark.parametrize("replicas", ["0", "-1", "some", "", "1.5", "²"])
def test_another_word_is_refused(replicas: str) -> None:
    with pytest.raises(ChaosError, match="must be one, all, or a number above 0"):
        planning.choose(THREE, "postgres", replicas)


def test_every_line_carries_its_faults_id_and_is_the_journals_line() -> None:
    faults: list[dict[str, Any]] = [
        {"id": "crash", "kind": "kill", "mode": "process", "target": "postgres", "replicas": "2"},
        {"id": "outage", "kind": "kill", "target": "postgres", "hold_s": 15},
    ]
    found = planning.describe_plans([FaultSpec.from_data(one) for one in faults], Site(THREE, True))
    assert [line.partition(": ")[0] for line in found] == ["crash", "crash", "outage"]
    assert "SIGKILL to main process" in found[0]
    assert "hold it down" in found[2]


def test_the_waiting_is_told_before_it_begins() -> None:
    spec: dict[str, Any] = {
        "windows": {"baseline_s": 8, "baseline_timeout_s": 30, "steady_s": 3, "recovery_timeout_s": 60},
        "load": {"timeout_s": 3},
        "faults": [
            {"id": "crash", "hold_s": 0, "window_s": 10},
            {"id": "outage", "hold_s": 15, "window_s": 15},
        ],
    }
    # at least: 8 before, 3 steady after the crash, 15 held and 3 steady
    # at most: a baseline that begins anew, each window whole, and each recovery to its time-out
    text = planning.describe_duration(Specification.read(spec))
    assert "29 s at least" in text
    assert "183 s at most: steady state 8 s within 30 s" in text
    assert "crash up to 10 s, outage 15 s" in text
    spec["windows"]["placebo_s"] = 5.0
    with_placebo = planning.describe_duration(Specification.read(spec))
    assert "34 s at least and 248 s at most" in with_placebo
    assert "within 30 s, placebo 5 s, crash" in with_placebo
    assert "placebo 5 s, recovery up to" in planning.describe_duration(
        Specification.read({**spec, "faults": []})
    )
