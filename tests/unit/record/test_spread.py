# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far apart hosts were hit: never claimed smaller than their clocks allow, unknown where nobody can say."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.instant import DOUBT, STARTED
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import collect, merge, read, spread
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.collect import CollectionPlan, Found
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.spread import Start

RUN = {
    "run_id": "r",
    "experiment": {"number": 1, "name": "database_sudden_death", "title": "Database sudden death"},
    "started_at": "2026-11-23T18:00:00.000Z",
    "ended_at": "2026-11-23T18:01:00.000Z",
    "collection_version": "0.1.0",
}
BASE = 1_795_000_000.0


def test_the_interval_is_as_wide_as_the_doubt() -> None:
    found = spread.measure_spread(
        [Start("alpha", 100.0, 0.5), Start("beta", 103.0, 1.0), Start("gamma", 101.0, 0.1)]
    )
    assert (found.low, found.high) == (pytest.approx(1.5), pytest.approx(4.5))
    assert found.words == "alpha first, beta 3.000 ms later, ± 1.500 ms by their clocks"


def test_less_than_the_doubt_is_never_claimed() -> None:
    found = spread.measure_spread([Start("alpha", 100.0, 20.0), Start("beta", 100.001, 20.0)])
    assert found.low == 0.0
    assert found.high == pytest.approx(40.001)
    assert found.verdict(10.0) == "unknown"


def test_a_host_of_large_doubt_between_the_others_counts_too() -> None:
    found = spread.measure_spread(
        [Start("alpha", 100.0, 0.1), Start("beta", 102.0, 0.1), Start("vague", 101.0, 30.0)]
    )
    assert found.high == pytest.approx(60.0)
    assert found.low == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("apart", "doubt", "verdict"),
    [
        (4.0, 1.0, "pass"),
        (8.0, 1.0, "pass"),
        (9.0, 1.0, "unknown"),
        (11.0, 1.0, "unknown"),
        (12.5, 1.0, "fail"),
    ],
)
def test_verdicts(apart: float, doubt: float, verdict: str) -> None:
    starts = [Start("alpha", 0.0, doubt), Start("beta", apart, doubt)]
    assert spread.measure_spread(starts).verdict(10.0) == verdict


def test_a_clock_that_nobody_measured_makes_it_unknown() -> None:
    found = spread.measure_spread([Start("alpha", 100.0, 0.5), Start("beta", None, None)])
    assert (found.low, found.high, found.verdict(10.0)) == (None, None, "unknown")
    assert "the clock of beta was not measured" in found.words


def host(
    name: str,
    after_ms: float,
    *,
    offset_ms: float | None = 0.0,
    doubt: float | None = 0.5,
    wave: int = 1,
    **more: Any,
) -> dict[str, Any]:
    """Return the record of a host that was hit so long after BASE on the controller's clock."""
    own = BASE + (after_ms + (offset_ms or 0.0)) / 1000
    injected = f"{datetime.fromtimestamp(own, timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
    proof = [
        {"source": "kernel", "fact": "exit of main process 7", "value": True, "at": injected, "holds": True},
        {"source": "fault", "fact": STARTED, "value": after_ms, "at": injected, "holds": True},
        {"source": "fault", "fact": DOUBT, "value": doubt, "at": injected, "holds": doubt is not None},
    ]
    fault = {
        "id": "crash", "kind": "kill", "target": "postgres", "engine": "process", "injected_at": injected,
        "undone_at": None, "undone_by": None, "proof": proof,
    }  # fmt: skip
    return {
        **make_missing_host(name, outcome="passed", reason=""),
        "clock": {"offset_ms": offset_ms, "uncertainty_ms": doubt},
        "wave": wave,
        "outcome": "passed",
        "verdicts": {"effect": "pass", "hypothesis": "pass", "restored": "pass"},
        "faults": [fault],
        **more,
    }


def finding(one: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in one["findings"] if each["id"] == "simultaneity"]
    return dict(found)


def test_clocks_that_are_seconds_apart_are_corrected() -> None:
    hosts = [host("alpha", 0.1), host("beta", 2.1, offset_ms=5000.0), host("gamma", 1.0, offset_ms=-7e5)]
    merged = merge.merge_hosts(hosts, **RUN)
    found = finding(merged["hosts"][0])
    assert found["title"] == "Spread of the fault's start over 3 hosts"
    assert found["value"] == [pytest.approx(1.0, abs=0.01), pytest.approx(3.0, abs=0.01)]
    assert (found["unit"], found["threshold"], found["verdict"]) == (
        "ms",
        {"op": "<=", "value": 10.0},
        "pass",
    )
    assert found["evidence"].startswith("crash: alpha first, beta 2.0")
    assert [finding(one) for one in merged["hosts"]] == [found] * 3
    assert merged["outcome"] == "passed"
    assert read.check_record(merged, "it") is merged


def test_each_wave_has_its_own_instant() -> None:
    hosts = [host("alpha", 0), host("beta", 1), host("gamma", 60_000, wave=2), host("delta", 60_004, wave=2)]
    merged = merge.merge_hosts(hosts, **RUN)["hosts"]
    assert [finding(one)["value"] for one in merged] == [[0.0, 2.0]] * 2 + [[3.0, 5.0]] * 2


def test_too_far_apart_is_invalid_and_what_nobody_knows_is_not() -> None:
    merged = merge.merge_hosts([host("alpha", 0), host("beta", 25)], **RUN)
    assert finding(merged["hosts"][0])["verdict"] == "fail"
    assert (merged["outcome"], merged["verdicts"]["hypothesis"]) == ("invalid", "pass"), (
        "no word on the exchange"
    )
    assert (
        "not hit at one instant (crash: alpha first, beta 25.000 ms later" in merged["hosts"][0]["notes"][-1]
    )
    assert merge.merge_hosts([host("alpha", 0), host("beta", 25)], spread_ms=50, **RUN)["outcome"] == "passed"
    unsure = merge.merge_hosts([host("alpha", 0), host("beta", 0, offset_ms=None, doubt=None)], **RUN)
    assert (finding(unsure["hosts"][1])["value"], finding(unsure["hosts"][1])["verdict"]) == (None, "unknown")
    assert unsure["outcome"] == "passed"


def test_a_worse_outcome_stays() -> None:
    merged = merge.merge_hosts([host("alpha", 0, outcome="aborted"), host("beta", 25)], **RUN)
    assert [one["outcome"] for one in merged["hosts"]] == ["aborted", "invalid"]


def test_runs_without_an_instant_are_left_alone_and_one_host_has_no_spread() -> None:
    plain = host("alpha", 0)
    plain["faults"][0]["proof"] = []
    gone = make_missing_host("gone", outcome="invalid", reason="unreachable")
    merged = merge.merge_hosts([plain, host("beta", 3), gone], **RUN)
    assert [one["findings"] for one in merged["hosts"]] == [plain["findings"], [], gone["findings"]]
    assert merged["hosts"][0] == plain


def test_merged_again_the_finding_is_renewed_not_doubled() -> None:
    once = merge.merge_hosts([host("alpha", 0), host("beta", 1)], **RUN)["hosts"]
    again = merge.merge_hosts([*once, host("late", 4)], **RUN)["hosts"]
    assert [finding(one)["value"] for one in again] == [[3.0, 5.0]] * 3


def test_a_record_completed_later_is_held_against_the_limit_of_its_run(tmp_path: Path) -> None:
    away = make_missing_host("late", outcome="aborted", reason="unreachable")
    base = merge.merge_hosts([host("alpha", 0), host("beta", 25), away], spread_ms=50, **RUN)
    path = tmp_path / "chaos-r.json"
    path.write_text(json.dumps(base))
    plan = CollectionPlan("r", str(path), str(path.with_suffix("")), str(tmp_path / "chaos-r-2"), ["late"])
    whole = collect.complete_record(plan, Found({"late": host("late", 30)}))
    assert [finding(one)["threshold"]["value"] for one in whole["hosts"]] == [50] * 3
    assert [one["outcome"] for one in whole["hosts"]] == ["passed"] * 3


def test_each_fault_of_several_has_its_own() -> None:
    hosts = [host("alpha", 0), host("beta", 1)]
    for one, late in zip(hosts, (0.0, 0.004)):
        second = {**one["faults"][0], "id": "outage"}
        second["injected_at"] = (
            f"{datetime.fromtimestamp(BASE + 60 + late, timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
        )
        one["faults"].append(second)
    first, second = merge.merge_hosts(hosts, **RUN)["hosts"][0]["findings"]
    assert [first["id"], second["id"]] == ["simultaneity", "simultaneity_outage"]
    assert [first["value"], second["value"]] == [[0.0, 2.0], [3.0, 5.0]]
    assert second["title"] == "Spread of the fault's start over 2 hosts, outage"
    assert second["evidence"].startswith("outage: alpha first, beta 4.000 ms later")
    twice = merge.merge_hosts(merge.merge_hosts(hosts, **RUN)["hosts"], **RUN)
    assert [one["id"] for one in twice["hosts"][0]["findings"]] == [
        "simultaneity", "simultaneity_outage",
    ]  # fmt: skip
