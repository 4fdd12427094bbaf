# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Did the fault take effect? Facts from the kernel, the engine, the network and the fault's own module.

What the fault's module read when it applied the fault, and at the end of its window, comes from the timeline
(event ``proof``). What independent observers saw is added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .evidence import Evidence, Sample
from .phases import Window, engine_events, kernel_exits, windows

#: Sources that can prove an effect on their own. TCP and the fault's own word support a proof, they are none.
DECISIVE = ("kernel", "engine")
#: A held fault in force for less than this share of its window had no effect.
LEAST_SHARE = 0.8
SIGKILLED = 137
#: A death later than this after the kill was not its work.
_DIES_WITHIN_S = 5.0


@dataclass(frozen=True)
class Proof:
    """One fact; ``holds`` says whether it shows the effect, None that it could not be told. ``t``: boottime."""

    source: str
    fact: str
    value: Any
    t: float | None
    holds: bool | None


def proofs(evidence: Evidence, window: Window) -> list[Proof]:
    """Return all that is known of one fault's effect, the kernel's word first."""
    found = [
        Proof(
            str(event.get("source", "fault")),
            str(event["fact"]),
            event.get("value"),
            event["t"],
            event.get("holds"),
        )
        for event in evidence.events("proof", window.id)
    ]
    if window.kind == "kill":
        found += [*_exit(evidence, window), *_engine(evidence, window), *_port(evidence, window)]
    share = in_force(evidence, window)
    if share is not None:
        found.append(
            Proof(
                "fault", "share of the window in force", round(share, 3), window.undone, share >= LEAST_SHARE
            )
        )
    order = ("kernel", "engine", "tcp", "fault")
    return sorted(found, key=lambda proof: order.index(proof.source) if proof.source in order else len(order))


def effect(evidence: Evidence) -> tuple[str, list[str]]:
    """Return the effect verdict over all injected faults, and the reasons against it.

    Each fault needs one fact from the kernel or the engine that holds, and a held one must have been in force
    for most of its window. Nothing injected is unknown.
    """
    verdicts = []
    against = []
    for window in windows(evidence):
        verdict, reason = _effect_of(evidence, window)
        verdicts.append(verdict)
        if reason:
            against.append(f"{window.id}: {reason}")
    if not verdicts:
        return "unknown", ["no fault was injected"]
    return next((verdict for verdict in ("fail", "unknown") if verdict in verdicts), "pass"), against


def _effect_of(evidence: Evidence, window: Window) -> tuple[str, str]:
    known = proofs(evidence, window)
    if not any(proof.holds for proof in known if proof.source in DECISIVE):
        return "fail", "neither the kernel nor the engine saw it take effect"
    if not window.held:
        return "pass", ""
    share = in_force(evidence, window)
    if share is None:
        return "unknown", "nothing shows for how long it was in force"
    if share < LEAST_SHARE:
        return "fail", f"in force for {share:.0%} of its window, less than {LEAST_SHARE:.0%}"
    return "pass", ""


def in_force(evidence: Evidence, window: Window) -> float | None:
    """Return the share (0..1) of the held window in which the fault was in force; None if nothing shows it.

    The fault's module may say so itself (``share`` in a proof); a kill is read from the probes of the
    target's port, else from the engine's die and start events.
    """
    end = window.end if window.undone is None else window.undone
    if not window.held or end <= window.injected:
        return None
    said = [event["share"] for event in evidence.events("proof", window.id) if event.get("share") is not None]
    if said:
        return float(said[-1])
    if window.kind != "kill":
        return None
    samples = [one for one in store_samples(evidence, window.target) if window.injected <= one.at < end]
    if samples:
        return _covered(samples, window.injected, end)
    died = _deaths(evidence, window)
    if not died:
        return None
    back = [
        event["t"]
        for event in engine_events(evidence, window, window.target, "start")
        if event["t"] > died[0]["t"]
    ]
    return float(min([*back[:1], end]) - max(died[0]["t"], window.injected)) / (end - window.injected)


def _covered(samples: list[Sample], start: float, end: float) -> float:
    """Weigh each sample with the time until the next, so that slow failing connects do not count for less."""
    edges = [*(sample.at for sample in samples), end]
    return sum(later - sample.at for sample, later in zip(samples, edges[1:]) if not sample.ok) / (
        end - start
    )


def store_samples(evidence: Evidence, service: str) -> list[Sample]:
    """Return the samples of the probes that connect to a service's own port."""
    names = {
        probe["name"]
        for probe in evidence.spec.get("probes", [])
        if probe.get("kind") == "tcp" and probe.get("service") == service
    }
    return [sample for sample in evidence.probes if sample.probe in names]


def _exit(evidence: Evidence, window: Window) -> list[Proof]:
    """The kernel tracer's own sight of the exit; said not to hold only where the tracer could have seen it."""
    fact = f"{window.target} exits by signal 9 (tracepoint)"
    exits = kernel_exits(evidence, window) if evidence.seeing else []
    if exits:
        return [Proof("kernel", fact, f"PID {exits[0].get('pid')}", exits[0]["t"], True)]
    if evidence.captured and "exit" in evidence.capture.get("programs", []):
        return [Proof("kernel", fact, "not seen", None, False)]
    return []


def _engine(evidence: Evidence, window: Window) -> list[Proof]:
    died = _deaths(evidence, window)
    if not died:
        return []
    code = died[0].get("exit_code")
    found = [Proof("engine", f"{window.target} died, exit code", code, died[0]["t"], code == SIGKILLED)]
    starts: list[Mapping[str, Any]] = [
        event
        for event in engine_events(evidence, window, window.target, "start")
        if event["t"] >= died[0]["t"]
    ]
    if starts:
        value = starts[0].get("started_at") or evidence.anchor.iso(starts[0]["t"])
        found.append(Proof("engine", f"{window.target} started anew", value, starts[0]["t"], True))
    return found


def _deaths(evidence: Evidence, window: Window) -> list[Mapping[str, Any]]:
    """The engine's die events of the target that this kill can have caused."""
    died = engine_events(evidence, window, window.target, "die")
    return [event for event in died if event["t"] <= window.injected + _DIES_WITHIN_S]


def _port(evidence: Evidence, window: Window) -> list[Proof]:
    samples = [
        one for one in store_samples(evidence, window.target) if window.injected <= one.at < window.end
    ]
    if not samples:
        return []
    bad = next((sample for sample in samples if not sample.ok), None)
    fact = f"connect to {window.target} by probe {samples[0].probe}"
    if bad is None:
        return [Proof("tcp", fact, "always accepted", samples[0].at, False)]
    return [Proof("tcp", fact, bad.detail or bad.kind, bad.at, True)]
