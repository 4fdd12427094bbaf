# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aborting a run: said once, heeded by all. Nothing is injected from then on; the watchdog undoes what is in force.

A run that goes no further by what it has seen itself is not aborted: it only waits for its siblings and its record, and
may end without another word.
"""

from __future__ import annotations

from ..common.errors import ChaosError
from .folder import RunDir
from .journal import Journal
from .state import State

_WHO = {
    "guard": "Guard",
    "sibling": "Stopped with its wave",
    "controller": "Ended before its time",
}
_HOST = "The run is ended on the host"


def abort(run: RunDir, reason: str, *, by: str) -> bool:
    """Write into the timeline that ``by`` aborts the run; False when it was aborted already.

    Raises ChaosError when the disk refuses.
    """
    if any(event["event"] == "aborted" for event in run.events()):
        return False
    run.timeline("aborted", reason=reason, by=by)
    run.log("fail", f"{_WHO.get(by, _HOST)}: {reason}; every fault is undone now.")
    return True


def no_more_faults(run: RunDir, reason: str, fault: str | None = None) -> None:
    """Write into the timeline that the run injects nothing more, since its own measurements speak against it.

    ``fault`` names the one that could not be injected, if that is why. Raises ChaosError when the disk refuses.
    """
    run.timeline("no_more_faults", reason=reason, fault=fault)


def complete(run: RunDir) -> bool:
    """Return whether nothing is missing from the run if it ends now, though its controller has not come for it."""
    return run.saw("no_more_faults") and not Journal(run).open_entries()


def why(state: State, run_id: str) -> str:
    """Return why a run was aborted, under way or ended meanwhile; an empty text if it was not, or is not known here."""
    try:
        folders = state.run(run_id), state.record(run_id)
    except ChaosError:  # a name that is none: there is no such run
        return ""
    events = (event for run in folders for event in run.events())
    return next((str(event["reason"]) for event in events if event["event"] == "aborted"), "")
