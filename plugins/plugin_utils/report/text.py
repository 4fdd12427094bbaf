# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as text: the ``.log`` file and what a person sees at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..record.clocks import align_clocks
from ..words import escape_line, log_line, outcome_text
from . import hosts_overview
from .details import render_details
from .ending import WIDTH, render_ending

Record = dict[str, Any]
_RULE = "=" * 72
_LEVELS = {"passed": "ok", "failed": "fail", "invalid": "fail", "aborted": "fail", "skipped": "warn"}


def render_banner(title: str) -> list[str]:
    """Return the first lines of a log."""
    return [_RULE, f"CHAOS EXPERIMENT: {escape_line(title)}", _RULE, ""]


def render_timeline(record: Record) -> list[str]:
    """Return the time-stamped lines of all hosts, oldest first; with several hosts each names its own.

    The order is that of the controller's clock: each host's own offset is taken off.
    """
    record = align_clocks(record)
    several = len(record["hosts"]) > 1
    lines = [
        (each["at"], host["host"] if several else "", each)
        for host in record["hosts"]
        for each in host["timeline"]
    ]
    lines.sort(key=lambda each: each[0])  # stable: lines of one instant stay in their order
    return [log_line(at, each["level"], each["text"], host) for at, host, each in lines]


def render_report(
    record: Record, files: Mapping[str, str], width: int = WIDTH, *, brief: bool = False
) -> list[str]:
    """Return what follows the time-stamped lines of a run: that it ended, the details, the last 30 lines.

    brief: for a screen, on which only the worst hosts of a long fleet stand in full.
    """
    ended = f"Experiment {record['experiment']['number']:02d} ended: {outcome_text(record)}"
    hosts = hosts_overview.render_hosts(record["hosts"], width) if len(record["hosts"]) > 1 else []
    return [
        log_line(record["ended_at"], _LEVELS[record["outcome"]], ended),
        *render_details(align_clocks(record), width, brief=brief),
        *(["", "HOSTS, the worst first, then the slowest:", *hosts] if hosts else []),
        "",
        *render_ending(record, files, width),
    ]


def render_log(record: Record, files: Mapping[str, str], width: int = WIDTH) -> list[str]:
    """Return the whole log of a run, from its record alone."""
    return [
        *render_banner(record["experiment"]["title"]),
        *render_timeline(record),
        *render_report(record, files, width),
    ]
