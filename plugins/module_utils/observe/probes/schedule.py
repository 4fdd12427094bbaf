# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the next sample of a probe is due, and at which rate. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...run import timeline

#: A signal that has been good for so long (s) is sampled at its calm rate again.
TROUBLE_S = 1.0


class Pace:
    """The rate of all probes: their own until a fault or placebo comes, their fault rate until it is over.

    Their outage rate is for the time in which what they ask is bad, within that.
    """

    def __init__(self) -> None:
        self.fast = False

    def take_events(self, events: Iterable[Mapping[str, Any]]) -> bool:
        """Take in new lines of the timeline; returns whether the rate changed."""
        before = self.fast
        for event in events:
            if event.get("event") in (timeline.FAULT_IMMINENT, timeline.PLACEBO_BEGIN):
                self.fast = True
            elif event.get("event") in (timeline.STEADY, timeline.PLACEBO_END):
                self.fast = False
        return self.fast != before

    def rate(self, probe: Mapping[str, Any], *, troubled: bool = False) -> float:
        """Return samples per second for a probe now; ``troubled``: what it asks has lately been bad."""
        calm = float(probe["rate"])
        if not self.fast:
            return calm
        wanted = [calm, float(probe.get("fault_rate") or 0)]
        return max(*wanted, float(probe.get("outage_rate") or 0) if troubled else 0.0)


class Trouble:
    """Whether what a probe asks has lately been bad: from a bad sample until it has been good for a while.

    Most probes are dear to what they ask (each connect makes a database fork), and are dense only where their edges
    matter: before the fault that would cost the exchange more than all orders, and in an outage next to nothing.
    """

    def __init__(self) -> None:
        self._last_bad = -math.inf

    def take(self, at: float, *, ok: bool) -> None:
        """Take in a sample that was sent at boottime ``at``."""
        if not ok:
            self._last_bad = at

    def lasts(self, now: float) -> bool:
        """Return whether it does at boottime ``now``."""
        return now - self._last_bad < TROUBLE_S


def next_slot(origin: float, period: float, now: float) -> float:
    """Return the first instant of the grid ``origin + k * period`` after ``now``.

    A sample that took longer than the period leaves its slots empty: they are never made up for in a bunch.
    """
    return origin + (math.floor((now - origin) / period) + 1) * period
