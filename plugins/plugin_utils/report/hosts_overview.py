# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts in few words: which is worst and why, how they are named, and the table that compares them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..record.merge import OUTCOMES, QUESTIONS
from ..words import (
    clip_text,
    count_columns,
    escape_line,
    format_number,
    leftover_text,
    pad_text,
    verdict_mark,
)
from .finding_lines import finding_text

Host = Mapping[str, Any]
#: So many hosts are named where several share something; of more, the number is told.
NAMED = 3
#: So many hosts stand in a table or in full on a screen; of a longer fleet the others are counted.
SHOWN = 10
_NARROWEST = 8


def rank_outcome(host: Host) -> int:
    """Return how bad a host's outcome is, 0 for the worst: not restored, aborted, invalid, failed, skipped, passed."""
    return 0 if host["verdicts"]["restored"] == "fail" else 1 + OUTCOMES.index(str(host["outcome"]))


def is_bad(host: Host) -> bool:
    """Return True if a host turns its fleet red; one that was skipped has shown nothing, and does not."""
    return rank_outcome(host) <= OUTCOMES.index("skipped")


def rank_hosts(hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts worst first, among equals the slowest to recover first; a recovery never seen is slowest."""

    def slowness(host: Host) -> float:
        seconds = host["questions"]["recovery_s"]
        return float("inf") if seconds is None else float(seconds)

    return sorted(hosts, key=lambda host: (rank_outcome(host), -slowness(host)))


def pick_worst(hosts: Sequence[Host]) -> tuple[list[Host], list[Host]]:
    """Return the hosts that are shown, worst first, and those that are only counted.

    One host more than SHOWN is shown, too: the line that counts it would be as long.
    """
    order = rank_hosts(hosts)
    return (order, []) if len(order) <= SHOWN + 1 else (order[:SHOWN], order[SHOWN:])


def name_hosts(hosts: Sequence[Host]) -> str:
    """Return ``a, b, c``, or ``12 hosts`` where there are too many to name."""
    if len(hosts) > NAMED:
        return f"{len(hosts)} hosts"
    return ", ".join(escape_line(host["host"]) for host in hosts)


def say_where(among: Sequence[Host], hosts: Sequence[Host]) -> str:
    """Return `` on a, b`` where that is news: of several hosts, and not if it is none or all of them."""
    return f" on {name_hosts(among)}" if among and len(among) < len(hosts) else ""


def count_outcomes(hosts: Iterable[Host]) -> str:
    """Return ``2 passed, 1 failed``: how many hosts ended how, the good ones first."""
    count = Counter(str(host["outcome"]) for host in hosts)
    return ", ".join(f"{count[each]} {each}" for each in reversed(OUTCOMES) if count[each])


def explain_host(host: Host) -> str:
    """Return in a few words why a host did not pass: what is left behind, what stopped it, which finding failed."""
    verdicts, notes = host["verdicts"], host["notes"]
    if verdicts["restored"] == "fail":
        left = [leftover_text(each) for each in host["leftovers"]]
        return f"not restored: {_first(left)}" if left else "not restored"
    if host["outcome"] in ("aborted", "invalid", "skipped"):
        return escape_line(notes[0]) if notes else str(host["outcome"])
    failed = [finding_text(each) for each in host["findings"] if each["verdict"] == "fail"]
    if verdicts["hypothesis"] == "fail" and failed:
        return f"hypothesis: {_first(failed)}"
    open_ones = [f"{key} {verdicts[key]}" for key in QUESTIONS if verdicts[key] != "pass"]
    return ", ".join(open_ones)


def _first(texts: Sequence[str]) -> str:
    return f"{texts[0]}{f', and {len(texts) - 1} more' if len(texts) > 1 else ''}"


def explain_hosts(hosts: Sequence[Host]) -> list[str]:
    """Return ``host-2 (hypothesis: Recovery: 71 s (≤ 60 s))`` of each host, worst first; one reason stands once."""
    grouped: dict[str, list[Host]] = {}
    for host in rank_hosts(hosts):
        grouped.setdefault(explain_host(host), []).append(host)
    return [f"{name_hosts(group)} ({reason})" for reason, group in grouped.items()]


def render_clock(host: Host) -> str:
    """Return ``+3200 ± 0.4``, milliseconds by which a host's clock is ahead of the controller's; ``?`` if unknown."""
    offset, doubt = (host["clock"][key] for key in ("offset_ms", "uncertainty_ms"))
    if offset is None:
        return "?"
    sign, within = "+" if offset >= 0 else "-", "?" if doubt is None else format_number(doubt)
    return f"{sign}{format_number(abs(offset))} ± {within}"


def render_hosts(hosts: Sequence[Host], width: int) -> list[str]:
    """Return the table of the hosts, at most ``width`` columns wide: worst first, of a long fleet the worst ten."""
    shown, others = pick_worst(hosts)
    rows = [_cells(host) for host in shown]
    lines = _columns(rows, width, words=True)
    if max(map(count_columns, lines)) > width:
        lines = _columns(rows, width, words=False)
    out = lines[:1]
    for host, line in zip(shown, lines[1:]):
        out.append(line)
        if host["outcome"] != "passed" or is_bad(host):
            out.append(clip_text(f"      {explain_host(host)}", width))
    if others:
        out.append(f"  … and {len(others)} more: {count_outcomes(others)}")
    return out


_WORDS = (
    "host",
    "wave",
    "outcome",
    "effect",
    "hypothesis",
    "restored",
    "recovery s",
    "lost",
    "errors",
    "clock ms",
)
_MARKS = ("host", "wave", "outcome", "eff", "hyp", "res", "rec. s", "lost", "errors", "clock ms")
_RIGHT = ("wave", "recovery s", "rec. s", "lost", "errors", "clock ms")


def _cells(host: Host) -> list[str]:
    seen, loss, seconds = (
        host["questions"]["users_saw"],
        host["ledger"]["lost"],
        host["questions"]["recovery_s"],
    )
    return [
        escape_line(host["host"]),
        str(host["wave"]),
        str(host["outcome"]),
        *(str(host["verdicts"][key]) for key in QUESTIONS),
        "?" if seconds is None else format_number(seconds),
        "?" if loss is None else str(loss),
        "?" if seen["what"] == "unknown" else str(seen["errors"]),
        render_clock(host),
    ]


def _columns(rows: Sequence[Sequence[str]], width: int, *, words: bool) -> list[str]:
    """Return heading and rows; without ``words`` a verdict is its mark, and long names of hosts are cut."""
    heading = _WORDS if words else _MARKS
    marked = [
        [
            *row[:3],
            *(f"{verdict_mark(each)} {each}" if words else verdict_mark(each) for each in row[3:6]),
            *row[6:],
        ]
        for row in rows
    ]
    widths = [max(count_columns(row[index]) for row in (heading, *marked)) for index in range(len(heading))]
    if not words:
        rest = 2 + sum(widths[1:]) + 2 * (len(widths) - 1)
        widths[0] = min(widths[0], max(width - rest, _NARROWEST))
    out = []
    for row in (heading, *marked):
        cells = [
            pad_text(
                clip_text(cell, widths[index]) if index == 0 else cell,
                widths[index],
                right=heading[index] in _RIGHT,
            )
            for index, cell in enumerate(row)
        ]
        out.append(f"  {'  '.join(cells)}".rstrip())
    return out
