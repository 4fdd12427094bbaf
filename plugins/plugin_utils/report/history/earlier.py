# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run beside those before it: which thresholds broke that held, and what lies far beyond all they showed. Pure.

That is less than ``comparison`` says, since one run has no noise of its own: a number counts as moved only from three
earlier runs on, and if it lies further beyond them than they lie apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....module_utils.common.shapes import Recorded
from ...words import format_quantity, format_span, format_stamp
from .comparison import BETTER, FEWEST, SAME, UNKNOWN, WORSE, Value, read_value

#: In the order in which they are shown.
ORDER = (WORSE, BETTER, UNKNOWN, SAME)


@dataclass(frozen=True)
class Beside:
    """A finding of a host now and in the runs before. ``verdict``: WORSE, BETTER, SAME, UNKNOWN, of this run alone."""

    host: str
    title: str
    now: str
    before: str
    runs: int
    verdict: str


def set_beside(record: Recorded, earlier: Sequence[Recorded]) -> list[Beside]:
    """Return each finding with a threshold that earlier runs have too, what is worse first."""
    found = []
    for host in record["hosts"]:
        for finding in host["findings"]:
            before = _same_findings(str(host["host"]), str(finding["id"]), earlier)
            if finding["threshold"] and before:
                found.append(_beside(str(host["host"]), finding, before))
    return sorted(found, key=lambda one: ORDER.index(one.verdict))


def sum_up(record: Recorded, earlier: Sequence[Recorded], found: Sequence[Beside]) -> str:
    """Return in one sentence whether a run is worse than those before it; ``earlier`` has the newest first."""
    if not earlier:
        return (
            "Not known: no earlier run of this experiment lies in the folder of this one; from the second on this page "
            "says what changed."
        )
    last = earlier[0]
    runs = "the one run before" if len(earlier) == 1 else f"the {len(earlier)} runs before"
    named = {kind: [one.title for one in found if one.verdict == kind] for kind in (WORSE, BETTER)}
    parts = [f"{len(titles)} {kind} ({_shorten(titles)})" for kind, titles in named.items() if titles]
    what = "; ".join(parts) or "nothing beyond what they showed"
    then = "as then" if last["outcome"] == record["outcome"] else f"then {last['outcome']}"
    last_of = "It" if len(earlier) == 1 else "The last of them"
    return (
        f"{'Yes' if named[WORSE] else 'No'}, by this run alone, of {len(found)} findings beside {runs}: {what}. "
        f"{last_of} began {format_stamp(last['started_at'])} UTC; now {record['outcome']}, {then}."
    )


def _shorten(titles: Sequence[str]) -> str:
    more = f"; {len(titles) - 3} more" if len(titles) > 3 else ""
    return f"{'; '.join(titles[:3])}{more}"


def _same_findings(host: str, id_: str, earlier: Sequence[Recorded]) -> list[Recorded]:
    return [
        finding
        for record in earlier
        for each in record["hosts"]
        if each["host"] == host
        for finding in each["findings"]
        if finding["id"] == id_ and finding["threshold"]
    ]


def _beside(host: str, now: Recorded, before: Sequence[Recorded]) -> Beside:
    limit, unit = now["threshold"], now["unit"]
    values = [value for value in map(read_value, before) if value is not None]
    verdict, mine = _by_verdict(now, before), read_value(now)
    if len(values) == len(before):
        low, high = min(low for low, _high in values), max(high for _low, high in values)
        words = format_quantity(low, unit, limit["value"]) if low == high else format_span(low, high, unit)
        if verdict == SAME and mine is not None and len(values) >= FEWEST:
            verdict = _by_value(mine, (low, high), limit["op"])
    else:
        words = " or ".join(
            dict.fromkeys(format_quantity(each["value"], unit, limit["value"]) for each in before)
        )
    shown = format_quantity(now["value"], unit, limit["value"])
    return Beside(host, str(now["title"]), shown, words, len(before), verdict)


def _by_value(mine: Value, known: Value, op: str) -> str:
    """Return WORSE or BETTER for a value further beyond the known ones than these lie apart."""
    low, high = known
    noise = high - low
    above, below = mine[0] - high > noise, low - mine[1] > noise
    if op == "==" or not (above or below):
        return SAME
    return WORSE if above == (op == "<=") else BETTER


def _by_verdict(now: Recorded, before: Sequence[Recorded]) -> str:
    """Return whether a threshold broke that always held before, or holds that always broke."""
    held = {each["verdict"] for each in before}
    if now["verdict"] == "unknown" or held == {"unknown"}:
        return UNKNOWN
    if now["verdict"] == "fail" and "fail" not in held:
        return WORSE
    return BETTER if now["verdict"] == "pass" and held <= {"fail", "unknown"} else SAME
