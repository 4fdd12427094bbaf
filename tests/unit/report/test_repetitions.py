# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same experiment several times: the spread of what was found, and what did not come out the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.repetitions import sum_up, sum_up_files

SAMPLE = json.loads((Path(__file__).parents[1] / "data" / "record-passed.json").read_text())


def run(*values: tuple[str, Any, str], outcome: str = "passed") -> dict[str, Any]:
    """A run whose findings are (id, value, verdict)."""
    limit = {"op": "<=", "value": 60}
    found = [
        {
            "id": name,
            "title": name,
            "value": value,
            "unit": "s",
            "threshold": limit,
            "verdict": verdict,
            "evidence": "",
        }
        for name, value, verdict in values
    ]
    host = {**SAMPLE["hosts"][0], "findings": found, "outcome": outcome}
    return {**SAMPLE, "outcome": outcome, "hosts": [host]}


def found(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in summary["findings"] if each["id"] == name)


def test_the_spread_is_that_of_the_worse_ends() -> None:
    summary = sum_up([run(("recovery", [value - 0.1, value], "pass")) for value in (3.0, 1.0, 2.0)])
    recovery = found(summary, "recovery")
    assert (recovery["median"], recovery["worst"], recovery["flaky"]) == (2.0, 3.0, False)
    assert recovery["interval"] is None, "three runs have none"
    assert (summary["runs"], summary["outcome"], summary["flaky"]) == (3, "passed", False)


def test_six_runs_have_an_interval_of_their_median() -> None:
    summary = sum_up([run(("recovery", float(value), "pass")) for value in (6, 5, 4, 3, 2, 1)])
    assert found(summary, "recovery")["interval"] == [1.0, 6.0]


def test_where_more_is_better_the_least_is_the_worst() -> None:
    records = [run(("clarity", value, "pass")) for value in (0.9, 1.0)]
    for record in records:
        record["hosts"][0]["findings"][0]["threshold"] = {"op": ">=", "value": 0.8}
    assert found(sum_up(records), "clarity")["worst"] == 0.9


def test_verdicts_that_differ_are_flaky_and_the_worst_run_counts() -> None:
    summary = sum_up(
        [
            run(("recovery", 2.0, "pass"), ("storm", None, "unknown")),
            run(("recovery", 70.0, "fail"), ("storm", None, "unknown"), outcome="failed"),
        ]
    )
    assert (summary["outcome"], summary["flaky"], summary["outcomes"]) == (
        "failed",
        True,
        {"passed": 1, "failed": 1},
    )
    assert [found(summary, name)["flaky"] for name in ("recovery", "storm")] == [True, False]
    text = "\n".join(summary["lines"])
    assert text.startswith("2 RUNS\nfinding")
    assert "1 ✓ 1 🚨 flaky" in text
    assert "1 passed, 1 failed; flaky: not all runs came out the same" in text


def test_what_is_a_word_or_was_not_measured_has_no_figures() -> None:
    recovery = found(sum_up([run(("served", "yes", "pass")), run(("served", None, "pass"))]), "served")
    assert (recovery["median"], recovery["worst"], recovery["interval"]) == (None, None, None)


def test_records_are_read_from_their_files(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(SAMPLE))
    summary = sum_up_files([str(path), str(path)])
    assert summary["runs"] == 2
    assert not summary["flaky"]
    assert len(summary["findings"]) == len(SAMPLE["hosts"][0]["findings"])


@pytest.mark.parametrize("runs", [1, 2])
def test_each_host_of_a_fleet_has_its_own_spread(runs: int) -> None:
    record = run(("recovery", 2.0, "pass"))
    record["hosts"].append({**record["hosts"][0], "host": "other"})
    summary = sum_up([record] * runs)
    assert [each["host"] for each in summary["findings"]] == [record["hosts"][0]["host"], "other"]
    assert any("other: recovery" in line for line in summary["lines"])
