# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What independent observers saw of a kill: the kernel's tracer, the engine's events, the probes of the ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...evidence.evidence import Evidence, Sample
from ...evidence.phases import Window, engine_events, kernel_exits
from .proof import ProofOutcome, store_samples
from .registry import observed_proofs, share_in_force, spared_targets

SIGKILLED = 137
#: A death later than this after the kill was not its work.
_DIES_WITHIN_S = 5.0


@observed_proofs
def kill_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return what was seen of each target's end and of its port."""
    return [
        proof
        for service in window.targets
        for proof in (
            *_exit(evidence, window, service),
            *_engine(evidence, window, service),
            *_port(evidence, window, service),
        )
    ]


@spared_targets
def unproved_kills(evidence: Evidence, window: Window) -> list[str]:
    """Return those of several targets whose end neither kernel nor engine saw; one proof must not do for all."""
    if len(window.targets) == 1:
        return []
    ended = set()
    for event in evidence.timeline.injections(window.id):
        ended |= {kill["service"] for kill in event.get("kills") or [] if kill.get("exited") is not None}
    return [
        service
        for service in window.targets
        if service not in ended
        and not any(
            proof.holds for proof in (*_exit(evidence, window, service), *_engine(evidence, window, service))
        )
    ]


@share_in_force
def killed_share(evidence: Evidence, window: Window, end: float) -> float | None:
    """Return the part (0..1) of a held kill's window in which the target was down; of several, the shortest.

    Read from the probes of its port, else from the engine's die and start events; None if nothing shows it.
    """
    found = [_share(evidence, window, end, service) for service in window.targets]
    known = [share for share in found if share is not None]
    return min(known) if len(known) == len(found) else None


def _share(evidence: Evidence, window: Window, end: float, service: str) -> float | None:
    samples = [one for one in store_samples(evidence, service) if window.injected <= one.at < end]
    if samples:
        return _covered(samples, window.injected, end)
    died = _deaths(evidence, window, service)
    if not died:
        return None
    back = [
        event["t"] for event in engine_events(evidence, window, service, "start") if event["t"] > died[0]["t"]
    ]
    return float(min([*back[:1], end]) - max(died[0]["t"], window.injected)) / (end - window.injected)


def _covered(samples: list[Sample], start: float, end: float) -> float:
    """Weigh each sample with the time until the next, so that slow failing connects do not count for less."""
    edges = [*(sample.at for sample in samples), end]
    return sum(later - sample.at for sample, later in zip(samples, edges[1:]) if not sample.ok) / (
        end - start
    )


def _exit(evidence: Evidence, window: Window, service: str) -> list[ProofOutcome]:
    """The kernel tracer's own sight of the exit; said not to hold only where the tracer could have seen it."""
    fact = f"{service} exits by signal 9 (tracepoint)"
    exits = kernel_exits(evidence, window) if evidence.seeing else []
    if len(window.targets) > 1:
        exits = [event for event in exits if event.get("service") == service]
    if exits:
        return [ProofOutcome("kernel", fact, f"PID {exits[0].get('pid')}", exits[0]["t"], True)]
    if evidence.captured and "exit" in evidence.capture.get("programs", []):
        return [ProofOutcome("kernel", fact, "not seen", None, False)]
    return []


def _engine(evidence: Evidence, window: Window, service: str) -> list[ProofOutcome]:
    died = _deaths(evidence, window, service)
    if not died:
        return []
    code = died[0].get("exit_code")
    found = [ProofOutcome("engine", f"{service} died, exit code", code, died[0]["t"], code == SIGKILLED)]
    starts: list[Mapping[str, Any]] = [
        event for event in engine_events(evidence, window, service, "start") if event["t"] >= died[0]["t"]
    ]
    if starts:
        value = starts[0].get("started_at") or evidence.anchor.iso(starts[0]["t"])
        found.append(ProofOutcome("engine", f"{service} started anew", value, starts[0]["t"], True))
    return found


def _deaths(evidence: Evidence, window: Window, service: str) -> list[Mapping[str, Any]]:
    """The engine's die events of a target that this kill can have caused."""
    died = engine_events(evidence, window, service, "die")
    return [event for event in died if event["t"] <= window.injected + _DIES_WITHIN_S]


def _port(evidence: Evidence, window: Window, service: str) -> list[ProofOutcome]:
    samples = [one for one in store_samples(evidence, service) if window.injected <= one.at < window.end]
    if not samples:
        return []
    bad = next((sample for sample in samples if not sample.ok), None)
    fact = f"connect to {service} by probe {samples[0].probe}"
    if bad is None:
        return [ProofOutcome("tcp", fact, "always accepted", samples[0].at, False)]
    return [ProofOutcome("tcp", fact, bad.detail or bad.kind, bad.at, True)]
