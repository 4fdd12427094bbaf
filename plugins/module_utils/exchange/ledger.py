# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of the orders: what the exchange acknowledged against what its database holds. Pure.

Every order has a number of its own, so each is one of: acknowledged and stored (well), acknowledged and absent
(**lost**), stored more than once (**duplicated**), stored though its sender saw an error or nothing (**applied
without acknowledgement**), or neither (refused honestly).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..run import timeline
from ..run.timeline import Event

#: An acknowledgement further before the kill than this (s) says nothing about the loss of the last milliseconds.
_LOOK_BACK_S = 1.0
LISTED = 100
#: The phase in which everything an injection brings happens, but no fault. Nothing is killed in it, so it has its own
#: counts and no say in what would have shown.
PLACEBO = "placebo"


@dataclass(frozen=True)
class FaultWindow:
    """One fault as the ledger sees it: when it struck, and when the exchange was steady again.

    killed_at, ended_at: boottime seconds. An order belongs to the first fault that had not ended when the order
    was to be sent: what a crash loses was acknowledged before it.
    """

    fault: str
    killed_at: float
    ended_at: float


@dataclass
class Counts:
    """The ledger's counts. None stands for what nobody could know."""

    acknowledged: int = 0
    lost: int | None = 0
    duplicated: int | None = 0
    unacknowledged_applied: int | None = 0
    shortest_visible_loss_ms: float | None = None
    in_database: int | None = 0
    lost_numbers: list[int] = field(default_factory=list)


def faults_struck(events: Iterable[Event]) -> list[FaultWindow]:
    """Read the faults out of a run's timeline, in the order they struck; one never steady again has no end.

    The placebo stands among them, as if it had struck at its end.
    """
    struck: dict[str, float] = {}
    ended: dict[str, float] = {}
    for event in events:
        fault, t = event.get("fault"), event.get("t")
        if event.get("event") == timeline.PLACEBO_END and isinstance(t, (int, float)):
            struck[PLACEBO] = ended[PLACEBO] = float(t)
        if not isinstance(fault, str) or not isinstance(t, (int, float)):
            continue
        if event["event"] == timeline.FAULT_INJECTED:
            struck.setdefault(fault, float(t))
        elif event["event"] == timeline.STEADY and fault in struck:
            ended.setdefault(fault, float(t))
    return [
        FaultWindow(fault, at, ended.get(fault, float("inf")))
        for fault, at in sorted(struck.items(), key=lambda item: item[1])
    ]


def reconcile_orders(
    attempts: Sequence[Mapping[str, Any]],
    in_database: Mapping[int, int] | None,
    faults: Sequence[FaultWindow],
) -> dict[str, Any]:
    """Hold the attempts (lines of load.jsonl) against the database (number -> rows); None: it could not be asked.

    Returns the counts of the whole run and, under ``per_fault``, of each fault. A stored number of which no
    attempt is known (the observer died with the line unwritten) was never acknowledged to anybody and counts as
    applied without acknowledgement, of the run as a whole.
    """
    orders = {int(line["n"]): line for line in attempts if line.get("n") is not None}
    whole = _count(orders, in_database)
    visible = [shortest_visible_loss_ms(orders.values(), fault.killed_at) for fault in faults]
    killed = [loss for fault, loss in zip(faults, visible) if fault.fault != PLACEBO or len(faults) == 1]
    if killed and all(value is not None for value in killed):
        whole.shortest_visible_loss_ms = max(value for value in killed if value is not None)
    per_fault = {}
    for fault, loss in zip(faults, visible):
        own = {number: line for number, line in orders.items() if _belongs(line, faults) == fault.fault}
        stored = in_database and {number: rows for number, rows in in_database.items() if number in own}
        counts = _count(own, stored)
        counts.shortest_visible_loss_ms = loss
        per_fault[fault.fault] = asdict(counts)
    return {**asdict(whole), "per_fault": per_fault}


def _count(orders: Mapping[int, Mapping[str, Any]], stored: Mapping[int, int] | None) -> Counts:
    acknowledged = {number for number, line in orders.items() if line.get("ok")}
    if stored is None:
        return Counts(len(acknowledged), None, None, None, None, None)
    present = {number: rows for number, rows in stored.items() if rows > 0}
    lost = sorted(acknowledged - present.keys())
    return Counts(
        acknowledged=len(acknowledged),
        lost=len(lost),
        duplicated=sum(rows > 1 for rows in present.values()),
        unacknowledged_applied=len(present.keys() - acknowledged),
        in_database=sum(present.values()),
        lost_numbers=lost[:LISTED],
    )


def _belongs(line: Mapping[str, Any], faults: Sequence[FaultWindow]) -> str | None:
    return next((fault.fault for fault in faults if float(line["at"]) < fault.ended_at), None)


def shortest_visible_loss_ms(attempts: Iterable[Mapping[str, Any]], killed_at: float) -> float | None:
    """Return the shortest loss in ms that the orders around a kill would surely have shown; None if none would.

    What a killed store loses is what it took last: a stretch of time that ends at the kill. Its length is counted
    on the clock of those who were told "done": a loss of x ms is that of all orders acknowledged in the last x ms
    before the kill. It shows as soon as one order was acknowledged in that stretch, so the last acknowledgement
    before the kill decides. One that came after the kill is left out, though its order was stored before: that
    would only flatter. (On the store's own clock each order is older by its answer's way back.)

    killed_at: boottime at which the kill was sent, not when the process was seen to be gone: that comes tens of
    milliseconds after the last commit.
    """
    ends = [float(line["end"]) for line in attempts if line.get("ok")]
    near = [end for end in ends if 0 <= killed_at - end <= _LOOK_BACK_S]
    return round((killed_at - max(near)) * 1000, 3) if near else None
