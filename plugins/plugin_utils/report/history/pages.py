# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages over several runs: what a comparison found, and the index of a report folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ...record.folder import read_records, record_paths
from ...words import format_quantity, format_stamp, parse_time
from ..page.page import render_template
from ..page.svg import Drawing
from ..page.words import bound_texts
from .comparison import Compared

Record = Mapping[str, Any]

_WIDTH, _HEIGHT = 180.0, 30.0
#: Of more runs of an experiment on a host the newest are drawn.
DRAWN = 60


@dataclass(frozen=True)
class Run:
    """One run in the index."""

    at: str
    outcome: str
    verdicts: Mapping[str, str]
    hosts: int
    page: str
    record: str


@dataclass
class Trend:
    """One finding of one host through the runs, the oldest first: (when, value for the picture, verdict, in words)."""

    host: str
    title: str
    points: list[tuple[str, float | None, str, str]] = field(default_factory=list)

    def draw_trend(self) -> Markup:
        """Return the trend as a small drawing: a dot a run, coloured by its verdict."""
        points = self.points[-DRAWN:]
        values = [value for _at, value, _verdict, _told in points if value is not None]
        low, high = (min(values), max(values)) if values else (0.0, 0.0)
        drawing = Drawing(_WIDTH, _HEIGHT, f"Trend of {self.title} on {self.host}, {len(points)} runs")
        step = (_WIDTH - 10) / max(len(points) - 1, 1)
        for index, (at, value, verdict, told) in enumerate(points):
            share = 0.5 if value is None or high == low else (value - low) / (high - low)
            kind = {"pass": "good", "fail": "bad"}.get(verdict, "warn")
            x, y = 5 + index * step, _HEIGHT - 6 - share * (_HEIGHT - 12)
            drawing.rect(
                x - 2.5, y - 2.5, 5, 5, kind, title=f"{format_stamp(at)}: {told}, {verdict}", rx="2.5"
            )
        return drawing.markup()

    @property
    def newest(self) -> tuple[str, float | None, str, str]:
        """Return the last point."""
        return self.points[-1]


@dataclass
class ExperimentHistory:
    """All runs of one experiment in a folder, the newest first, and its findings' trends."""

    number: int
    title: str
    runs: list[Run] = field(default_factory=list)
    trends: dict[tuple[str, str], Trend] = field(default_factory=dict)


def render_index(folder: str) -> str:
    """Return the index of a report folder. Raises FileError when it cannot be read."""
    experiments, odd = gather_runs(read_records(record_paths(folder)))
    view = {
        "title": f"Chaos experiments in {folder}",
        "folder": folder,
        "experiments": [experiments[number] for number in sorted(experiments)],
        "odd": odd,
        "runs": sum(len(one.runs) for one in experiments.values()),
    }
    return render_template("index.html.j2", view)


def gather_runs(found: Iterable[tuple[str, Record | str]]) -> tuple[dict[int, ExperimentHistory], list[str]]:
    """Return the experiments by number, from records with the newest first, and sentences on what was no record."""
    experiments: dict[int, ExperimentHistory] = {}
    odd = []
    for path, record in found:
        if isinstance(record, str):
            odd.append(record)
            continue
        record = bound_texts(record)
        known = record["experiment"]
        one = experiments.setdefault(known["number"], ExperimentHistory(known["number"], known["title"]))
        one.runs.append(_run(path, record))
        for host in record["hosts"]:
            for finding in host["findings"]:
                if finding["threshold"]:
                    trend = one.trends.setdefault(
                        (host["host"], finding["id"]), Trend(host["host"], finding["title"])
                    )
                    told = format_quantity(finding["value"], finding["unit"], finding["threshold"]["value"])
                    trend.points.insert(
                        0, (record["started_at"], middle_of(finding["value"]), finding["verdict"], told)
                    )
    return experiments, odd


def _run(path: str, record: Record) -> Run:
    page = f"{path[: -len('.json')]}.html"
    name = os.path.basename(page)
    return Run(
        at=record["started_at"],
        outcome=record["outcome"],
        verdicts=record["verdicts"],
        hosts=len(record["hosts"]),
        page=f"./{quote(name)}" if os.path.isfile(page) else "",
        record=f"./{quote(os.path.basename(path))}",
    )


def middle_of(value: object) -> float | None:
    """Return a value as a number for a picture, None for words and what was not measured."""
    if isinstance(value, (list, tuple)) and value:
        return (float(value[0]) + float(value[-1])) / 2
    if isinstance(value, (bool, int, float)):
        return float(value)
    return None


def render_comparison(
    before: Sequence[Record], after: Sequence[Record], found: Sequence[Compared], verdict: str
) -> str:
    """Return a comparison as a page; ``verdict``: why a release must not go on, "" if it may."""
    experiment = after[-1]["experiment"]
    view = {
        "title": f"{experiment['number']:02d} {experiment['title']}: before and after",
        "experiment": experiment,
        "sides": [("Before", sorted(before, key=_at)), ("After", sorted(after, key=_at))],
        "found": found,
        "verdict": verdict,
    }
    return render_template("compare.html.j2", view)


def _at(record: Record) -> float:
    return parse_time(str(record["started_at"])).timestamp()
