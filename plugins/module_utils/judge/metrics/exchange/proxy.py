# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way through the proxy, and the way past it."""

from __future__ import annotations

from collections.abc import Sequence

from ....evidence.evidence import RATE_LIMITED, Evidence, Sample
from ....evidence.phases import Window, fault_onset, orders_within
from ..kernel.connects import explain_unseen, target_ports
from ..registry import SPEED, Interval, Measured, per_fault
from .recovery import good_for_good, port_opened, trouble_ends


@per_fault("proxy_back_s", "s", rests_on=SPEED)
def proxy_back_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from proxy and API being there again until the way through the proxy was good for good.

    Nothing came back if the last answer before watching ended was bad. Needs a probe of role front, or else proxy.
    """
    samples = _through(evidence, window.injected, window.end)
    there = _there(evidence, window)
    if not samples or there is None:
        return Measured(
            None, "probes.jsonl: no samples through the proxy, or nobody saw its backend come back"
        )
    return good_for_good(evidence, window, samples, there, _addresses(evidence, window))


@per_fault("proxy_errors", "ratio", without_fault=True, rests_on=SPEED, of_events=True)
def proxy_errors(evidence: Evidence, window: Window) -> Measured:
    """Share of bad answers through the proxy while the target was away: what users of that way saw."""
    samples = _through(evidence, fault_onset(evidence, window), trouble_ends(evidence, window))
    if not samples:
        return Measured(None, "probes.jsonl: no samples through the proxy while the target was away")
    bad = [one for one in samples if not one.ok]
    kinds = ", ".join(sorted({one.kind for one in bad})) or "none"
    text = f"probes.jsonl: {len(bad)} of {len(samples)} answers bad ({kinds})"
    return Measured(len(bad) / len(samples), text, len(samples))


@per_fault("direct_rate", "orders/s", without_fault=True, rests_on=SPEED, of_events=True)
def direct_rate(evidence: Evidence, window: Window) -> Measured:
    """Orders per second acknowledged on the direct way while the target was away; the evidence counts those limited."""
    start, end = fault_onset(evidence, window), trouble_ends(evidence, window)
    sent = orders_within(evidence.orders, start, end)
    if not sent or end <= start:
        return Measured(None, "load.jsonl: no orders while the target was away")
    good = sum(order.ok for order in sent)
    limited = sum(order.status == RATE_LIMITED for order in sent)
    text = f"load.jsonl: {good} of {len(sent)} acknowledged in {end - start:.2f} s, {limited} answered {RATE_LIMITED}"
    return Measured(good / (end - start), text, len(sent))


@per_fault("target_resets", "resets", without_fault=True)
def target_resets(evidence: Evidence, window: Window) -> Measured:
    """Connections on the target's ports that were reset in the fault's window, as the kernel saw it."""
    ports = {port for service in window.targets for port in target_ports(evidence, service)}
    found = [
        event
        for event in evidence.bpf
        if event.get("event") == "CONN_RESET"
        and not event.get("control")
        and fault_onset(evidence, window) <= event["t"] <= window.end
        and (event.get("rport") in ports or event.get("lport") in ports)
    ]
    where = ", ".join(map(str, sorted(ports)))
    return explain_unseen(evidence) or Measured(
        len(found), f"bpf.jsonl: {len(found)} resets on {where}", len(found)
    )


def _through(evidence: Evidence, start: float, end: float) -> Sequence[Sample]:
    """The samples through the proxy: of the dense probe where the experiment has one, else of every experiment's."""
    roles = {one.role for one in evidence.probes}
    role = "front" if "front" in roles else "proxy"
    return [one for one in evidence.probes if one.role == role and start <= one.at <= end]


def _there(evidence: Evidence, window: Window) -> Interval | None:
    """When the proxy's port was open again, or its backend ready again, whichever came last."""
    found = []
    if evidence.service("proxy") in window.targets:
        opened = port_opened(evidence, window)
        found += [opened] if opened is not None else []
    ready = [
        one for one in evidence.probes if one.role == "readiness" and window.injected <= one.at <= window.end
    ]
    bad = [index for index, one in enumerate(ready) if not one.ok]
    if bad and bad[-1] < len(ready) - 1:
        found.append((ready[bad[-1]].at, ready[bad[-1] + 1].end))
    return max(found, default=None)


def _addresses(evidence: Evidence, window: Window) -> str:
    """Say whether the API came back at another address, as the engine told."""
    api = evidence.service("api")
    before = [address for one in evidence.spec.containers.get(api or "", ()) for address in one.addresses]
    seen = [
        event
        for event in evidence.engine
        if event.get("service") == api and event.get("action") == "start" and event["t"] <= window.end
    ]
    after = [address for event in seen[-1:] for address in event.get("addresses") or [] if address]
    return (
        f"; {api} moved from {before[0]} to {after[0]}" if before and after and before[0] != after[0] else ""
    )
