# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the next order is due: the streams of the load, and what the timeline does to them. Pure.

An open loop: a stream's instants depend on its rate alone, never on how the service answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...exchange.rush import STREAM, Rush
from ...run import timeline

_NEVER = float("inf")
#: How long a burst outlives its kill: what is sent to a dead service only queues up, and then gets in the way of
#: the recovery that is being measured.
_AFTERMATH_S = 0.1


@dataclass
class Stream:
    """Orders at ``rate`` per second from ``start`` (boottime) until before ``end``; ``sent`` so far."""

    name: str
    rate: float
    start: float
    end: float = _NEVER
    sent: int = 0

    @property
    def next(self) -> float:
        """The instant of the next order; infinite when the stream has ended."""
        at = self.start + self.sent / self.rate
        return at if at < self.end else _NEVER


@dataclass
class RushStream(Stream):
    """Orders as they come when a market opens; ``rate`` is that of the height."""

    rush: Rush = field(default_factory=lambda: Rush(1.0, 1.0))

    @property
    def next(self) -> float:
        """The instant of the next order; infinite when the stream has ended."""
        at = self.start + self.rush.due_at(self.sent)
        return at if at < self.end else _NEVER


class Schedule:
    """All streams of a run.

    ``steady`` runs always. ``watch`` comes on top from the announcement of a fault, or of none, until it is over.
    ``burst``, the surge, comes on top around a kill: from its announcement until just after it, and never longer than
    ``burst_s``, so that a kill that never comes does not keep it. In the placebo it follows :meth:`surge` alone.
    ``market`` are the orders that a fault itself consists of, from its injection until they are through or it is over.
    """

    def __init__(self, load: Mapping[str, Any], start: float) -> None:
        self._rate = float(load["rate"])
        self._watch_rate = float(load.get("watch_rate") or 0)
        #: What a kill brings on top; the placebo may show that it is less.
        self.surge_rate = float(load.get("burst_rate") or 0)
        self._burst_s = float(load.get("burst_s") or 0)
        self._watching = self._held = False
        self._streams = [Stream("steady", self._rate, start)]

    def take_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in new lines of the timeline."""
        for event in events:
            name, t = event.get("event"), float(event.get("t") or 0)
            if name in (timeline.FAULT_IMMINENT, timeline.PLACEBO_BEGIN):
                self._watching = True
                self._end("watch", t)
                self._begin("watch", self._watch_rate, t, _NEVER)
                if name == timeline.FAULT_IMMINENT and event.get("ends_target"):
                    self._end("burst", t)
                    self._begin("burst", self.surge_rate, t, t + self._burst_s)
            elif name == timeline.FAULT_INJECTED:
                self._end("burst", t + _AFTERMATH_S)
                if event.get("orders") and not self._held:
                    rush = Rush.from_data(event["orders"])
                    self._streams.append(RushStream(STREAM, rush.rate, t, t + rush.seconds, rush=rush))
            elif name == timeline.FAULT_UNDONE:
                self._end(STREAM, t)
            elif name in (timeline.STEADY, timeline.PLACEBO_END):
                self._watching = False
                self._end("watch", t)
                self._end("burst", t)

    def surge(self, rate: float, now: float) -> None:
        """Let the surge go on at another rate; 0 ends it."""
        self._end("burst", now)
        self._begin("burst", rate, now, _NEVER)

    def drop_watch(self, now: float) -> None:
        """Send no more than the usual rate around faults, for the rest of the run: the exchange bears no more."""
        self._watch_rate = 0.0
        self._end("watch", now)

    def hold_to(self, rate: float, now: float) -> None:
        """Send so much and nothing on top, until :meth:`release`."""
        self._held = True
        self._replace_all(rate, now)

    def release(self, now: float) -> None:
        """Send as ever again, and what a fault that is not over yet brings on top."""
        self._held = False
        self._replace_all(self._rate, now)
        if self._watching:
            self._begin("watch", self._watch_rate, now, _NEVER)

    def _replace_all(self, rate: float, now: float) -> None:
        for name in ("steady", "watch", "burst", STREAM):
            self._end(name, now)
        if rate > 0:
            self._streams.append(Stream("steady", rate, now))

    def _begin(self, name: str, rate: float, start: float, end: float) -> None:
        if rate > 0 and end > start and not self._held:
            self._streams.append(Stream(name, rate, start, end))

    def _end(self, name: str, at: float) -> None:
        for stream in self._streams:
            if stream.name == name:
                stream.end = min(stream.end, at)

    @property
    def next(self) -> float:
        """The instant of the next order of any stream."""
        return min((stream.next for stream in self._streams), default=_NEVER)

    def due(self, now: float) -> list[tuple[float, str]]:
        """Return (instant, stream) of every order due up to ``now``, in order, each exactly once."""
        found = []
        for stream in self._streams:
            while stream.next <= now:
                found.append((stream.next, stream.name))
                stream.sent += 1
        self._streams = [stream for stream in self._streams if stream.next < _NEVER or stream.end == _NEVER]
        return sorted(found)


def most_outstanding(load: Mapping[str, Any]) -> int:
    """Return how many requests can be under way at once when no request is answered before its time-out."""
    timeout = float(load["timeout_s"])
    calm = (float(load["rate"]) + float(load.get("watch_rate") or 0)) * timeout
    burst = float(load.get("burst_rate") or 0) * min(timeout, float(load.get("burst_s") or 0))
    return int(calm + burst) + 8
