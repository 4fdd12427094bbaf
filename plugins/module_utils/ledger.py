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

#: No store that was killed has recovered and committed anew this soon (s): an acknowledgement that arrives
#: within it after the kill is of a commit before the kill.
_AFTERGLOW_S = 0.05
#: An acknowledgement further before the kill than this (s) says nothing about the loss of the last milliseconds.
_LOOK_BACK_S = 1.0
LISTED = 100


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


def fault_windows(timeline: Iterable[Mapping[str, Any]]) -> list[FaultWindow]:
    """Read the faults out of a run's timeline, in the order they struck; one never steady again has no end."""
    struck: dict[str, float] = {}
    ended: dict[str, float] = {}
    for event in timeline:
        fault, t = event.get("fault"), event.get("t")
        if not isinstance(fault, str) or not isinstance(t, (int, float)):
            continue
        if event["event"] == "fault_injected":
            # The engine takes tens of milliseconds to kill; what counts is when the process was gone.
            struck.setdefault(fault, float(event.get("exited_at") or t))
        elif event["event"] == "steady" and fault in struck:
            ended.setdefault(fault, float(t))
    return [
        FaultWindow(fault, at, ended.get(fault, float("inf")))
        for fault, at in sorted(struck.items(), key=lambda item: item[1])
    ]


def reconcile(
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
    if visible and all(value is not None for value in visible):
        whole.shortest_visible_loss_ms = max(value for value in visible if value is not None)
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

    What a killed store loses is what it committed last: a stretch of time that ends at the kill. It is seen only
    if an acknowledged order was committed in it. When exactly an order was committed is not known to its sender,
    but not before it was sent, and not after its acknowledgement came. So of the orders acknowledged by the time
    of the kill (or within the next 50 ms, on which no restarted store can have worked), the one sent last decides:
    a loss that reaches back to its sending contains it for certain, one shorter may fall behind it unseen.
    """
    known = [line for line in attempts if line.get("ok") and float(line["end"]) <= killed_at + _AFTERGLOW_S]
    sent = [float(line["sent"]) for line in known if 0 <= killed_at - float(line["sent"]) <= _LOOK_BACK_S]
    return round((killed_at - max(sent)) * 1000, 3) if sent else None
