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
from .proving import note_proof, with_untried
from .registry import describe_kind
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
    injection: Injection,
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
    waiting = 0.0 if agreed is None else max(0.0, agreed.seconds_left)
    lease.renew_lease(run, waiting + lead + lease.LEASE_S)
    if agreed is not None:
        _arm(run, injection, lead, agreed)
    announced = float(
        run.write_event(
            timeline.FAULT_IMMINENT,
            fault=injection.fault,
            kind=injection.kind,
            target=injection.target,
            ends_target=describe_kind(injection.kind).ends_target,
        )["t"]
    )
    if agreed is None:
        clock.sleep(lead)
    else:
        agreed.until(instant.AHEAD_S)
    run.write_event(timeline.WAITED, seconds=round(clock.read() - announced, 3), why="lead")
    try:
        done = _apply(run, injection, act, agreed)
    except Exception:
        # whatever half of it was done goes at once; what cannot go stays journaled for the watchdog
        with contextlib.suppress(Exception):
            undo(run, by="module", wanted=lambda entry: entry.fault == injection.fault)
        raise
    for line in injection.plan:
        run.log("ok", f"Fault {injection.fault}: {line}", "fault")
    for proof in done.proofs:
        level = "ok" if proof.holds else "info" if proof.holds is None else "warn"
        run.log(level, f"Proof ({proof.source}): {proof.fact}: {proof.value}", "fault")
    wait_quietly(run, done.at + linger)
    return done.proofs


def wait_quietly(run: RunDir, until: float) -> None:
    """Wait until a boottime and do nothing: on a small host the next module's start would disturb what is measured."""
    waited = max(0.0, until - clock.read())
    clock.sleep(waited)
    run.write_event(timeline.WAITED, seconds=round(waited, 3), why="linger")


def _arm(run: RunDir, injection: Injection, lead: float, agreed: Instant) -> None:
    """Wait for the moment of the announcement, and say how this host stands to the instant."""
    since, left = clock.read(), agreed.seconds_left
    sure = instant.doubt_ms(run, since) is not None
    run.log(
        "info" if sure else "warn",
        f"Fault {injection.fault}: {instant.describe_instant(run, agreed.at)}",
        "fault",
    )
    if left < 0:
        run.log(
            "warn", f"Fault {injection.fault}: armed {-left:.2f} s late, so it is injected at once", "fault"
        )
    elif left < max(lead, instant.AHEAD_S):
        run.log("warn", f"Fault {injection.fault}: armed only {left:.2f} s before the instant", "fault")
    agreed.until(max(lead, instant.AHEAD_S))
    run.write_event(timeline.WAITED, seconds=round(clock.read() - since, 3), why="armed")


def _apply(
    run: RunDir, injection: Injection, act: Callable[[Entry], Applied], agreed: Instant | None = None
) -> Applied:
    """Journal, apply, and tell the observers and the record, as one step that nobody can undo half-way."""
    journal = Journal(run)
    with journal.lock():
        known = run.read_timeline()
        if known.aborted() or known.being_ended:
            raise ChaosError(
                f"The run was aborted before fault {injection.fault} was injected; nothing was changed."
            )
        if lost_watchdogs(run):
            raise ChaosError(
                f"No watchdog of this run is alive any more to undo fault {injection.fault} in time; "
                "nothing was changed."
            )
        # what the fault waits for once it is journaled is no part of its time to live
        ttl = injection.ttl + (0.0 if agreed is None else max(0.0, agreed.seconds_left))
        entry = journal.write_planned(
            injection.fault, injection.kind, injection.target, injection.plan, injection.undo, ttl
        )
        kind = describe_kind(injection.kind)
        done = act(entry)
        done = replace(done, proofs=with_untried(done.proofs, kind, done.at, at_end=False))
        if agreed is not None:
            done = replace(done, proofs=[*done.proofs, *_punctuality(run, done, agreed)])
        journal.write_applied(entry, done.at, **done.facts)
        run.write_event(timeline.PHASE, id=injection.fault, fault=injection.fault, t=done.at)
        run.write_event(
            timeline.FAULT_INJECTED,
            fault=injection.fault,
            kind=injection.kind,
            target=injection.target,
            t=done.at,
            ends_target=kind.ends_target,
            in_one_blow=kind.in_one_blow,
            waits_for_disk=kind.waits_for_disk,
            **done.facts,
        )
        for proof in done.proofs:
            note_proof(run, injection.fault, proof, kind)
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
