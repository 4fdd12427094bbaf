# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same experiment several times, as one: the spread of each finding, and what did not come out the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.common.intervals import percentile_bounds
from ...module_utils.common.shapes import is_number
from ...module_utils.common.stats import find_median
from ..record.merge import QUESTIONS, worst_outcome, worst_verdict
from ..record.read import load_record
from ..words import VERDICT_MARKS, escape_line, format_quantity
from .tables import render_table

Record = Mapping[str, Any]
Finding = Mapping[str, Any]
#: Of fewer runs the median has no interval at the level of :data:`.intervals.ERROR`.
_FEWEST = 6


def sum_up(records: Sequence[Record]) -> dict[str, Any]:
    """Return ``{runs, outcome, outcomes, verdicts, flaky, findings, lines}`` of the records of one experiment.

    outcome and verdicts: the worst. findings: of each host ``{host, id, title, unit, verdicts, median, worst,
    interval, flaky}``; the interval is that of the median, null without enough runs for one (6). flaky: whether any
    verdict or outcome differed.
    """
    found = [_spread(host, name, each) for (host, name), each in _by_finding(records).items()]
    outcomes = [str(record["outcome"]) for record in records]
    summary = {
        "runs": len(records),
        "outcome": worst_outcome(records),
        "outcomes": dict(Counter(outcomes)),
        "verdicts": {key: worst_verdict(record["verdicts"][key] for record in records) for key in QUESTIONS},
        "flaky": len(set(outcomes)) > 1 or any(each["flaky"] for each in found),
        "findings": found,
    }
    return {**summary, "lines": _lines(summary, len({each["host"] for each in found}) > 1)}


def sum_up_files(paths: Sequence[str]) -> dict[str, Any]:
    """Return the summary of the records in these files. Raises RecordError for one that is none."""
    return sum_up([load_record(str(path)) for path in paths])


def _by_finding(records: Sequence[Record]) -> dict[tuple[str, str], list[Finding]]:
    found: dict[tuple[str, str], list[Finding]] = {}
    for record in records:
        for host in record["hosts"]:
            for finding in host["findings"]:
                found.setdefault((str(host["host"]), str(finding["id"])), []).append(finding)
    return found


def _spread(host: str, name: str, each: Sequence[Finding]) -> dict[str, Any]:
    limit = each[0]["threshold"]
    values = [value for value in (_figure(finding["value"]) for finding in each) if value is not None]
    least_is_worst = bool(limit) and limit["op"] == ">="
    interval = None
    if len(values) >= _FEWEST:
        interval = [
            end + min(values) for end in percentile_bounds([value - min(values) for value in values], 50)
        ]
    verdicts = Counter(str(finding["verdict"]) for finding in each)
    return {
        "host": host,
        "id": name,
        "title": str(each[0]["title"]),
        "unit": each[0]["unit"],
        "verdicts": dict(verdicts),
        "median": find_median(values),
        "worst": (min if least_is_worst else max)(values, default=None),
        "interval": interval,
        "flaky": len(verdicts) > 1,
    }


def _figure(value: object) -> float | None:
    """Return the number that a value is worth: of an interval its worse end; None of a word, or of nothing."""
    if isinstance(value, (list, tuple)):
        return float(value[-1])
    return float(value) if is_number(value) else None


def _lines(summary: Mapping[str, Any], several: bool) -> list[str]:
    rows = [["finding", "verdicts", "median", "worst", "interval of the median"]]
    for each in summary["findings"]:
        title = (
            escape_line(each["title"])
            if not several
            else f"{escape_line(each['host'])}: {escape_line(each['title'])}"
        )
        marks = " ".join(
            f"{each['verdicts'][key]} {mark}"
            for key, mark in VERDICT_MARKS.items()
            if key in each["verdicts"]
        )
        figures = [
            "-" if each[key] is None else format_quantity(each[key], each["unit"])
            for key in ("median", "worst", "interval")
        ]
        rows.append([title, f"{marks}{' flaky' if each['flaky'] else ''}", *figures])
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in summary["outcomes"].items())
    flaky = "; flaky: not all runs came out the same" if summary["flaky"] else ""
    return [f"{summary['runs']} RUNS", *render_table(rows), f"{outcomes}{flaky}"]
