# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loss of the cache did to the rest: load on the database, events, subscriptions, keys.

The numbers come from the run's gauges (timeline event ``measured``), the subscription from a probe of that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....evidence.evidence import Evidence
from ....evidence.phases import Window, restarted_at
from ..registry import SPEED, Measured, per_fault
from .recovery import good_for_good, port_opened

#: Two readings closer than this (s) give no rate: the database publishes its counters about once a second.
_LEAST_S = 1.0


def find_reading(evidence: Evidence, name: str, window: Window, moment: str) -> Mapping[str, Any] | None:
    """Return what a gauge read at a moment of a fault; None if it was not read."""
    found = [
        event
        for event in evidence.timeline.measured(fault=window.id)
        if event.get("name") == name and event.get("moment") == moment and event.get("value") is not None
    ]
    return found[0] if found else None


def find_reading_before(evidence: Evidence, name: str, window: Window) -> Mapping[str, Any] | None:
    """Return what a gauge read last before a fault."""
    found = [
        event
        for event in evidence.timeline.measured()
        if event.get("name") == name and event.get("value") is not None and event["t"] < window.injected
    ]
    return found[-1] if found else None


def _unread(name: str) -> Measured:
    return Measured(None, f"timeline.jsonl: gauge {name} was not read at both moments")


@per_fault("database_load", "times", rests_on=SPEED)
def database_load(evidence: Evidence, window: Window) -> Measured:
    """Transactions per second of the database while the target was away, against when it was just back.

    Both are read at the same pace of orders and probes, which is another one before the fault.
    """
    name = "database_transactions"
    begin, end, undone, steady = (
        find_reading(evidence, name, window, moment) for moment in ("begin", "end", "undone", "steady")
    )
    if begin is None or end is None or undone is None or steady is None:
        return _unread(name)
    seconds = end["t"] - begin["t"], steady["t"] - undone["t"]
    if min(seconds) < _LEAST_S:
        return Measured(None, f"timeline.jsonl: readings of {name} only {min(seconds):.2f} s apart")
    away = (end["value"] - begin["value"]) / seconds[0]
    back = (steady["value"] - undone["value"]) / seconds[1]
    text = f"timeline.jsonl: {away:.1f} transactions/s while away, {back:.1f} when it was back"
    return Measured(away / back if back > 0 else None, text, 4)


@per_fault("events_resumed", None)
def events_resumed(evidence: Evidence, window: Window) -> Measured:
    """Did the application publish events again once the target was back? Needs the gauge events_published."""
    name = "events_published"
    last = find_reading(evidence, name, window, "steady")
    first = find_reading(evidence, name, window, "undone") or find_reading(evidence, name, window, "begin")
    if first is None or last is None:
        return _unread(name)
    grown = last["value"] - first["value"]
    text = (
        f"timeline.jsonl: {name} grew by {grown:g} in the {last['t'] - first['t']:.1f} s until steady state"
    )
    return Measured(bool(grown > 0), text, 2)


@per_fault("events_lost", "events")
def events_lost(evidence: Evidence, window: Window) -> Measured:
    """Events the application counts as lost from before the fault until steady state. Needs the gauge events_lost."""
    first = find_reading_before(evidence, "events_lost", window)
    last = find_reading(evidence, "events_lost", window, "steady")
    if first is None or last is None:
        return _unread("events_lost")
    lost = int(last["value"] - first["value"])
    return Measured(
        lost, f"timeline.jsonl: events_lost {first['value']:g} before, {last['value']:g} after", 2
    )


@per_fault("keys_lost", "keys")
def keys_lost(evidence: Evidence, window: Window) -> Measured:
    """Keys that the cache had before the fault and had not again at steady state. Needs the gauge cache_keys."""
    first, last = (
        find_reading_before(evidence, "cache_keys", window),
        find_reading(evidence, "cache_keys", window, "steady"),
    )
    if first is None or last is None:
        return _unread("cache_keys")
    text = f"timeline.jsonl: {first['value']:g} keys before, {last['value']:g} at steady state"
    return Measured(max(0, int(first["value"] - last["value"])), text, 2)


@per_fault("subscription_back_s", "s", rests_on=SPEED, of_events=True)
def subscription_back_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the target's port being open again until what comes by subscription came for good.

    Needs a probe of role subscription, which is good only while it is served from what the target publishes.
    """
    opened = port_opened(evidence, window)
    back = restarted_at(evidence, window) if opened is None else None
    since = opened if opened is not None else None if back is None else (back, back)
    samples = [one for one in evidence.probes if one.role == "subscription"]
    if since is None or not samples:
        return Measured(
            None, "probes.jsonl: no samples of role subscription, or nobody saw the target come back"
        )
    return good_for_good(evidence, window, samples, since)
