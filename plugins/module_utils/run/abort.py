# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aborting a run: said once, heeded by all. Nothing is injected from then on; the watchdog undoes what is in force.

A run that goes no further by what it has seen itself is not aborted: it only waits for its siblings and its record, and
may end without another word.
"""

from __future__ import annotations

from ..common.errors import ChaosError
from . import timeline
from .folder import RunDir
from .journal import Journal
from .state_dir import StateDir

_WHO = {
    "guard": "Guard",
    "sibling": "Stopped with its wave",
    "controller": "Ended before its time",
}
_HOST = "The run is ended on the host"


def abort_run(run: RunDir, reason: str, *, by: str) -> bool:
    """Write into the timeline that ``by`` aborts the run; False when it was aborted already.

    A disk that refuses gets it later: the undo that follows waits for no word.
    """
    if run.read_timeline().aborted():
        return False
    run.note(timeline.ABORTED, reason=reason, by=by)
    run.say("fail", f"{_WHO.get(by, _HOST)}: {reason}; every fault is undone now.")
    return True


def refuse_more_faults(run: RunDir, reason: str, fault: str | None = None) -> None:
    """Write into the timeline that the run injects nothing more, since its own measurements speak against it.

    ``fault`` names the one that could not be injected, if that is why. Raises ChaosError when the disk refuses.
    """
    run.write_event(timeline.NO_MORE_FAULTS, reason=reason, fault=fault)


def is_complete(run: RunDir) -> bool:
    """Return whether nothing is missing from the run if it ends now, though its controller has not come for it."""
    return bool(run.read_timeline().refusals) and not Journal(run).open_entries()


def abort_reason(state: StateDir, run_id: str) -> str:
    """Return why a run was aborted, under way or ended meanwhile; an empty text if it was not, or is not known here."""
    try:
        folders = state.run_dir(run_id), state.record_dir(run_id)
    except ChaosError:  # a name that is none: there is no such run
        return ""
    return next((reason for run in folders if (reason := run.read_timeline().abort_reason)), "")
