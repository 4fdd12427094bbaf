# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's timeline: the names of its events, each spelled here alone, and what they tell as questions with an answer.

A line is an event: ``t`` (boottime), ``event`` (its name), ``fault`` where it belongs to one, and what it carries
besides. Processes append to it (:meth:`.folder.RunDir.write_event`), whoever wants to know reads it anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ..common.shapes import is_instant

#: The run: opened, a line for people, its phases, time that was waited on purpose.
OPENED = "opened"
LOG = "log"
PHASE = "phase"
PHASE_END = "phase_end"
WAITED = "waited"
#: A fault: announced, injected, undone, and what shows and measures it.
FAULT_IMMINENT = "fault_imminent"
FAULT_INJECTED = "fault_injected"
FAULT_UNDONE = "fault_undone"
PROOF = "proof"
MEASURED = "measured"
APP_LOG = "app_log"
#: Steady state: not there at the start, back after a fault, not back in time, and what was done about that.
NO_STEADY_STATE = "no_steady_state"
STEADY = "steady"
NOT_STEADY = "not_steady"
RESCUE = "rescue"
#: The end: nothing is injected any more, the run is aborted, is being ended, is ended.
NO_MORE_FAULTS = "no_more_faults"
ABORTED = "aborted"
FINISHING = "finishing"
FINISHED = "finished"
STEP_FAILED = "step_failed"
REBOOTED = "rebooted"
#: The placebo: all but the fault comes, is over, or was more than the exchange bears.
PLACEBO_BEGIN = "placebo_begin"
PLACEBO_END = "placebo_end"
PLACEBO_STRAIN = "placebo_strain"
#: What the load says of its surge and of itself.
SURGE_PLAN = "surge_plan"
LOAD_GUARD = "load_guard"
LOAD_YIELDED = "load_yielded"
LOAD_RESTORED = "load_restored"
#: The run's own processes.
OBSERVER_STOPPED = "observer_stopped"
WATCHDOG_TAKEOVER = "watchdog_takeover"
WATCHDOGS_STOPPED = "watchdogs_stopped"
#: What was lost of those who keep the run: a watchdog's duty that failed, or both watchdogs.
WATCHDOG_FAILED = "watchdog_failed"
KEEPERS_LOST = "keepers_lost"
#: A module on its way back to the controller with an error, and lines of the timeline that came late.
MODULE_FAILED = "module_failed"
UNWRITTEN = "unwritten"
#: From when until when nobody saw the engine's events; until the end of the run without ``until``.
EVENTS_UNSEEN = "events_unseen"
#: What the run's own processes cost the host: CPU seconds by process, and their share of a core.
OWN_COST = "own_cost"
#: The depth of the order book before the load.
BOOK = "book"

Event = Mapping[str, Any]
_Line = TypeVar("_Line", bound=Event)


def well_formed(lines: Iterable[_Line]) -> list[_Line]:
    """Return the lines that are events; what a full disk or a stranger left between them is none."""
    return [line for line in lines if isinstance(line.get("event"), str) and is_instant(line.get("t"))]


@dataclass(frozen=True, eq=False)
class Timeline(Sequence[Event]):
    """The events of a run, oldest first."""

    events: Sequence[Event] = ()

    @overload
    def __getitem__(self, place: int) -> Event: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Event]: ...

    def __getitem__(self, place: int | slice) -> Event | Sequence[Event]:
        """Return an event by its place."""
        return self.events[place]

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self.events)

    def named(self, *names: str, fault: str | None = None) -> list[Event]:
        """Return the events of these names, of one fault if given."""
        return [
            event
            for event in self.events
            if event["event"] in names and (fault is None or event.get("fault") == fault)
        ]

    # the run

    @property
    def log_lines(self) -> list[Event]:
        """Return the lines for people: ``level``, ``text``, ``step``."""
        return self.named(LOG)

    @property
    def phase_marks(self) -> list[Event]:
        """Return where phases (``id``) began and ended."""
        return self.named(PHASE, PHASE_END)

    def phase_began(self, phase: str) -> list[float]:
        """Return each boottime at which a phase began: a baseline may begin anew."""
        return [float(event["t"]) for event in self.named(PHASE) if event.get("id") == phase]

    @property
    def waited_s(self) -> float:
        """Return the seconds of waiting on purpose."""
        return sum(float(event.get("seconds") or 0) for event in self.named(WAITED))

    @property
    def book_depth(self) -> Any:
        """Return the depth of the order book before the load, None if nobody looked."""
        return next((event.get("depth") for event in self.named(BOOK)), None)

    @property
    def last(self) -> float:
        """Return the boottime of the last event, 0 without one."""
        return max((float(event["t"]) for event in self.events), default=0.0)

    # a fault

    def injections(self, fault: str | None = None) -> list[Event]:
        """Return the injections, those of one fault if given."""
        return self.named(FAULT_INJECTED, fault=fault)

    def injected_at(self, fault: str | None) -> float | None:
        """Return when a fault was injected last, boottime; None while it was not, or without a fault."""
        times = [float(event["t"]) for event in self.injections(fault)] if fault else []
        return times[-1] if times else None

    def undone(self, fault: str) -> Event | None:
        """Return the undo of a fault (``by``, ``how``), None while there is none."""
        return next(iter(self.named(FAULT_UNDONE, fault=fault)), None)

    def proofs(self, fault: str) -> list[Event]:
        """Return what showed a fault at its injection and undo: ``source``, ``fact``, ``value``, ``holds``."""
        return self.named(PROOF, fault=fault)

    def measured(self, name: str | None = None, fault: str | None = None) -> list[Event]:
        """Return what was measured under a name, of one fault if given."""
        return [event for event in self.named(MEASURED, fault=fault) if name in (None, event.get("name"))]

    def app_logs(self, fault: str | None = None) -> list[Event]:
        """Return what the application's log said of each fault (``logged_at``, ``line``; null: it said nothing)."""
        return self.named(APP_LOG, fault=fault)

    # the placebo

    @property
    def placebo_ends(self) -> list[Event]:
        """Return what was seen by the end of the placebo: ``steady``, ``reasons``, ``wall_s``."""
        return self.named(PLACEBO_END)

    @property
    def strains(self) -> list[Event]:
        """Return why (``reason``) our own load was more than the exchange bears."""
        return self.named(PLACEBO_STRAIN)

    @property
    def surge_plans(self) -> list[Event]:
        """Return how much the load meant to send around a kill: ``rate``, ``reached``, ``visible_ms``, ``reason``."""
        return self.named(SURGE_PLAN)

    @property
    def yields(self) -> list[Event]:
        """Return when the load fell below its rate: ``rate``, ``level`` (floor, trickle, off), ``reason``."""
        return self.named(LOAD_YIELDED)

    @property
    def returns(self) -> list[Event]:
        """Return when the load rose again: ``rate``, ``level`` (floor, full), ``from``, ``reason``."""
        return self.named(LOAD_RESTORED)

    # steady state

    @property
    def unsteady_starts(self) -> list[Event]:
        """Return why (``reasons``) there was no steady state at the start; ``busy``: what else the host did."""
        return self.named(NO_STEADY_STATE)

    def recovered(self, fault: str | None) -> bool:
        """Return whether steady state was seen to be back after a fault."""
        return any(event.get("fault") == fault for event in self.named(STEADY))

    def gave_up(self, fault: str) -> bool:
        """Return whether steady state was not back in the time it was given."""
        return bool(self.named(NOT_STEADY, fault=fault))

    @property
    def rescues(self) -> list[Event]:
        """Return what was restarted (``service``) since steady state did not come back."""
        return self.named(RESCUE)

    # the end

    @property
    def aborts(self) -> list[Event]:
        """Return who aborted the run (``by``) and why (``reason``)."""
        return self.named(ABORTED)

    def aborted(self, *, by: str | None = None) -> bool:
        """Return whether the run was aborted, by a certain one (guard, sibling, halt, …) if given."""
        return any(by in (None, event.get("by")) for event in self.aborts)

    @property
    def abort_reason(self) -> str:
        """Return why the run was aborted first, an empty text if it was not."""
        return next((str(event.get("reason", "")) for event in self.aborts), "")

    @property
    def being_ended(self) -> bool:
        """True once somebody ends the run."""
        return bool(self.named(FINISHING))

    @property
    def refusals(self) -> list[Event]:
        """Return why nothing more is injected (``reason``): what the run saw itself, or a ``fault`` that failed."""
        return self.named(NO_MORE_FAULTS)

    @property
    def failed_steps(self) -> list[Event]:
        """Return the steps of the run's end (``step``) that failed, with their ``error``."""
        return self.named(STEP_FAILED)

    @property
    def keeper_failures(self) -> list[Event]:
        """Return the duties (``duty``) at which a watchdog failed, with their ``error``."""
        return self.named(WATCHDOG_FAILED)

    @property
    def keeper_losses(self) -> list[Event]:
        """Return where a watchdog died and its standby took over, and where both were found dead."""
        return self.named(WATCHDOG_TAKEOVER, KEEPERS_LOST)

    @property
    def late_lines(self) -> int:
        """Return how many lines could not be written when they were due."""
        return sum(int(event.get("lines") or 0) for event in self.named(UNWRITTEN))

    @property
    def unseen(self) -> list[tuple[float, float]]:
        """Return from when until when nobody saw the engine's events, boottime."""
        return [
            (float(event["since"]), float(event["until"]) if is_instant(event.get("until")) else math.inf)
            for event in self.named(EVENTS_UNSEEN)
            if is_instant(event.get("since"))
        ]

    @property
    def unseen_to_the_end(self) -> bool:
        """True when nobody saw the engine's events any more when the run ended."""
        return any(until == math.inf for _since, until in self.unseen)

    def module_failures(self, since: float) -> list[Event]:
        """Return the modules that failed (``module``, ``error``) from a boottime on."""
        return [event for event in self.named(MODULE_FAILED) if event["t"] >= since]

    @property
    def rebooted(self) -> bool:
        """True when the host was rebooted in the run."""
        return bool(self.named(REBOOTED))

    def stopped_at(self, *commands: str) -> list[float]:
        """Return when processes of the run were told to stop, boottime."""
        return [
            float(event["t"]) for event in self.named(OBSERVER_STOPPED) if event.get("command") in commands
        ]

    @property
    def stopped_observers(self) -> set[str]:
        """Return the commands of the processes that were ended on purpose."""
        return {str(event.get("command")) for event in self.named(OBSERVER_STOPPED)}
