# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load yields first: an exchange that does not come back is asked less, whatever the abort conditions say. Pure.

An overload may outlast its cause (a metastable failure; Bronson et al., HotOS 2021): the orders that keep an exchange
down are ours. So where most of them fail and no fault explains it, the load falls to its floor, then to a trickle; and
when those are answered again it returns. What was needed is in the timeline for the judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...run import timeline
from .outcomes import Outcome, Outcomes

#: The levels the load falls through, in order.
FULL, FLOOR, TRICKLE, OFF = "full", "floor", "trickle", "off"
TRICKLE_RATE = 0.5
#: Orders of so many seconds are looked at; a share of them above this that failed is too many.
LOOK_S = 3.0
SHARE = 0.5
FEWEST = 5
#: How long most orders may fail before the load yields (s): where no fault is in force or was undone lately; after a
#: fault was undone, or struck and was over at once; while one is held, when nearly all fail.
UNEXPLAINED_S, PATIENCE_S, HELD_S = 2.0, 10.0, 20.0
HELD_SHARE = 0.9
#: From one level to the next (s).
NEXT_S = 8.0
#: In the placebo what does not bear the calm rate this long after the surge (s) is left alone altogether.
PLACEBO_S = 0.8
#: Good answers in a row that let the load return, from a trickle and from the floor.
GOOD_TRICKLE, GOOD_FLOOR_S = 2, 2.0
#: It returns so often; an exchange that fails at its usual load each time is left at the floor.
RETURNS = 3


@dataclass
class Yielding:
    """Decides at which level the load is. ``slow_ms``: a good answer that took longer counts as a failed one."""

    slow_ms: float
    rates: Mapping[str, float]
    level: str = FULL
    _held: bool = False
    _in_fault: bool = False
    _since: float = 0.0
    _bad_since: float | None = None
    _changed: float = 0.0
    _returns: int = 0
    _surged: float | None = None
    _events: list[dict[str, Any]] = field(default_factory=list)

    def take_events(self, events: Iterable[Mapping[str, Any]], holding: Mapping[str, bool]) -> None:
        """Take in lines of the timeline. holding: which faults, by id, stay until they are undone."""
        for event in events:
            name, t = event.get("event"), float(event.get("t") or 0)
            if name == timeline.FAULT_INJECTED:
                self._in_fault, self._since, self._bad_since = True, t, None
                # orders of ours that keep an exchange down explain nothing: they are what yields
                self._held = holding.get(str(event.get("fault")), False) and not event.get("orders")
            elif name == timeline.FAULT_UNDONE and self._in_fault:
                if self._held:
                    self._return("the fault was undone", FULL, t)
                    self._since, self._bad_since = t, None
                self._held = False
            elif name == timeline.STEADY:
                self._in_fault = self._held = False
            elif name in (timeline.PLACEBO_END, timeline.FAULT_IMMINENT):
                self._surged = None

    def surge_ended(self, now: float) -> None:
        """The surge of a placebo was given up: what follows tells whether the exchange bears the rest."""
        self._surged = now

    def tick(self, outcomes: Outcomes, now: float) -> list[dict[str, Any]]:
        """Look at what came of the orders; returns events for the timeline, and leaves ``level`` as it is to be."""
        if self._surged is not None and now >= self._surged + PLACEBO_S:
            self._judge_placebo(outcomes, self._surged, now)
        elif self.level == FULL:
            self._judge(outcomes, now)
        else:
            self._judge_below(outcomes, now)
        events, self._events = self._events, []
        return events

    def _judge_placebo(self, outcomes: Outcomes, surged: float, now: float) -> None:
        """Once, a moment after the surge was given up: half of what was sent since must be answered, and in time."""
        since, self._surged = surged + PLACEBO_S / 2, None
        sent = [one for one in outcomes.ended(since, now) if one.at >= since and not one.surge]
        bad = sum(self._is_bad(one) for one in sent)
        waited = outcomes.waited_s(now)
        if waited <= PLACEBO_S / 2 and bad <= SHARE * len(sent):
            return
        words = f"{bad} of {len(sent)} orders failed" if bad else f"an order waits for {waited:.1f} s"
        self._fall(OFF, f"{words} though the surge is over, and nothing was broken", now, guard=True)

    def _judge(self, outcomes: Outcomes, now: float) -> None:
        seen = [one for one in outcomes.ended(now - LOOK_S, now) if one.telling and not one.surge]
        share = sum(self._is_bad(one) for one in seen) / len(seen) if seen else 0.0
        limit = HELD_SHARE if self._held else SHARE
        if len(seen) < FEWEST or share <= limit:
            # a held fault that lets no order end in time is no good news
            self._bad_since = None if seen else self._bad_since
            return
        self._bad_since = self._bad_since or now
        patience = HELD_S if self._held else PATIENCE_S if self._in_fault else UNEXPLAINED_S
        since = max(self._bad_since, self._since if self._in_fault else 0.0)
        if now - since >= patience:
            words = f"{share:.0%} of {len(seen)} orders failed, for {now - since:.0f} s on end"
            self._fall(FLOOR, words, now, guard=not self._in_fault)

    def _judge_below(self, outcomes: Outcomes, now: float) -> None:
        """At less than the full load: go on down, or return."""
        # what was sent before it fell is the old load's
        seen = [one for one in outcomes.ended(self._changed, now) if one.at >= self._changed and one.telling]
        good = 0
        for one in reversed(seen):
            if self._is_bad(one):
                break
            good += 1
        if self.level in (TRICKLE, OFF):
            if good >= GOOD_TRICKLE:
                self._return(f"{good} orders in a row were answered", FLOOR, now)
        elif good == len(seen) >= FEWEST and now - self._changed >= GOOD_FLOOR_S:
            if self._returns < RETURNS:
                self._returns += 1
                self._return(f"{good} orders in a row were answered", FULL, now)
        elif good < len(seen) and now - self._changed >= NEXT_S:
            bad = sum(map(self._is_bad, seen))
            self._fall(
                TRICKLE, f"{bad} of {len(seen)} orders failed at {self.rates[FLOOR]:g} per second", now
            )

    def _is_bad(self, one: Outcome) -> bool:
        slow = not (self._in_fault and self._held) and one.latency_ms > self.slow_ms
        return not one.ok or slow

    def _fall(self, level: str, reason: str, now: float, *, guard: bool = False) -> None:
        if guard:
            self._events.append({"event": timeline.LOAD_GUARD, "reason": reason})
        self._change(level, now)
        rate = self.rates[level]
        self._events.append({"event": timeline.LOAD_YIELDED, "rate": rate, "reason": reason, "level": level})

    def _return(self, reason: str, level: str, now: float) -> None:
        if self.level == FULL:
            return
        was = self.level
        self._change(level, now)
        rate = self.rates[level]
        self._events.append(
            {"event": timeline.LOAD_RESTORED, "rate": rate, "reason": reason, "level": level, "from": was}
        )

    def _change(self, level: str, now: float) -> None:
        self.level, self._changed, self._bad_since = level, now, None
