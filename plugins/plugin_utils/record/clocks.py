# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One time for the hosts of a fleet: what their clocks said, taken to the controller's clock.

A record keeps each host's own times. Where times of several hosts stand beside each other, the measured offset is
taken off; what is left of the doubt is each host's uncertainty. A host alone keeps its own times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..words import parse_time

Record = dict[str, Any]
_TIMED = {
    "faults": ("injected_at", "undone_at"),
    "phases": ("started_at", "ended_at"),
    "timeline": ("at",),
    "proof": ("at",),
}


def clock_offsets(record: Mapping[str, Any]) -> dict[str, float]:
    """Return by host the milliseconds its clock is ahead; empty for one host, which nothing stands beside."""
    if len(record["hosts"]) < 2:
        return {}
    known = {str(host["host"]): host["clock"]["offset_ms"] for host in record["hosts"]}
    return {name: float(offset) for name, offset in known.items() if offset}


def correct_time(at: str, offset_ms: float) -> str:
    """Return ISO 8601 time ``at`` of a host's clock as the controller's clock had it; no time stays as it is."""
    if not offset_ms:
        return at
    try:
        moved = parse_time(at) - timedelta(milliseconds=offset_ms)
    except (ValueError, OverflowError):
        return at
    return f"{moved.isoformat(timespec='milliseconds')[:-6]}Z"


def align_clocks(record: Record) -> Record:
    """Return the record with the times of all its hosts on the controller's clock; the one given stays as it is."""
    known = clock_offsets(record)
    if not known:
        return record
    return {**record, "hosts": [_host(host, known.get(str(host["host"]), 0.0)) for host in record["hosts"]]}


def _host(host: Mapping[str, Any], offset: float) -> Record:
    moved = {key: _moved(host[key], _TIMED[key], offset) for key in ("faults", "phases", "timeline")}
    for fault in moved["faults"]:
        fault["proof"] = _moved(fault["proof"], _TIMED["proof"], offset)
    return {**host, **moved}


def _moved(items: Sequence[Mapping[str, Any]], keys: Sequence[str], offset: float) -> list[Record]:
    return [
        {**item, **{key: correct_time(item[key], offset) for key in keys if item[key] is not None}}
        for item in items
    ]
