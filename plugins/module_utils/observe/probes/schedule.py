# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the next sample of a probe is due, and at which rate. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...run import timeline


class Pace:
    """The rate of all probes: their own until a fault or placebo comes, their fault rate until it is over."""

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

    def rate(self, probe: Mapping[str, Any]) -> float:
        """Return samples per second for a probe now."""
        calm = float(probe["rate"])
        return max(calm, float(probe.get("fault_rate") or 0)) if self.fast else calm


def next_slot(origin: float, period: float, now: float) -> float:
    """Return the first instant of the grid ``origin + k * period`` after ``now``.

    A sample that took longer than the period leaves its slots empty: they are never made up for in a bunch.
    """
    return origin + (math.floor((now - origin) / period) + 1) * period
