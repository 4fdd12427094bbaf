# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counted while a fault lasted: waits for a processor, for a disk, for memory; RTT and bytes."""

from __future__ import annotations

from ....evidence.evidence import Evidence
from ....evidence.histograms import SeriesTotal, series_keys, series_total, why_unwatched
from ....evidence.phases import BASELINE, EARLY_S, Window, main_pids
from ..registry import SPEED, Measured, per_fault
from .connects import target_ports

_RUN_QUEUE, _SWITCHES = "run queue latency", "context switches"
_BLOCK, _DEPTH, _FSYNC = "block I/O latency", "queue depth", "fsync latency"
_RECLAIM = ("direct reclaim", "memcg reclaim")
_RTT, _BYTES = "smoothed RTT", "bytes"


def _unseen(evidence: Evidence, window: Window, program: str) -> Measured | None:
    """Return what a metric says where the kernel did not count in the fault's phase; None if it did."""
    reason = why_unwatched(evidence, program)
    if not reason and series_total(evidence, window.id, "").seconds <= 0:
        reason = f"histograms.jsonl: nothing was counted in the phase {window.id}"
    return Measured(None, reason) if reason else None


def _text(evidence: Evidence, words: str) -> str:
    unkept = int(evidence.capture.get("unkept") or 0)
    return f"histograms.jsonl: {words}" + (f"; {unkept} values found no room" if unkept else "")


def _ratio(evidence: Evidence, what: str, during: float | None, before: float | None, count: int) -> Measured:
    if during is None:
        return Measured(None, f"histograms.jsonl: no {what} in the fault's window")
    if not before:
        return Measured(None, f"histograms.jsonl: no {what} in the baseline to compare with")
    return Measured(during / before, _text(evidence, f"{what} {during:.4g}, before: {before:.4g}"), count)


@per_fault("run_queue_p99_us", "µs", without_fault=True, rests_on=SPEED)
def run_queue_p99_us(evidence: Evidence, window: Window) -> Measured:
    """99th percentile of how long the target's threads, ready to run, waited for a processor during the fault."""
    found = series_total(evidence, window.id, _RUN_QUEUE, window.targets)
    p99 = found.percentile(99)
    if _unseen(evidence, window, "sched") or p99 is None:
        return _unseen(evidence, window, "sched") or Measured(None, "no thread of the target waited")
    words = (
        f"p50 {found.percentile(50):g} µs, p99 {p99:g} µs, longest {found.max:g} µs of {found.count} waits"
    )
    return Measured(p99, _text(evidence, words), found.count)


@per_fault("run_queue_ratio", "times", without_fault=True, rests_on=SPEED)
def run_queue_ratio(evidence: Evidence, window: Window) -> Measured:
    """That wait's 99th percentile during the fault, against the baseline's."""
    during = series_total(evidence, window.id, _RUN_QUEUE, window.targets)
    before = series_total(evidence, BASELINE, _RUN_QUEUE, window.targets)
    return _unseen(evidence, window, "sched") or _ratio(
        evidence, "p99 of run queue latency (µs)", during.percentile(99), before.percentile(99), during.count
    )


@per_fault("context_switches_per_s", "switches/s", without_fault=True)
def context_switches_per_s(evidence: Evidence, window: Window) -> Measured:
    """How often per second the target's threads left a processor during the fault."""
    found = series_total(evidence, window.id, _SWITCHES, window.targets)
    if _unseen(evidence, window, "sched") or found.rate is None:
        return _unseen(evidence, window, "sched") or Measured(None, "the phase has no length")
    forced = series_total(evidence, window.id, _SWITCHES, window.targets, kind="involuntary").count
    before = series_total(evidence, BASELINE, _SWITCHES, window.targets).rate
    words = f"{found.count} in {found.seconds:.2f} s, {forced} of them involuntary"
    words += "" if before is None else f"; before: {before:.4g} per second"
    return Measured(found.rate, _text(evidence, words), found.count)


@per_fault("block_latency_p99_ms", "ms", without_fault=True, rests_on=SPEED)
def block_latency_p99_ms(evidence: Evidence, window: Window) -> Measured:
    """99th percentile of how long block devices took for a read or write, from its issue, during the fault.

    The target's own requests; where the kernel issued all on others' behalf, those of every device.
    """
    own = series_total(evidence, window.id, _BLOCK, window.targets, op=("read", "write"))
    found = own if own.count else series_total(evidence, window.id, _BLOCK, op=("read", "write"))
    p99 = found.percentile(99)
    if _unseen(evidence, window, "block") or p99 is None:
        return _unseen(evidence, window, "block") or Measured(None, "no request to a block device was seen")
    whose = window.target if own.count else "whoever used the devices"
    words = f"p99 {p99 / 1000:.3g} ms, longest {found.max / 1000:.3g} ms of {found.count} requests of {whose}"
    return Measured(p99 / 1000, _text(evidence, words), found.count)


@per_fault("queue_depth_max", "requests", without_fault=True)
def queue_depth_max(evidence: Evidence, window: Window) -> Measured:
    """The most requests that were under way at a block device during the fault."""
    unseen = _unseen(evidence, window, "block")
    if unseen:
        return unseen
    each = {
        name: series_total(evidence, window.id, _DEPTH, device=name)
        for name in series_keys(evidence, _DEPTH, "device")
    }
    each = {name: found for name, found in each.items() if found.count}
    if not each:
        return Measured(None, "no request to a block device was seen")
    words = ", ".join(f"{name}: at most {found.max:g}, mean {found.mean:.3g}" for name, found in each.items())
    most = max(found.max for found in each.values())
    return Measured(most, _text(evidence, words), sum(found.count for found in each.values()))


@per_fault("fsync_p99_ms", "ms", without_fault=True, rests_on=SPEED)
def fsync_p99_ms(evidence: Evidence, window: Window) -> Measured:
    """99th percentile of how long fsync and fdatasync of the target took during the fault."""
    found = series_total(evidence, window.id, _FSYNC, window.targets)
    p99 = found.percentile(99)
    if _unseen(evidence, window, "fsync") or p99 is None:
        return _unseen(evidence, window, "fsync") or Measured(None, f"{window.target} called no fsync")
    words = f"p99 {p99 / 1000:.3g} ms, longest {found.max / 1000:.3g} ms of {found.count} calls"
    return Measured(p99 / 1000, _text(evidence, words), found.count)


@per_fault("fsync_ratio", "times", without_fault=True, rests_on=SPEED)
def fsync_ratio(evidence: Evidence, window: Window) -> Measured:
    """Mean time of the target's fsync and fdatasync during the fault, against the baseline's."""
    during = series_total(evidence, window.id, _FSYNC, window.targets)
    before = series_total(evidence, BASELINE, _FSYNC, window.targets)
    return _unseen(evidence, window, "fsync") or _ratio(
        evidence, "mean fsync (µs)", during.mean, before.mean, during.count
    )


@per_fault("reclaim_ms", "ms", without_fault=True)
def reclaim_ms(evidence: Evidence, window: Window) -> Measured:
    """How long the target's threads stood still to reclaim memory during the fault, all together.

    Silence is none at all only where the kernel was seen to count: there is reclaim without memory running short.
    """
    reason = _no_oom(evidence)
    if reason:
        return Measured(None, reason)
    each = {series: series_total(evidence, window.id, series, window.targets) for series in _RECLAIM}
    words = ", ".join(f"{series}: {found.count} stalls" for series, found in each.items())
    longest = max(found.max for found in each.values())
    whole = sum(found.sum for found in each.values()) / 1000
    text = _text(evidence, f"{words}, longest {longest / 1000:.3g} ms")
    return Measured(whole, text, sum(found.count for found in each.values()))


def _no_oom(evidence: Evidence) -> str:
    """Why the oom program's silence says nothing; it keeps nothing on a host with memory to spare."""
    reason = why_unwatched(evidence, "oom")
    return "" if reason.startswith("histograms.jsonl") and evidence.captured else reason


@per_fault("oom_victim_is_target", None)
def oom_victim_is_target(evidence: Evidence, window: Window) -> Measured:
    """Were all victims the kernel's OOM killer marked during the fault the target's own?"""
    reason = _no_oom(evidence)
    if reason:
        return Measured(None, reason)
    seen = [
        event
        for event in evidence.bpf
        if event.get("event") == "OOM_KILL" and window.injected - EARLY_S <= event["t"] <= window.end
    ]
    if not seen:
        return Measured(None, "bpf.jsonl: the OOM killer marked nobody")
    pids = main_pids(evidence, window)
    right = [event.get("service") in window.targets or event.get("pid") in pids for event in seen]
    words = ", ".join(
        f"PID {event.get('pid')} ({event.get('comm')}, {event.get('service')})" for event in seen
    )
    return Measured(all(right), f"bpf.jsonl: {words}", len(seen))


@per_fault("rtt_p50_ms", "ms", without_fault=True)
def rtt_p50_ms(evidence: Evidence, window: Window) -> Measured:
    """Median of the round trip time the kernel smoothed on the faulted path's connections, during the fault.

    The path goes from the target to the fault's peer; without one, from the application to the target.
    """
    found, before = total_rtt(evidence, window, window.id), total_rtt(evidence, window, BASELINE)
    middle = found.percentile(50)
    if _unseen(evidence, window, "rtt") or middle is None:
        return _unseen(evidence, window, "rtt") or Measured(None, "no connection on the path was measured")
    roles = []
    for name in series_keys(evidence, _RTT, "peer"):
        half = series_total(evidence, window.id, _RTT, side="client", peer=name).percentile(50)
        roles += [] if half is None else [f"{name} {half / 1000:.3g} ms"]
    was = "not measured" if before.mean is None else f"{before.mean / 1000:.3g} ms"
    words = f"mean {(found.mean or 0) / 1000:.3g} ms, before: {was}; medians by peer: {', '.join(roles)}"
    return Measured(middle / 1000, _text(evidence, words), found.count)


def total_rtt(evidence: Evidence, window: Window, phase: str) -> SeriesTotal:
    """Return the smoothed round trip times of the faulted path in a phase, as its client's end saw them."""
    client, ports = _path(evidence, window)
    return series_total(evidence, phase, _RTT, [client], port=ports, side="client")


@per_fault("bytes_ratio", "times", without_fault=True)
def bytes_ratio(evidence: Evidence, window: Window) -> Measured:
    """Bytes per second on the faulted path, both ways, during the fault against the baseline."""
    client, ports = _path(evidence, window)
    return _bytes_ratio(evidence, window, client, ports)


@per_fault("database_bytes_ratio", "times", without_fault=True)
def database_bytes_ratio(evidence: Evidence, window: Window) -> Measured:
    """Bytes per second between the application and the database, both ways, during the fault against the baseline."""
    database = evidence.service("database")
    ports = target_ports(evidence, database) if database else set()
    return _bytes_ratio(evidence, window, evidence.service("api"), ports)


def _path(evidence: Evidence, window: Window) -> tuple[str | None, set[int]]:
    """Return the service at the path's client end, and the ports of its serving end."""
    peer, only = window.spec.peer, window.spec.port
    if window.spec.peer_addresses:
        # the kernel's counts are kept by port: without one, those of this path are not told apart
        return window.target, {int(only)} if only else set()
    if peer:
        return window.target, {int(only)} if only else target_ports(evidence, str(peer))
    return evidence.service("api"), target_ports(evidence, window.target)


def _bytes_ratio(evidence: Evidence, window: Window, client: str | None, ports: set[int]) -> Measured:
    unseen = _unseen(evidence, window, "bytes")
    if unseen:
        return unseen
    during = series_total(evidence, window.id, _BYTES, [client], port=ports, side="client")
    before = series_total(evidence, BASELINE, _BYTES, [client], port=ports, side="client")
    if not before.rate or during.rate is None:
        return Measured(None, f"histograms.jsonl: {client} moved no bytes on that path in the baseline")
    where = f"{client} to port {', '.join(map(str, sorted(ports)))}"
    words = f"{where}: {during.rate:.4g} bytes/s, before: {before.rate:.4g}"
    return Measured(during.rate / before.rate, _text(evidence, words), during.count)
