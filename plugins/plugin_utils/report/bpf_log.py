# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``.log.bpf`` file: one line per kernel event, then the block of statistics.

The words of a line and of the statistics are the capture's own (``module_utils``); this file brings the events of
all hosts into order and sees to it that none is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...module_utils.common.clock import read_date
from ...module_utils.common.shapes import Counted, Recorded, is_histogram, is_instant
from ..record.clocks import clock_offsets, correct_time
from ..record.missing_host import is_stub
from ..record.raw_lines import read_lines
from ..record.report_files import raw_path
from .event_lines import format_event
from .event_statistics import render_statistics

Event = dict[str, Any]
Record = Mapping[str, Any]
_KEY = ("t", "event", "pid", "family", "laddr", "lport", "raddr", "rport", "errno")


def event_key(event: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes an event the same event, live and in the raw samples."""
    values = (event.get(name) for name in _KEY)
    return tuple(value if isinstance(value, (str, int, float)) else str(value) for value in values)


def render_events(
    events: Iterable[tuple[str, Event]], several: bool, offsets: Mapping[str, float] | None = None
) -> list[str]:
    """Return a line for each (host, event with ``at``); with several hosts each names its own.

    offsets: by host, milliseconds by which its clock is ahead; they are taken off.
    """
    known = offsets or {}
    return [
        format_event(
            event, correct_time(str(event.get("at") or ""), known.get(host, 0.0)), host if several else None
        )
        for host, event in events
    ]


def read_raw(path: str) -> list[Event]:
    """Return the events of a raw file, each with ``at`` (ISO 8601) added, oldest first; none if there is no file.

    A file whose first line is ``{"anchor": {"boottime", "realtime", …}}`` tells how its boottime reads in UTC.
    A file cut off in the middle gives what is whole.
    """
    events: list[Event] = []
    offset: float | None = None
    # missing or damaged: the record's own counts say how many there were
    for item in read_lines(path):
        anchor = item.get("anchor")
        if isinstance(anchor, dict):
            real, boot = anchor.get("realtime"), anchor.get("boottime")
            offset = real - boot if is_instant(real) and is_instant(boot) else offset
        elif "event" in item and is_instant(item.get("t")):
            events.append(item)
    for event in events:
        if offset is not None and not isinstance(event.get("at"), str):
            event["at"] = _iso(event["t"] + offset)
    return sorted(events, key=lambda event: float(event["t"]))


def read_histograms(record: Record, stem: str) -> list[Recorded]:
    """Return what the kernels of all hosts kept, as far as it was carried home."""
    found = [read_lines(raw_path(stem, host["host"], "histograms")) for host in record["hosts"]]
    return [item for items in found for item in items if "series" in item and is_histogram(item)]


def find_unwritten(
    record: Record, stem: str, live: Mapping[str, Sequence[Event]]
) -> tuple[list[tuple[str, Event]], list[Event]]:
    """Return the (host, event) pairs that were not written yet, in order, and all events for the statistics.

    The order is that of the controller's clock; the events keep the times of their hosts.
    live: by host, the events written while the run went on. Our own connects (``control``) are not shown.
    """
    fresh: list[tuple[str, Event]] = []
    everything: list[Event] = []
    for host in record["hosts"]:
        name = host["host"]
        known = live.get(name, ())
        raw = read_raw(raw_path(stem, name, "bpf"))
        written = {event_key(event) for event in known}
        new = [event for event in raw if event_key(event) not in written and not event.get("control")]
        _fill_times(raw, known)
        fresh += [(name, event) for event in new]
        everything += raw or known
    ahead = clock_offsets(record)
    fresh.sort(key=lambda each: correct_time(str(each[1].get("at") or ""), ahead.get(each[0], 0.0)))
    return fresh, everything


def _fill_times(raw: Iterable[Event], known: Sequence[Event]) -> None:
    """Give events without a wall time one, from an event that was seen live with both its times."""
    pair = next((each for each in known if _wall(each) is not None and is_instant(each.get("t"))), None)
    wall = None if pair is None else _wall(pair)
    if pair is None or wall is None:
        return
    for event in raw:
        if not isinstance(event.get("at"), str) and is_instant(event.get("t")):
            event["at"] = _iso(wall + event["t"] - pair["t"])


def _wall(event: Event) -> float | None:
    """Return when an event was by the wall clock, epoch seconds; None if it does not tell."""
    try:
        return datetime.fromisoformat(str(event.get("at")).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def render_block(record: Record, events: Sequence[Event], kept: Sequence[Counted] = ()) -> list[str]:
    """Return the block of statistics over the events of all hosts and what their kernels kept."""
    hosts = record["hosts"]
    # one without a run, spared or lost, misses no capture
    captures = [host["bpf"] for host in hosts if len(hosts) == 1 or not is_stub(host)] or [hosts[0]["bpf"]]
    capture = captures[0] if len(captures) == 1 else _together(captures)
    return ["", *render_statistics(list(events), capture, kept)]


def _together(captures: Sequence[Mapping[str, Any]]) -> Recorded:
    """Return the captures of several hosts as one: the worst status, the sums of the counts."""
    order = ("failed", "stopped", "absent", "attached")
    controls = [each["positive_control"] for each in captures]
    return {
        "status": min((each["status"] for each in captures), key=order.index),
        "programs": sorted({program for each in captures for program in each["programs"]}),
        "events": sum(each["events"] for each in captures),
        "lost": sum(each["lost"] for each in captures),
        "positive_control": False if False in controls else None if None in controls else True,
        "cpu_s": sum(each["cpu_s"] or 0 for each in captures),
    }


def _iso(epoch: float) -> str:
    return f"{read_date(epoch).isoformat(timespec='milliseconds')[:-6]}Z"
