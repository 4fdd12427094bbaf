# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending runs from outside: what an earlier run left behind, and everything at once when somebody calls halt."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from ..common import clock
from ..common.errors import ChaosError
from ..run import timeline
from ..run.folder import RunDir
from ..run.liveness import BEGINNING_S, is_abandoned
from ..run.state_dir import StateDir

Say = Callable[[str, str], None]

_TIMEOUT_S = 120


def end_run(run: RunDir, *, by: str) -> None:
    """End a run through its own runtime, whose code knows its journal. Raises ChaosError when that fails."""
    command = [
        str(run.spec.get("python") or sys.executable),
        str(run.file("chaos.pyz")),
        "finish",
        str(run.path),
    ]
    environment = {**os.environ, "EXCHANGE_CHAOS_BY": by}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChaosError(f"Run {run.path.name} could not be ended: {error}") from error
    if done.returncode != 0 and run.path.exists():
        words = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ChaosError(f"Run {run.path.name} could not be ended: {words[-1]}")


def end_abandoned(state: StateDir, say: Say, *, act: bool = True, by: str = "preflight") -> int:
    """End all runs nobody looks after any more; with ``act`` false only name them. Returns how many there are."""
    stale = 0
    for run in state.list_runs():
        if not run.file("spec.json").exists():
            stale += _never_begun(state, run, say, act=act)
        elif is_abandoned(run):
            stale += 1
            if act:
                run.write_event(
                    timeline.ABORTED, t=clock.run_now(run.anchor), reason="its processes were gone", by=by
                )
                end_run(run, by=by)
            say(
                "warn",
                f"Run {run.path.name} was left behind; {'it was undone and ended' if act else 'it must be undone'}",
            )
    return stale + _left_locks(state, say, act=act)


def halt_runs(state: StateDir, project: str | None, say: Say, *, act: bool = True) -> list[str]:
    """End every run (of a project), watched or not, and return their ids. Raises ChaosError after trying all."""
    ended, failure = [], None
    for run in state.list_runs():
        if not run.file("spec.json").exists() or (project and run.spec["project"] != project):
            continue
        ended.append(run.path.name)
        if not act:
            say("info", f"Run {run.path.name} would be ended")
            continue
        run.write_event(timeline.ABORTED, t=clock.run_now(run.anchor), reason="halt was called", by="halt")
        try:
            end_run(run, by="halt")
            say(
                "ok",
                f"Run {run.path.name} ended; everything of it is undone, its record waits in "
                f"{state.record_dir(run.path.name).path}",
            )
        except ChaosError as error:
            failure = failure or error
            say("fail", str(error))
    _left_locks(state, say, act=act)
    if failure:
        raise failure
    if not ended:
        say("ok", "No run is under way on this host: nothing to undo")
    return ended


def _never_begun(state: StateDir, run: RunDir, say: Say, *, act: bool) -> int:
    """A folder without a specification changed nothing yet: somebody just begins there, or began and died."""
    if time.time() - run.path.stat().st_mtime < BEGINNING_S:
        return 0
    if act:
        state.discard_run(run)
    say("warn", f"Run {run.path.name} never began; its folder {'was removed' if act else 'must be removed'}")
    return 1


def _left_locks(state: StateDir, say: Say, *, act: bool) -> int:
    """Take away locks whose run never came to be, or is gone."""
    left = state.left_locks(BEGINNING_S)
    for lock in left:
        if act:
            state.unlock_project(lock.project, lock.run_id)
        say(
            "warn",
            f"The lock of project {lock.project} was left by {lock.describe()}; "
            f"it {'was' if act else 'must be'} removed",
        )
    if left and act:
        state.tidy_up()
    return len(left)
