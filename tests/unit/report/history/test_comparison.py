# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Better, worse, or noise: what a comparison says, and what it must not."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.history import comparison
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.history.comparison import (
    BETTER,
    SAME,
    UNKNOWN,
    WORSE,
    compare_runs,
    gate_reason,
    judge_finding,
    permutation_chance,
)

from tests.unit import fleets


def findings(*values: Any, op: str = "<=", limit: float = 60, unit: str | None = "s") -> list[dict[str, Any]]:
    """Return a finding a run, judged against its threshold."""
    held = {"<=": lambda value: value <= limit, ">=": lambda value: value >= limit}[op]
    out = []
    for value in values:
        last = value[-1] if isinstance(value, list) else value
        verdict = "unknown" if last is None else "pass" if isinstance(last, str) or held(last) else "fail"
        out.append({"id": "f", "title": "F", "value": value, "unit": unit, "verdict": verdict,
                    "threshold": {"op": op, "value": limit}})  # fmt: skip
    return out


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ((1.0, 1.1, 1.2), (3.0, 3.1, 3.2), WORSE),
        ((3.0, 3.1, 3.2), (1.0, 1.1, 1.2), BETTER),
        ((1.0, 1.1, 1.2), (1.05, 1.15, 1.25), SAME),
        ((1.0, 2.0, 3.0), (3.5, 4.0, 4.5), SAME),  # apart, but by no more than either side's own range
        ((1.0, 1.1, 1.2), (3.0, 3.1), UNKNOWN),
        ((1.0,), (50.0,), UNKNOWN),
        ((1, 1, 1), (1, 1, 1), SAME),
        (
            ([1.0, 2.0], [1.1, 2.1], [1.2, 2.2]),
            ([2.0, 3.0], [2.1, 3.1], [2.2, 3.2]),
            SAME,
        ),  # within their doubt
        ((None, 1.0, 1.1), (3.0, 3.1, 3.2), UNKNOWN),
    ],
)
def test_moved_or_noise(before: tuple[Any, ...], after: tuple[Any, ...], wanted: str) -> None:
    assert judge_finding(findings(*before), findings(*after))[0] == wanted


def test_more_is_better_where_the_threshold_says_so() -> None:
    low, high = (0.1, 0.11, 0.12), (0.9, 0.91, 0.92)
    assert (
        judge_finding(findings(*low, op=">=", limit=0.95), findings(*high, op=">=", limit=0.95))[0] == BETTER
    )
    assert (
        judge_finding(findings(*high, op=">=", limit=0.95), findings(*low, op=">=", limit=0.95))[0] == WORSE
    )


def test_the_first_loss_is_no_noise() -> None:
    assert judge_finding(findings(0, limit=0), findings(3, limit=0))[0] == WORSE
    assert judge_finding(findings(0, 2, limit=0), findings(3, limit=0))[0] == UNKNOWN
    assert judge_finding(findings(0, limit=0), findings(0, limit=0))[0] == UNKNOWN


def test_words_count_by_their_threshold() -> None:
    good = findings("errors", "errors", "errors")
    bad = [{**one, "value": "crashed", "verdict": "fail"} for one in good]
    assert judge_finding(good, bad)[0] == WORSE
    assert judge_finding(bad, good)[0] == BETTER
    assert judge_finding(good, [*good[:2], bad[0]])[0] == SAME


def test_the_permutation_test_is_exact() -> None:
    def ones(*values: float) -> list[tuple[float, float]]:
        return [(value, value) for value in values]

    assert permutation_chance(ones(1, 2, 3), ones(4, 5, 6)) == pytest.approx(1 / 20)
    assert permutation_chance(ones(4, 5, 6), ones(1, 2, 3)) == 1.0
    assert permutation_chance(ones(1, 2), ones(3, 4)) == pytest.approx(1 / 6)
    assert permutation_chance(ones(*range(10)), ones(*range(20, 30))) < 0.001


def test_chance_alone_is_seldom_worse() -> None:
    chance = random.Random(3)
    wrong = 0
    for _trial in range(300):
        values = [chance.lognormvariate(1, 0.4) for _run in range(10)]
        wrong += judge_finding(findings(*values[:5]), findings(*values[5:]))[0] == WORSE
    assert wrong / 300 < 0.05


def runs(recovery: list[float]) -> list[dict[str, Any]]:
    made = []
    for value in recovery:
        record = copy.deepcopy(fleets.sample("passed"))
        finding = next(one for one in record["hosts"][0]["findings"] if one["id"] == "recovery")
        finding["value"] = value
        made.append(record)
    return made


def test_records_side_by_side_and_the_gate() -> None:
    found = compare_runs(runs([1.0, 1.1, 1.2]), runs([4.0, 4.1, 4.2]))
    assert (found[0].id, found[0].verdict) == ("recovery", WORSE)
    assert (found[0].before, found[0].after) == ("1 to 1.2 s (3 runs)", "4 to 4.2 s (3 runs)")
    assert gate_reason(found).startswith(
        "Worse than before: Recovery after the crash, from the fault on localhost"
    )
    assert gate_reason(compare_runs(runs([1.0, 1.1, 1.2]), runs([1.0, 1.1, 1.2]))) == ""
    assert "3 runs on each side are the fewest" in gate_reason(compare_runs(runs([1.0]), runs([1.1])))


def test_different_experiments_are_refused() -> None:
    other = fleets.sample("passed")
    other["experiment"]["name"] = "network_partition"
    with pytest.raises(ValueError, match="several experiments"):
        compare_runs([fleets.sample("passed")], [other])
    with pytest.raises(ValueError, match="one each at least"):
        compare_runs([], [other])


def test_the_limit_of_fewest_is_what_the_test_can_tell() -> None:
    low = [(float(value),) * 2 for value in range(comparison.FEWEST)]
    high = [(float(value) + 10,) * 2 for value in range(comparison.FEWEST)]
    assert permutation_chance(low, high) <= comparison.SIGNIFICANT
    assert permutation_chance(low[1:], high[1:]) > comparison.SIGNIFICANT
