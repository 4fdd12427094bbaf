# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who fits the load to what the exchange bears: how far a surge goes, and when the load yields. Pure.

Reads the timeline and the load's own outcomes, changes the schedule, and says in events what it did and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...run import timeline
from ...run.specification import LoadSpec, Specification
from .outcomes import Outcomes
from .schedule import Schedule
from .surge import Calm, Climb, explain_strain, explain_suffering
from .yielding import FLOOR, FULL, OFF, TRICKLE, TRICKLE_RATE, Yielding

#: An order that fails so shortly (s) before a kill is told may be the kill's doing.
_TOLD_S = 0.3
#: A surge before a kill is compared with what was before it only after so long (s).
_SURGED_S = 0.3

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What of a run's specification the load goes by, besides the orders themselves.

    rate, floor, surge: orders per second; visible_ms: the shortest loss that is to show; slow_ms: a good answer that
    takes longer is none of steady state; held: by fault, whether it stays until it is undone.
    """

    rate: float
    floor: float
    surge: float
    visible_ms: float
    slow_ms: float
    held: Mapping[str, bool]

    @classmethod
    def from_spec(cls, spec: Specification) -> Wanted:
        """Read it from a run's specification."""
        load = spec.load or LoadSpec()
        return cls(
            rate=load.rate,
            floor=load.floor or load.rate / 2,
            surge=load.burst_rate if load.burst_s else 0.0,
            visible_ms=spec.thresholds.loss_visible_ms,
            slow_ms=spec.thresholds.p99_ms,
            held={fault.id: fault.hold_s > 0 for fault in spec.faults},
        )

    @property
    def rates(self) -> dict[str, float]:
        """Return orders per second by level."""
        return {FULL: self.rate, FLOOR: self.floor, TRICKLE: min(TRICKLE_RATE, self.floor), OFF: 0.0}


class Governor:
    """Looks at everything once a tick."""

    def __init__(self, wanted: Wanted, schedule: Schedule) -> None:
        self._wanted = wanted
        self._schedule = schedule
        self._outcomes = Outcomes()
        self._yielding = Yielding(wanted.slow_ms, wanted.rates)
        self._level = FULL
        self._climb: Climb | None = None
        self._kill: tuple[float, Calm] | None = None

    def tick(
        self,
        now: float,
        marks: Sequence[Mapping[str, Any]],
        lines: Iterable[Mapping[str, Any]],
        waiting_since: float | None,
    ) -> Events:
        """Take in what came; returns events for the timeline.

        marks: new lines of it; lines: orders that ended; waiting_since: when the oldest order under way was sent.
        """
        self._outcomes.add(lines, waiting_since)
        self._schedule.take_events(marks)
        self._yielding.take_events(marks, self._wanted.held)
        for event in marks:
            self._heed(event, now)
        return [*self._surge(now), *self._back_off(now), *self._yield(now)]

    def _heed(self, event: Mapping[str, Any], now: float) -> None:
        name, t = event.get("event"), float(event.get("t") or now)
        if name == timeline.PLACEBO_BEGIN and self._wanted.surge and event.get("ends_target"):
            self._climb = Climb(
                self._wanted.surge, self._wanted.visible_ms, t, Calm.before(self._outcomes, t)
            )
        elif name == timeline.PLACEBO_END and self._climb is not None:
            self._climb.end("the placebo was over")
        elif name == timeline.FAULT_IMMINENT and event.get("ends_target") and self._schedule.surge_rate:
            self._kill = (t, Calm.before(self._outcomes, t))
        elif name in (timeline.FAULT_INJECTED, timeline.STEADY):
            self._kill = None

    def _surge(self, now: float) -> Events:
        """Go on climbing; once that is over, every kill of the run brings what came of it."""
        climb = self._climb
        if climb is None:
            return []
        before = climb.rate
        if climb.tick(self._outcomes, now) != before:
            self._schedule.surge(climb.rate, now)
        if climb.plan is None:
            return []
        self._climb = None
        # a kill later in the run, too, brings no more than this
        self._schedule.surge_rate = climb.plan["rate"]
        if climb.plan["visible_ms"] is None and climb.plan["reason"]:
            self._schedule.drop_watch(
                now
            )  # not even that is borne, so it would be the error that it is to find
        if climb.plan["reached"] > climb.plan["rate"] or climb.plan["visible_ms"] is None:
            self._yielding.surge_ended(now)
        return [{"event": timeline.SURGE_PLAN, **climb.plan}]

    def _back_off(self, now: float) -> Events:
        """End the surge before a kill when the other orders suffer as they did not in the placebo."""
        if self._kill is None:
            return []
        since, calm = self._kill
        what = f"the surge of {self._schedule.surge_rate:g} orders/s before the fault"
        told = explain_strain(self._outcomes, since, now - _TOLD_S, calm, what)
        if not told and now >= since + _SURGED_S:
            told = explain_suffering(self._outcomes, since, now, calm, what)
        if not told:
            return []
        self._kill = None
        self._schedule.surge(0.0, now)
        return [{"event": timeline.LOAD_GUARD, "reason": told}]

    def _yield(self, now: float) -> Events:
        events = self._yielding.tick(self._outcomes, now)
        level = self._yielding.level
        if level != self._level:
            if level == FULL:
                self._schedule.release(now)
            else:
                self._schedule.hold_to(self._wanted.rates[level], now)
                if self._climb is not None:
                    self._climb.end("the load yielded")
            self._level = level
        return events
