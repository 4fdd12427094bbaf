# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several services killed at once: how close together, who was away for how long, in which order they came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....evidence.evidence import Evidence, Sample
from ....evidence.phases import Window, engine_events, fault_onset, kernel_exits
from ...proofs.proof import store_samples
from ..registry import SPEED, Interval, Measured, per_fault


@per_fault("kill_spread_s", "s", rests_on=SPEED)
def kill_spread_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds between the first and the last exit of a fault's targets: the kernel's tracer, else the pidfds."""
    kills = _kills(evidence, window)
    if len(kills) < 2:
        return Measured(None, "timeline.jsonl: no several kills were noted")
    traced = {event.get("pid"): float(event["t"]) for event in kernel_exits(evidence, window)}
    if evidence.seeing and all(kill["pid"] in traced for kill in kills):
        times, source = [traced[kill["pid"]] for kill in kills], "bpf.jsonl"
    else:
        times, source = [float(kill["exited"]) for kill in kills if kill.get("exited")], "timeline.jsonl"
    if len(times) < len(kills):
        return Measured(None, f"{len(times)} of {len(kills)} exits have an instant")
    order = " ".join(f"{kill['service']} +{at - min(times):.4f}" for kill, at in zip(kills, times))
    return Measured(max(times) - min(times), f"{source}: {order}", len(times))


def _down(role: str) -> None:
    """Register the down time of the service that plays a role."""

    def down(evidence: Evidence, window: Window) -> Measured:
        service = evidence.service(role)
        if service is None or service not in window.targets:
            return Measured(None, f"the fault was not aimed at the {role}")
        return _down_time(evidence, window, service)

    down.__doc__ = f"Seconds from the fault until the {role} was good again: its port open, the API ready."
    per_fault(f"{role}_down_s", "s", rests_on=SPEED)(down)


for _role in ("database", "cache", "api"):
    _down(_role)


@per_fault("recovery_order", None, of_events=True)
def recovery_order(evidence: Evidence, window: Window) -> Measured:
    """Did nothing call itself good before what it depends on was there? Targets stand in dependency order."""
    back = {service: first_good(evidence, window, service) for service in window.targets}
    missing = [service for service, interval in back.items() if interval is None]
    if missing or len(back) < 2:
        return Measured(
            None, f"probes.jsonl: not seen to go and come back: {', '.join(missing) or 'several'}"
        )
    known = {service: interval for service, interval in back.items() if interval is not None}
    api = evidence.service("api")
    needed = [service for service in known if service != api]
    early = [service for service in needed if api in known and known[api][1] < known[service][0]]
    began = fault_onset(evidence, window)
    order = sorted(known, key=lambda service: known[service][1])
    text = "probes.jsonl: " + ", ".join(f"{one} {known[one][1] - began:.3f} s" for one in order)
    return Measured(not early, text + (f"; {api} before {', '.join(early)}" if early else ""), len(known))


def first_good(evidence: Evidence, window: Window, service: str) -> Interval | None:
    """Return the interval in which a killed service was good again: the API by all its health signals, others by port.

    None where it was not seen to go, or not to come back.
    """
    if service != evidence.service("api"):
        return _turn(store_samples(evidence, service), window)
    signals = []
    for role in ("readiness", "health"):
        samples = [one for one in evidence.probes if one.role == role]
        if samples:
            signals.append(_turn(samples, window))
    known = [turn for turn in signals if turn is not None]
    if not known or len(known) < len(signals):
        return None
    return max(low for low, _high in known), max(high for _low, high in known)


def _turn(samples: Sequence[Sample], window: Window) -> Interval | None:
    """Between the last of the first run of bad samples was sent and the first good one after it ended."""
    seen = [one for one in samples if window.injected <= one.at <= window.end]
    gone = next((index for index, one in enumerate(seen) if not one.ok), None)
    if gone is None:
        return None
    good = next((index for index in range(gone, len(seen)) if seen[index].ok), None)
    return None if good is None else (seen[good - 1].at, seen[good].end)


def _down_time(evidence: Evidence, window: Window, service: str) -> Measured:
    began, interval = fault_onset(evidence, window), first_good(evidence, window, service)
    died = engine_events(evidence, window, service, "die")
    starts = [
        one for one in engine_events(evidence, window, service, "start") if died and one["t"] > died[0]["t"]
    ]
    engine = f"; engine: died to started {starts[0]['t'] - died[0]['t']:.3f} s" if starts else ""
    if interval is None:
        return Measured(None, f"probes.jsonl: {service} was not seen to go and come back{engine}")
    low, high = (max(0.0, at - began) for at in interval)
    return Measured((low, high), f"probes.jsonl: good again at {evidence.anchor.iso(interval[1])}{engine}", 1)


def _kills(evidence: Evidence, window: Window) -> list[Mapping[str, Any]]:
    """Return the kills of a fault that tells them one by one; one of memory counts them."""
    told = [event.get("kills") for event in evidence.timeline.injections(window.id)]
    return [kill for kills in told if isinstance(kills, list) for kill in kills]
