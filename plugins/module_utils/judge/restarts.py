# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restarts of a fault's targets, one by one, from the engine's events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..common.shapes import Line
from ..evidence.evidence import Evidence
from ..evidence.phases import SIGKILL, Window, engine_events

#: What the engine reports of a process that SIGKILL ended.
_KILLED = 137


@dataclass(frozen=True)
class Restart:
    """One container asked to end, ended, started. Boottimes; None for what did not come in the window.

    signals: those the engine sent, in order, as numbers. until: when the next restart began, or the fault was undone.
    """

    service: str
    container: str
    asked: float
    signals: tuple[int, ...]
    died: float | None
    exit_code: int | None
    started: float | None
    healthy: float | None
    until: float

    @property
    def ignored(self) -> bool:
        """True when it did not end when asked, so that the engine killed it."""
        return (len(self.signals) > 1 and SIGKILL in self.signals[1:]) or self.exit_code == _KILLED

    @property
    def done(self) -> bool:
        """True when it ended and was started again."""
        return self.died is not None and self.started is not None


def find_restarts(evidence: Evidence, window: Window) -> list[Restart]:
    """Return the restarts of a fault's targets in the order in which they were asked to end."""
    end = window.end if window.undone is None else window.undone
    found = [
        _restart(evidence, window, service, container, end)
        for service in window.targets
        for container in _asked(evidence, window, service)
    ]
    found.sort(key=lambda one: one.asked)
    return [*(replace(one, until=after.asked) for one, after in zip(found, found[1:])), *found[-1:]]


def _asked(evidence: Evidence, window: Window, service: str) -> list[str]:
    """The containers of a service that the engine sent a signal to."""
    return sorted({str(event.get("container")) for event in engine_events(evidence, window, service, "kill")})


def _restart(evidence: Evidence, window: Window, service: str, container: str, end: float) -> Restart:
    def seen(action: str, since: float) -> list[Line]:
        return [
            dict(event)
            for event in engine_events(evidence, window, service, action)
            if event.get("container") == container and event["t"] >= since
        ]

    def first_at(action: str, since: float | None) -> float | None:
        return None if since is None else next((float(event["t"]) for event in seen(action, since)), None)

    kills = seen("kill", float("-inf"))
    asked = float(kills[0]["t"])
    died = next(iter(seen("die", asked)), None)
    gone = None if died is None else float(died["t"])
    started = first_at("start", gone)
    return Restart(
        service=service,
        container=container,
        asked=asked,
        signals=tuple(
            _signal_number(event.get("signal")) for event in kills if gone is None or event["t"] <= gone
        ),
        died=gone,
        exit_code=None if died is None else died.get("exit_code"),
        started=started,
        healthy=first_at("health_status: healthy", started),
        until=end,
    )


def _signal_number(signal: object) -> int:
    text = str(signal or "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0
