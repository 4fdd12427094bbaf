# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aborting a run: said once, heeded by all. Nothing is injected from then on; the watchdog undoes what is in force."""

from __future__ import annotations

from .rundir import RunDir

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
