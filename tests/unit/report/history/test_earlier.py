# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run beside those before it: what broke is told, noise is not, and no stranger's file is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import folder
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.history.earlier import set_beside, sum_up

from tests.unit import fleets


def run(day: int, name: str = "passed", **values: Any) -> dict[str, Any]:
    """Return the record of a day, with values (and verdicts) of findings by id."""
    record = fleets.sample(name)
    record["started_at"] = f"2026-11-{day:02d}T18:00:00.000Z"
    record["run_id"] = f"exp-01-202611{day:02d}-180000"
    for finding in record["hosts"][0]["findings"]:
        if finding["id"] in values:
            finding["value"] = values[finding["id"]]
    return record


def verdict(now: dict[str, Any], before: list[dict[str, Any]], id_: str) -> str:
    (title,) = {each["title"] for each in now["hosts"][0]["findings"] if each["id"] == id_}
    (one,) = [each for each in set_beside(now, before) if each.title == title]
    return one.verdict


def test_a_threshold_that_breaks_for_the_first_time_is_worse_and_the_reverse_better() -> None:
    good, bad = run(2), run(1, "failed")
    assert verdict({**bad, "started_at": "2026-11-03T18:00:00.000Z"}, [good], "loss") == "worse"
    assert verdict(good, [bad], "loss") == "better"
    assert verdict(good, [run(1)], "loss") == "no difference"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([0.9], 1.9, "no difference"),  # one run has no noise to be beyond
        ([0.9, 1.0, 1.1], 1.25, "no difference"),
        ([0.9, 1.0, 1.1], 1.4, "worse"),
        ([0.9, 1.0, 1.1], 0.6, "better"),
        ([0.9, 1.0, 1.1], [1.2, 1.5], "no difference"),  # its doubt reaches near
    ],
)
def test_a_number_counts_only_far_beyond_three_runs(before: list[float], now: Any, told: str) -> None:
    earlier = [run(index + 1, recovery=value) for index, value in enumerate(before)]
    assert verdict(run(9, recovery=now), earlier, "recovery") == told


def test_the_sentence_names_what_is_worse_and_the_last_run() -> None:
    now, before = run(9, "failed"), [run(8), run(7)]
    told = sum_up(now, before, set_beside(now, before))
    assert told.startswith("Yes, by this run alone, of ")
    assert "beside the 2 runs before" in told
    assert "Acknowledged orders lost" in told
    assert told.endswith("The last of them began 2026-11-08 18:00:00 UTC; now failed, then passed.")
    assert sum_up(run(9), before, set_beside(run(9), before)).startswith("No, by this run alone")
    assert sum_up(now, [], []).startswith("Not known: no earlier run of this experiment")


def lay(where: Path, record: dict[str, Any], day: int, number: int = 1) -> Path:
    path = where / f"chaos-exp-{number:02d}-202611{day:02d}-180000.json"
    path.write_text(json.dumps(record))
    return path


def days(now: dict[str, Any], where: Path) -> list[int]:
    return [int(record["started_at"][8:10]) for _path, record in folder.find_earlier(now, str(where))]


def test_earlier_runs_are_those_of_this_experiment_before_this_one(tmp_path: Path) -> None:
    for day in (3, 5, 9, 11):
        lay(tmp_path, run(day), day)
    other = run(4)
    other["experiment"]["name"] = "of_our_own"
    lay(tmp_path, other, 4)
    lay(tmp_path, run(6), 6, number=7)
    (tmp_path / "chaos-exp-01-20261107-180000.json").write_text("{")
    assert days(run(9), tmp_path) == [5, 3]
    assert days(run(3), tmp_path) == []
    assert folder.find_earlier(run(3), str(tmp_path / "gone")) == []


def test_the_newest_are_read_and_no_more_than_a_page_can_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 12):
        lay(tmp_path, run(day), day)
    assert days(run(20), tmp_path) == [11, 10, 9, 8, 7, 6]
    size = (tmp_path / "chaos-exp-01-20261111-180000.json").stat().st_size
    monkeypatch.setattr(folder, "EARLIER_BYTES", int(size * 2.5))
    assert days(run(20), tmp_path) == [11, 10]


def test_files_of_another_user_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, run(3), 3)
    monkeypatch.setattr(folder, "own_users", lambda: (os.geteuid() + 1,))
    assert days(run(9), tmp_path) == []
