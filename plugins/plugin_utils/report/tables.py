# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small tables for the screen: the outcomes of a suite, and what each host is ready for. Pure: data in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..words import escape_line

_MARKS = {"passed": "✓", "skipped": "⚠", "pass": "✓", "fail": "✗", "ready": "✓", "degraded": "⚠"}
_VERDICTS = ("effect", "hypothesis", "restored")


def render_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns of equal width; the last column is as wide as it needs."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip()
        for row in rows
    ]


def render_suite(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the summary of a suite, a line an experiment with outcome and verdicts, then where each record is.

    A path has a line of its own: beside the verdicts it would not fit a terminal of 80 columns.
    """
    if not outcomes:
        return ["No experiment of this suite was run."]
    rows = [["#", "experiment", "outcome", *_VERDICTS]]
    for one in outcomes:
        verdicts = one.get("verdicts") or {}
        said = [str(verdicts.get(name, "unknown")) for name in _VERDICTS]
        outcome = str(one.get("outcome", "unknown"))
        rows.append(
            [
                f"{int(one['number']):02d}",
                escape_line(one["title"]),
                f"{_MARKS.get(outcome, '✗')} {outcome}",
                *(f"{_MARKS.get(verdict, '?')} {verdict}" for verdict in said),
            ]
        )
    passed = sum(one.get("outcome") == "passed" for one in outcomes)
    records = [
        f"record {int(one['number']):02d}: {escape_line(one['record'])}"
        for one in outcomes
        if one.get("record")
    ]
    return ["SUITE", *render_table(rows), *records, f"{passed} of {len(outcomes)} passed"]


def not_passed(outcomes: Sequence[Mapping[str, Any]], may_skip: Sequence[str] = ()) -> list[str]:
    """Return ``name: outcome`` of each experiment that keeps a suite from passing.

    may_skip: names of experiments that a host may be unable to do.
    """
    return [
        f"{one['name']}: {one['outcome']}"
        for one in outcomes
        if one["outcome"] != "passed" and not (one["outcome"] == "skipped" and one["name"] in may_skip)
    ]


def render_readiness(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each host is ready for.

    rows: dictionaries of host, number, title, ready (ready, degraded or impossible) and why (a list of sentences).
    """
    if not rows:
        return ["No host was looked at."]
    lines = []
    for host in dict.fromkeys(str(row["host"]) for row in rows):
        cells = [
            [
                f"{int(row['number']):02d}",
                escape_line(row["title"]),
                f"{_MARKS.get(str(row['ready']), '✗')} {escape_line(row['ready'])}",
                "; ".join(escape_line(sentence) for sentence in row.get("why") or []),
            ]
            for row in rows
            if str(row["host"]) == host
        ]
        lines += [f"READINESS of {escape_line(host)}", *render_table(cells)]
    return lines
