# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that follow from a run: advice is on its page; these are for monitoring, and for the next night shift."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...record import report_files
from ...record.samples import read_samples
from ..page.timeline import span_of
from ..page.words import bound_texts
from . import monitoring
from .runbook import render_runbook
from .signals import first_signals

Record = dict[str, Any]
#: Ending by kind.
ENDINGS = {
    "runbook": ".runbook.md",
    "rules": ".rules.yml",
    "dashboard": ".grafana.json",
    "annotations": ".annotations.json",
    "checks": ".checks.yml",
}


def make_follow_up(record: Record, source: str) -> dict[str, str]:
    """Return the text of each file by kind, from the host of a run on which most happened: the worst."""
    record = bound_texts(record)
    host = most_telling(record)
    span = span_of(host, record["started_at"], record["ended_at"])
    samples = read_samples(source, host["host"], span)
    signals = first_signals(host, samples)
    return {
        "runbook": render_runbook(record, host, signals),
        "rules": monitoring.render_rules(record, signals, samples.spec),
        "dashboard": monitoring.render_dashboard(record, signals, samples.spec),
        "annotations": monitoring.render_annotations(record),
        "checks": monitoring.render_checks(record, signals, samples.spec),
    }


def most_telling(record: Record) -> Mapping[str, Any]:
    """Return the host with the most failed findings, among equals the one with the most errors."""
    hosts: list[Mapping[str, Any]] = record["hosts"]
    return max(
        hosts,
        key=lambda host: (
            sum(one["verdict"] == "fail" for one in host["findings"]),
            host["load"]["errors"],
            len(host["faults"]),
        ),
    )


def paths_of(source: str) -> dict[str, str]:
    """Return the paths of the files beside a record by kind."""
    return {kind: f"{source}{ending}" for kind, ending in ENDINGS.items()}


def write_follow_up(record: Record, source: str) -> None:
    """Write the files beside a record. Raises FileExistsError, before any is written, and FileError."""
    paths = paths_of(source)
    taken = [path for path in paths.values() if os.path.lexists(path)]
    if taken:
        raise FileExistsError(taken[0])
    for kind, text in make_follow_up(record, source).items():
        report_files.create_file(paths[kind], text)
