# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block of statistics that ends the ``.log.bpf`` file. Pure: events in, at most ten lines out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.common import stats
from ...module_utils.common.shapes import Counted
from ..words import escape_line
from .event_lines import errno_name, render_peer, signal_name

_MOST_NAMED = 4
#: Units of histograms as a person reads them: (name, how many of the unit are one).
_UNITS = {"us": ("ms", 1000.0)}


def render_statistics(
    events: Sequence[Mapping[str, Any]],
    capture: Mapping[str, Any] | None = None,
    histograms: Sequence[Counted] = (),
) -> list[str]:
    """Return the block over events (as in bpf.jsonl; controls are left out) and what capture.json says of them.

    histograms: the lines of histograms.jsonl, of the whole run.
    """
    ours = [event for event in events if not event.get("control")]
    names = Counter(str(event.get("event")) for event in ours)
    lines = ["Statistics", _line("events", f"{len(ours)}{_beside(ours, capture)}: {_top(names, 8)}")]
    if ours:
        lines.append(_line("services", _top(Counter(_service(event) for event in ours))))
        lines += _connections(ours, names)
    exits = [event for event in ours if event.get("event") == "PROC_EXIT"]
    if exits:
        lines.append(_line("exits", _top(Counter(_exit(event) for event in exits))))
    if any(line.get("buckets") for line in histograms):
        lines.append(_line("histograms", _histograms(histograms)))
    if capture is not None:
        lines.append(_line("capture", _capture(capture)))
    return lines


def _histograms(lines: Sequence[Counted]) -> str:
    """The 99th percentile of each series, over all phases and services."""
    series: dict[tuple[str, str], list[Sequence[float]]] = {}
    for line in lines:
        key = (escape_line(line.get("series")), str(line.get("unit")))
        series.setdefault(key, []).extend(line.get("buckets") or [])
    found = []
    for (name, unit), buckets in series.items():
        p99 = stats.percentile_of_buckets(buckets, 99)
        if p99 is not None:
            word, many = _UNITS.get(unit, (unit, 1.0))
            found.append(f"{name} {p99 / many:.3g} {escape_line(word)}")
    return f"p99 up to: {', '.join(found)}"


def _connections(ours: Sequence[Mapping[str, Any]], names: Counter[str]) -> list[str]:
    attempts = [event for event in ours if event.get("event") == "CONN_ATTEMPT"]
    failed = [event for event in ours if event.get("event") == "CONN_FAILED"]
    resets = [event for event in ours if event.get("event") == "CONN_RESET"]
    sent = sum(event.get("direction") == "sent" for event in resets)
    lines = []
    if attempts:
        lines.append(_line("connects to", _top(Counter(map(render_peer, attempts)))))
    if failed:
        numbers = [event.get("errno") for event in failed]
        errors = Counter(errno_name(int(number)) if number else "errno not known" for number in numbers)
        lines.append(_line("failed with", _top(errors)))
    times = sorted(
        float(event["duration_ms"])
        for event in ours
        if event.get("event") == "CONN_OK" and event.get("duration_ms") is not None
    )
    if times:
        text = f"{_rank(times, 0.5):.3g} ms median, {times[-1]:.3g} ms longest, of {len(times)}"
        lines.append(_line("connected in", text))
    if names.keys() & {"CONN_RESET", "TCP_RETRANSMIT", "CONN_GAVE_UP"}:
        text = f"{len(resets) - sent} resets received, {sent} sent, {names['TCP_RETRANSMIT']} retransmits"
        lines.append(_line("trouble", f"{text}, {names['CONN_GAVE_UP']} given up unanswered"))
    return lines


def _beside(ours: Sequence[Any], capture: Mapping[str, Any] | None) -> str:
    """Events that were counted but are not among those given (past the limit of what is written)."""
    total = int((capture or {}).get("events") or 0)
    return f" of {total} seen" if total > len(ours) else ""


def _capture(capture: Mapping[str, Any]) -> str:
    control = {True: "seen", False: "NOT seen", None: "not made"}[capture.get("positive_control")]
    programs = ", ".join(map(escape_line, capture.get("programs") or [])) or "no programs"
    cpu = capture.get("cpu_s")
    words = [
        f"{escape_line(capture.get('status') or 'absent')} ({programs})",
        f"{int(capture.get('lost') or 0)} lost",
        f"our own connect {control}",
    ]
    return ", ".join([*words, *([] if cpu is None else [f"CPU {float(cpu):.2f} s"])])


def _service(event: Mapping[str, Any]) -> str:
    return escape_line(event.get("service") or "?")


def _exit(event: Mapping[str, Any]) -> str:
    number = event.get("exit_signal")
    end = f"signal {signal_name(int(number))}" if number else f"status {event.get('exit_status')}"
    return f"{_service(event)} by {end}" if number else f"{_service(event)} with {end}"


def _top(counts: Counter[str], most: int = _MOST_NAMED) -> str:
    shown = [f"{escape_line(name)} {count}" for name, count in counts.most_common(most)]
    rest = sum(counts.values()) - sum(count for _name, count in counts.most_common(most))
    return ", ".join([*shown, *([f"others {rest}"] if rest else [])]) or "none"


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _line(name: str, text: str) -> str:
    return f"  {name + ':':<14}{text}"
