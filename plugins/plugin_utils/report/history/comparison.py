# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of one experiment before and after a change: is a finding better, worse, or is it noise? Pure.

One run says nothing about noise. A finding counts as moved only if the ranks of its values say so (an exact
permutation test, at 5 % in the direction that matters: three runs on each side are the fewest that can) and its middle
moved by more than the values of either side lie apart. A count that must be 0 is no noise: the first loss is worse.
Sources: Mann and Whitney, Ann. Math. Statist. 18 (1947) 50; the test is exact for up to 12 values, sampled beyond.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ....module_utils.common.stats import find_median
from ...words import NOT_MEASURED, format_quantity, format_span, format_threshold

Record = Mapping[str, Any]
#: A value as the least and the most that it can be.
Value = tuple[float, float]

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no difference", "unknown"
SIGNIFICANT = 0.05
#: So many values on each side are the fewest of which ranks can be significant.
FEWEST = 3
_EXACT, _DRAWS = 12, 20_000


@dataclass(frozen=True)
class Compared:
    """A finding of a host before and after. ``verdict``: BETTER, WORSE, SAME, UNKNOWN; ``why`` in words."""

    host: str
    id: str
    title: str
    limit: str
    before: str
    after: str
    verdict: str
    why: str


def compare_runs(before: Sequence[Record], after: Sequence[Record]) -> list[Compared]:
    """Return each finding with a threshold of each host that has it on both sides, the worse ones first.

    Raises ValueError, with a sentence, where the records are not of one experiment or a side is empty.
    """
    if not before or not after:
        raise ValueError("Records of runs before and after are needed, one each at least.")
    names = {str(record["experiment"]["name"]) for record in (*before, *after)}
    if len(names) > 1:
        raise ValueError(
            f"The records are of several experiments ({', '.join(sorted(names))}): compare one at a time."
        )
    old, new = _findings(before), _findings(after)
    order = (WORSE, UNKNOWN, BETTER, SAME)
    found = [_compared(host, old[host, name], new[host, name]) for host, name in new if (host, name) in old]
    return sorted(found, key=lambda one: order.index(one.verdict))


def gate_reason(found: Sequence[Compared]) -> str:
    """Return why a release must not go on, "" if it may: something is worse, or nothing could be told."""
    worse = [one for one in found if one.verdict == WORSE]
    if worse:
        return f"Worse than before: {'; '.join(f'{one.title} on {one.host}, {one.why}' for one in worse)}."
    if not any(one.verdict in (BETTER, SAME) for one in found):
        return f"Nothing could be told: {FEWEST} runs on each side are the fewest that tell a difference from noise."
    return ""


def _findings(records: Iterable[Record]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the findings that are held against a threshold by host and id, one for each run."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        for host in record["hosts"]:
            for finding in host["findings"]:
                if finding["threshold"]:
                    found.setdefault((str(host["host"]), str(finding["id"])), []).append(finding)
    return found


def _compared(host: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Compared:
    limit, unit = new[-1]["threshold"], new[-1]["unit"]
    verdict, why = judge_finding(old, new)
    return Compared(
        host, str(new[-1]["id"]), str(new[-1]["title"]), format_threshold(limit, unit).strip("()"),
        _told(old), _told(new), verdict, why,
    )  # fmt: skip


def judge_finding(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return what became of one finding, and why in a few words."""
    limit = new[-1]["threshold"]
    broken = [sum(one["verdict"] == "fail" for one in side) for side in (old, new)]
    if limit["value"] in (0, False) and broken[1] and not broken[0]:
        return WORSE, f"it must be {limit['value']:d}, and was not in {broken[1]} of {len(new)} runs"
    before, after = ([each for each in map(read_value, side) if each is not None] for side in (old, new))
    if not (len(before) == len(old) and len(after) == len(new)):
        return _by_verdict(old, new)
    if len(before) < FEWEST or len(after) < FEWEST:
        return (
            UNKNOWN,
            f"{len(before)} and {len(after)} runs: {FEWEST} each are the fewest that tell it from noise",
        )
    sign = -1.0 if limit["op"] == ">=" else 1.0  # above 0: more is worse
    moved = _middle(after) - _middle(before)
    noise = max(_range(before), _range(after))
    chance = permutation_chance(before, after) if moved > 0 else permutation_chance(after, before)
    if moved and abs(moved) > noise and chance <= SIGNIFICANT:
        kind = WORSE if moved * sign > 0 else BETTER
        return (
            kind,
            f"moved by {format_quantity(abs(moved), new[-1]['unit'])}, noise {format_quantity(noise, new[-1]['unit'])}",
        )
    return SAME, f"within the noise of {format_quantity(noise, new[-1]['unit'])}" if noise else "the same"


def _by_verdict(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Judge words and what was not always measured by how often the threshold held."""
    if len(old) < FEWEST or len(new) < FEWEST:
        return (
            UNKNOWN,
            f"{len(old)} and {len(new)} runs: {FEWEST} each are the fewest that tell it from noise",
        )
    held = [[one["verdict"] for one in side] for side in (old, new)]
    if any("unknown" in side for side in held):
        return UNKNOWN, "it was not measured in every run"
    shares = [[(0.0 if verdict == "pass" else 1.0,) * 2 for verdict in side] for side in held]
    broken = [f"{side.count('fail')} of {len(side)} runs" for side in held]
    why = f"the threshold broke in {broken[1]}, before in {broken[0]}"
    if permutation_chance(*shares) <= SIGNIFICANT:
        return WORSE, why
    if permutation_chance(shares[1], shares[0]) <= SIGNIFICANT:
        return BETTER, why
    return SAME, "the threshold held as often"


def permutation_chance(low: Sequence[Value], high: Sequence[Value]) -> float:
    """Return how likely chance alone puts values of ``high`` above those of ``low`` as clearly as they are."""
    everything = [*low, *high]
    seen = _above(low, high)
    places = range(len(everything))
    if len(everything) <= _EXACT:
        draws = list(combinations(places, len(high)))
    else:
        chance = random.Random(0)  # the same records give the same verdict
        draws = [tuple(chance.sample(places, len(high))) for _draw in range(_DRAWS)]
    as_clear = 0
    for draw in draws:
        taken = set(draw)
        one = [everything[index] for index in places if index not in taken]
        as_clear += _above(one, [everything[index] for index in draw]) >= seen
    return as_clear / len(draws)


def _above(low: Sequence[Value], high: Sequence[Value]) -> float:
    """Return Mann and Whitney's U: pairs in which the second lies above the first, half for those that touch."""
    return sum(1.0 if b[0] > a[1] else 0.0 if b[1] < a[0] else 0.5 for a in low for b in high)


def read_value(finding: Mapping[str, Any]) -> Value | None:
    """Return the value of a finding as the least and the most that it can be, None if it is no number."""
    value = finding["value"]
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value), float(value)
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return float(min(value)), float(max(value))
    return None


def _middle(values: Sequence[Value]) -> float:
    return find_median([(low + high) / 2 for low, high in values]) or 0.0


def _range(values: Sequence[Value]) -> float:
    """Return how far the values of a side lie apart, each taken with its own doubt."""
    return max(high for _low, high in values) - min(low for low, _high in values)


def _told(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the values of one side: the only one, or from the least to the most and of how many runs."""
    unit = findings[-1]["unit"]
    values = [each for each in map(read_value, findings) if each is not None]
    if len(findings) == 1:
        return format_quantity(findings[0]["value"], unit, findings[0]["threshold"]["value"])
    if len(values) == len(findings):
        text = format_span(min(low for low, _high in values), max(high for _low, high in values), unit)
        return f"{text} ({len(findings)} runs)"
    words = dict.fromkeys(format_quantity(one["value"], unit) for one in findings)
    return f"{' or '.join(words) or NOT_MEASURED} ({len(findings)} runs)"
