# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every fault is injected: announced, journaled, applied, proved, in this order and under the journal's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import clock, lease
from ..errors import ChaosError
from ..journal import Entry, Journal
from ..rundir import RunDir
from ..undo import undo
from . import Applied, Proof


@dataclass(frozen=True)
class Order:
    """A fault as the journal will hold it; ``ttl`` in seconds."""

    fault: str
    kind: str
    target: str
    plan: Sequence[str]
    undo: dict[str, Any]
    ttl: float


def inject(
    run: RunDir, order: Order, act: Callable[[Entry], Applied], *, lead: float, linger: float = 0.0
) -> Sequence[Proof]:
    """Inject a fault and return its proofs.

    Load and probes hear of it ``lead`` seconds before; ``linger`` seconds after it this returns.
    Raises ChaosError when the run was aborted meanwhile,
    when the journal cannot be written (nothing is changed then), or when applying fails (it is undone then).
    """
    lease.renew(run, lead + lease.LEASE_S)
    run.timeline("fault_imminent", fault=order.fault, kind=order.kind, target=order.target)
    clock.sleep(lead)
    run.timeline("waited", seconds=lead, why="lead")
    try:
        done = _apply(run, order, act)
    except Exception:
        # whatever half of it was done goes at once; what cannot go stays journaled for the watchdog
        with contextlib.suppress(Exception):
            undo(run, by="module", wanted=lambda entry: entry.fault == order.fault)
        raise
    for line in order.plan:
        run.log("ok", f"Fault {order.fault}: {line}", "fault")
    for proof in done.proofs:
        run.log(
            "ok" if proof.holds else "warn", f"Proof ({proof.source}): {proof.fact}: {proof.value}", "fault"
        )
    quiet(run, done.at + linger)
    return done.proofs


def quiet(run: RunDir, until: float) -> None:
    """Wait until a boottime and do nothing: on a small host the next module's start would disturb what is measured."""
    waited = max(0.0, until - clock.now())
    clock.sleep(waited)
    run.timeline("waited", seconds=round(waited, 3), why="linger")


def _apply(run: RunDir, order: Order, act: Callable[[Entry], Applied]) -> Applied:
    """Journal, apply, and tell the observers and the record, as one step that nobody can undo half-way."""
    journal = Journal(run)
    with journal.lock():
        if any(event["event"] in ("aborted", "finishing") for event in run.events()):
            raise ChaosError(
                f"The run was aborted before fault {order.fault} was injected; nothing was changed."
            )
        entry = journal.planned(order.fault, order.kind, order.target, order.plan, order.undo, order.ttl)
        done = act(entry)
        journal.applied(entry, done.at, **done.facts)
        run.timeline("phase", id=order.fault, fault=order.fault, t=done.at)
        run.timeline(
            "fault_injected", fault=order.fault, kind=order.kind, target=order.target, t=done.at, **done.facts
        )
        for proof in done.proofs:
            run.timeline("proof", fault=order.fault, **proof.fields())
    return done
