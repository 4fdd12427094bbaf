# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What moved first after a fault, and how long before users felt it: from the raw samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...record.samples import Samples
from ..page.words import to_epoch

Host = Mapping[str, Any]

#: Kernel events that tell of trouble, and how they read.
KERNEL = {
    "CONN_FAILED": "a connect was refused",
    "CONN_RESET": "a connection was reset",
    "CONN_GAVE_UP": "a connect was given up",
    "OOM_KILL": "a process was killed for its memory",
}


@dataclass(frozen=True)
class AlertSignal:
    """``source``: probe, kernel, engine, users or log. ``after_s``: seconds after the injection.

    ``lead_s``: seconds before the first order failed, None where no order failed.
    """

    fault: str
    source: str
    name: str
    words: str
    after_s: float
    lead_s: float | None


def first_signals(host: Host, samples: Samples) -> list[AlertSignal]:
    """Return for each fault what moved, the first first; the end of the next fault's time is the next injection."""
    faults = [one for one in host["faults"] if one["injected_at"]]
    begun = sorted(((to_epoch(one["injected_at"]), one) for one in faults), key=lambda each: each[0])
    out: list[AlertSignal] = []
    for index, (start, fault) in enumerate(begun):
        end = begun[index + 1][0] if index + 1 < len(begun) else samples.span.end
        moved = sorted(_moved(samples, start, end), key=lambda each: each[3])
        felt = next((at for source, _name, _words, at in moved if source == "users"), None)
        out += [
            AlertSignal(
                str(fault["id"]), source, name, words, at - start, None if felt is None else felt - at
            )
            for source, name, words, at in moved
        ]
    return out


def _moved(samples: Samples, start: float, end: float) -> Iterator[tuple[str, str, str, float]]:
    """Yield source, name, words and time of the first sign of each kind between two times."""
    requests = samples.requests
    # users feel a failure when its answer comes, or their patience ends
    told = (
        at + took / 1000 for at, took, state in zip(requests.at, requests.latency, requests.state) if state
    )
    failed = min((at for at in told if start <= at <= end), default=None)
    if failed is not None:
        yield "users", "orders", "an order failed", failed
    for name, band in samples.probes.items():
        turned = next((at for at in band.turned if start <= at <= end), None)
        if turned is not None:
            yield "probe", name, f"probe {name} went bad", turned
    for event, words in KERNEL.items():
        marks = samples.kernel.get(event)
        times = [line["at"] for line in marks.first.values() if start <= line["at"] <= end] if marks else []
        if times:
            yield "kernel", event, f"{words} ({event})", min(times)
    died = [(at, line) for at, line in samples.engine if line.get("action") == "die" and start <= at <= end]
    if died:
        yield (
            "engine",
            str(died[0][1].get("service")),
            f"container of {died[0][1].get('service')} ended",
            died[0][0],
        )
