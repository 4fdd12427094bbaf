# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the application reconnects, as the kernel saw it: attempts, refusals, rhythm, storm."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ....common import peer_addresses
from ....common.stats import find_median
from ....evidence.evidence import Evidence
from ....evidence.phases import Window, fault_onset, find_baseline
from ..exchange.recovery import port_opened, trouble_ends
from ..registry import SPEED, Measured, per_fault

ECONNREFUSED = 111
#: Attempts of one process closer than this are one round: several addresses, or several connections of a pool.
ROUND_S = 0.01
#: Fewer gaps than this do not show whether they grow.
_FEWEST_GAPS = 4
#: Connects per second of an application that keeps its connections: one in 8 s, however long it was watched.
_RARE_PER_S = 1 / 8
#: Gaps grow if the last third is this much longer than the first.
_GROWTH = 1.5


def list_connects(
    evidence: Evidence, window: Window, name: str, start: float, end: float
) -> Sequence[Mapping[str, Any]]:
    """Return the kernel's events of a name on the fault's path, in [start, end].

    It leads from the target to the fault's peer; without one, from the API to the target.
    """
    has_peer = window.spec.peer or window.spec.peer_addresses
    client, meant = window.target if has_peer else evidence.service("api"), on_path(evidence, window)
    return [
        event
        for event in evidence.bpf
        if event.get("event") == name
        and event.get("service") == client
        and meant(event)
        and not event.get("control")
        and start <= event["t"] <= end
    ]


def on_path(evidence: Evidence, window: Window) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether a kernel event of a connection is one to the fault's target or peer.

    A service is known by its ports, since its address changes with its container; a peer that is no service by its
    addresses.
    """
    given = window.spec.peer_addresses
    if given:
        known, only = peer_addresses.Known(given), (window.spec.port if window.spec.only_port else None)
        return lambda event: (
            bool(event.get("raddr"))
            and ipaddress.ip_address(str(event["raddr"])).packed in known
            and only in (None, event.get("rport"))
        )
    ports = target_ports(evidence, window.spec.peer or window.target)
    return lambda event: event.get("rport") in ports


def target_ports(evidence: Evidence, service: str) -> set[int]:
    """Return the ports on which a service listens, as the run's specification names them."""
    spec = evidence.spec
    found = {probe.port for probe in spec.probes if probe.service == service and probe.port is not None}
    return found | {int(port) for port, role in spec.capture.ports.items() if role in spec.role_of(service)}


def explain_unseen(evidence: Evidence, window: Window | None = None) -> Measured | None:
    """Return what a metric says that rests on the capture where there is none; None if the capture may be trusted.

    Nor can it tell of the path of ``window`` if that goes to addresses without a port: it looks at ports.
    """
    if window and window.spec.peer_addresses and not window.spec.port:
        return Measured(None, "the kernel's capture looks at ports, and the fault's path names none")
    if evidence.captured and "tcp" in evidence.capture.get("programs", []):
        return None
    reason = evidence.capture.get("reason") or "its positive control was not seen"
    return Measured(None, f"no kernel capture of TCP ({evidence.capture.get('status')}: {reason})")


def _evidence(evidence: Evidence, text: str) -> str:
    lost = sum(int(evidence.capture.get(key) or 0) for key in ("lost", "unwritten", "unattributed"))
    return f"bpf.jsonl: {text}" + (f"; {lost} events lost, so counts are lower bounds" if lost else "")


@per_fault("refused_connects", "connects", without_fault=True)
def refused_connects(evidence: Evidence, window: Window) -> Measured:
    """Connects of the application that the target's host refused (errno 111) while it was away."""
    found = list_connects(evidence, window, "CONN_FAILED", fault_onset(evidence, window), window.end)
    refused = [event for event in found if event.get("errno") == ECONNREFUSED]
    return explain_unseen(evidence, window) or Measured(
        len(refused),
        _evidence(evidence, f"{len(refused)} refused of {len(found)} failed connects"),
        len(found),
    )


@per_fault("connects_per_s", "connects/s", without_fault=True)
def connects_per_s(evidence: Evidence, window: Window) -> Measured:
    """Connects per second the application tried while the target was away."""
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    found = list_connects(evidence, window, "CONN_ATTEMPT", start, end)
    if explain_unseen(evidence, window) or end <= start:
        return explain_unseen(evidence, window) or Measured(None, "the target was never away")
    return Measured(
        len(found) / (end - start), _evidence(evidence, f"{len(found)} in {end - start:.2f} s"), len(found)
    )


@per_fault("reconnect_storm", "times", without_fault=True)
def reconnect_storm(evidence: Evidence, window: Window) -> Measured:
    """Connects per second while the target was away, against before any fault.

    An application that connected more rarely than once in 8 s, or never, is taken to have connected that often.
    """
    during, before = connects_per_s(evidence, window), find_baseline(evidence)
    if not isinstance(during.value, float):
        return during
    if before is None or before.seconds <= 0:
        return Measured(None, "there was no baseline to compare with")
    count = len(list_connects(evidence, window, "CONN_ATTEMPT", before.start, before.end))
    rate = max(count / before.seconds, _RARE_PER_S)
    text = f"{during.evidence}; before: {count} in {before.seconds:.2f} s"
    return Measured(during.value / rate, text, during.samples + count)


@per_fault("retry_interval_s", "s", rests_on=SPEED)
def retry_interval_s(evidence: Evidence, window: Window) -> Measured:
    """Median seconds between two tries of one process to connect while the target was away."""
    gaps = [gap for series in _gaps(evidence, window).values() for gap in series]
    middle = find_median(gaps)
    if explain_unseen(evidence, window) or middle is None:
        return explain_unseen(evidence, window) or Measured(
            None, "bpf.jsonl: no process tried twice while the target was away"
        )
    text = f"{len(gaps)} gaps between tries, {min(gaps):.3f} to {max(gaps):.3f} s"
    return Measured(middle, _evidence(evidence, text), len(gaps))


@per_fault("backs_off", None)
def backs_off(evidence: Evidence, window: Window) -> Measured:
    """Does every process wait longer between its tries as the outage lasts?

    The median of the last third of a process's gaps is held against that of the first third.
    """
    series = {pid: gaps for pid, gaps in _gaps(evidence, window).items() if len(gaps) >= _FEWEST_GAPS}
    if explain_unseen(evidence, window) or not series:
        return explain_unseen(evidence, window) or Measured(
            None, f"bpf.jsonl: no process made {_FEWEST_GAPS + 1} tries"
        )
    growth = {pid: _growth(gaps) for pid, gaps in series.items()}
    text = ", ".join(f"PID {pid}: {times:.2f} times longer at the end" for pid, times in growth.items())
    count = sum(map(len, series.values()))
    return Measured(min(growth.values()) >= _GROWTH, _evidence(evidence, text), count)


@per_fault("reconnect_delay_s", "s", rests_on=SPEED)
def reconnect_delay_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the target's port being open again to the application's first good connection to it.

    Without the kernel's word: to the first good readiness after it.
    """
    opened = port_opened(evidence, window)
    if opened is None:
        return Measured(None, "probes.jsonl: no probe saw the target's port close and open again")
    iso = evidence.anchor.iso
    between = f"port open between {iso(opened[0])} and {iso(opened[1])}"
    if explain_unseen(evidence) is None:
        made = list_connects(evidence, window, "CONN_OK", opened[0], window.end)
        if made:
            at = float(made[0]["t"])
            text = _evidence(evidence, f"connected {iso(at)}; {between}")
            return Measured((max(0.0, at - opened[1]), at - opened[0]), text, len(made))
    ready = [sample for sample in evidence.probes if sample.role == "readiness" and opened[0] <= sample.end]
    ready = [sample for sample in ready if sample.at <= window.end]
    good = next((index for index, sample in enumerate(ready) if sample.ok), None)
    if good is None:
        text = f"neither a connection nor a good readiness until {iso(window.end)}; {between}"
        return Measured(window.end - opened[1] if ready else None, text, len(ready), at_least=bool(ready))
    before = ready[good - 1].at if good else opened[0]
    low, high = max(0.0, before - opened[1]), ready[good].end - opened[0]
    return Measured((low, high), f"probes.jsonl: ready {iso(ready[good].end)}; {between}", len(ready))


def _one_try(evidence: Evidence, window: Window) -> Measured:
    """No gap to measure: it is at least as long as the wait after the only try. No try at all says nothing.

    An application that looks the name up first, and finds none while the container is down, never connects.
    """
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    tries = list_connects(evidence, window, "CONN_ATTEMPT", start, end)
    if not tries:
        return Measured(None, "bpf.jsonl: no try to connect while the target was away")
    text = _evidence(evidence, f"no process tried twice until {evidence.anchor.iso(end)}")
    return Measured(end - float(tries[-1]["t"]), text, len(tries), at_least=True)


def _gaps(evidence: Evidence, window: Window) -> dict[int, list[float]]:
    """Return the seconds between the rounds of tries, by process, from the fault until the port opened."""
    tries: dict[int, list[float]] = {}
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    for event in list_connects(evidence, window, "CONN_ATTEMPT", start, end):
        tries.setdefault(int(event.get("pid") or 0), []).append(float(event["t"]))
    gaps = {}
    for pid, times in tries.items():
        rounds = times[:1]
        previous = times[0]
        for at in times[1:]:
            if at - previous > ROUND_S:
                rounds.append(at)
            previous = at
        gaps[pid] = [later - earlier for earlier, later in zip(rounds, rounds[1:])]
    return gaps


def _growth(gaps: Sequence[float]) -> float:
    third = max(1, len(gaps) // 3)
    first, last = find_median(gaps[:third]), find_median(gaps[-third:])
    return (last or 0.0) / max(first or 0.0, ROUND_S)
