# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every fault is injected: announced, journaled, applied, proved, in this order and under the journal's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..run import instant, lease, timeline
from ..run.folder import RunDir
from ..run.instant import Instant
from ..run.journal import Entry, Journal
from ..run.liveness import lost_watchdogs
from .contract import Applied, Proof
from .undo import undo


@dataclass(frozen=True)
class Injection:
    """A fault as the journal will hold it; ``ttl`` in seconds."""

    fault: str
    kind: str
    target: str
    plan: Sequence[str]
    undo: dict[str, Any]
    ttl: float


def inject_fault(
    run: RunDir,
    order: Injection,
    act: Callable[[Entry], Applied],
    *,
    lead: float,
    linger: float = 0.0,
    agreed: Instant | None = None,
) -> Sequence[Proof]:
    """Inject a fault and return its proofs.

    Load and probes hear of it ``lead`` seconds before; ``linger`` seconds after it this returns. With ``agreed`` it is
    journaled shortly before that instant, and ``act`` is expected to wait for it before its change.
    Raises ChaosError when the run was aborted meanwhile,
    when the journal cannot be written (nothing is changed then), or when applying fails (it is undone then).
    """
    waiting = 0.0 if agreed is None else max(0.0, agreed.left)
    lease.renew_lease(run, waiting + lead + lease.LEASE_S)
    if agreed is not None:
        _arm(run, order, lead, agreed)
    announced = float(
        run.write_event(timeline.FAULT_IMMINENT, fault=order.fault, kind=order.kind, target=order.target)["t"]
    )
    if agreed is None:
        clock.sleep(lead)
    else:
        agreed.until(instant.AHEAD_S)
    run.write_event(timeline.WAITED, seconds=round(clock.now() - announced, 3), why="lead")
    try:
        done = _apply(run, order, act, agreed)
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
    run.write_event(timeline.WAITED, seconds=round(waited, 3), why="linger")


def _arm(run: RunDir, order: Injection, lead: float, agreed: Instant) -> None:
    """Wait for the moment of the announcement, and say how this host stands to the instant."""
    since, left = clock.now(), agreed.left
    sure = instant.doubt_ms(run, since) is not None
    run.log(
        "info" if sure else "warn",
        f"Fault {order.fault}: {instant.describe_instant(run, agreed.at)}",
        "fault",
    )
    if left < 0:
        run.log("warn", f"Fault {order.fault}: armed {-left:.2f} s late, so it is injected at once", "fault")
    elif left < max(lead, instant.AHEAD_S):
        run.log("warn", f"Fault {order.fault}: armed only {left:.2f} s before the instant", "fault")
    agreed.until(max(lead, instant.AHEAD_S))
    run.write_event(timeline.WAITED, seconds=round(clock.now() - since, 3), why="armed")


def _apply(
    run: RunDir, order: Injection, act: Callable[[Entry], Applied], agreed: Instant | None = None
) -> Applied:
    """Journal, apply, and tell the observers and the record, as one step that nobody can undo half-way."""
    journal = Journal(run)
    with journal.lock():
        known = run.read_timeline()
        if known.aborted() or known.being_ended:
            raise ChaosError(
                f"The run was aborted before fault {order.fault} was injected; nothing was changed."
            )
        if lost_watchdogs(run):
            raise ChaosError(
                f"No watchdog of this run is alive any more to undo fault {order.fault} in time; nothing was changed."
            )
        # what the fault waits for once it is journaled is no part of its time to live
        ttl = order.ttl + (0.0 if agreed is None else max(0.0, agreed.left))
        entry = journal.write_planned(order.fault, order.kind, order.target, order.plan, order.undo, ttl)
        done = act(entry)
        if agreed is not None:
            done = replace(done, proofs=[*done.proofs, *_punctuality(run, done, agreed)])
        journal.write_applied(entry, done.at, **done.facts)
        run.write_event(timeline.PHASE, id=order.fault, fault=order.fault, t=done.at)
        run.write_event(
            timeline.FAULT_INJECTED,
            fault=order.fault,
            kind=order.kind,
            target=order.target,
            t=done.at,
            **done.facts,
        )
        for proof in done.proofs:
            run.write_event(timeline.PROOF, fault=order.fault, **proof.fields())
    return done


def _punctuality(run: RunDir, done: Applied, agreed: Instant) -> list[Proof]:
    """How long after the instant the fault began, and how sure that is; the spread over the wave rests on it."""
    late, doubt = 1000 * (done.at - agreed.target), instant.doubt_ms(run, done.at)
    return [
        Proof("fault", instant.STARTED, round(late, 3), done.at, abs(late) <= instant.TOLERANCE_MS),
        Proof(
            "fault",
            instant.DOUBT,
            None if doubt is None else round(doubt + 1000 * done.within, 3),
            done.at,
            doubt is not None,
        ),
    ]
