# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending runs from outside: what an earlier run left behind, and everything at once when somebody calls halt."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..common import bounds, clock
from ..common.errors import ChaosError
from ..common.programs import Unanswered, ask_program
from ..run import claims, timeline
from ..run.folder import RunDir
from ..run.journal import Journal
from ..run.liveness import is_abandoned, may_be_beginning
from ..run.state_dir import StateDir

Say = Callable[[str, str], None]

_TIMEOUT_S = 120
_LAST_BYTES, _WORDS_MAX = 64 * bounds.KIB, 300


def end_run(run: RunDir, *, by: str) -> None:
    """End a run through its own runtime, whose code knows its journal; through ours where that fails.

    Raises ChaosError when neither can.
    """
    failure = _end_by_own_runtime(run, by)
    if not failure or not run.path.exists():
        return
    try:
        # judges the run, which brings in half of the library: only where it is needed, as halt is to be quick
        from .finish import finish_run

        finish_run(run, by=by)
    except Exception as error:
        # the first words are those of the code that knows the run
        raise ChaosError(f"Run {run.path.name} could not be ended: {failure} ({_words(error)})") from error


def _end_by_own_runtime(run: RunDir, by: str, user: int | None = None) -> str:
    """Run the command ``finish`` of the run's own runtime; returns its last words if it failed, else an empty text.

    ``user``: as whom, where that is not who calls.
    """
    command = [
        str(run.known.get("python") or sys.executable),
        str(run.file("chaos.pyz")),
        "finish",
        str(run.path),
    ]
    environment = {**os.environ, "EXCHANGE_CHAOS_BY": by}
    try:
        whose = {} if user is None else _as_user(user, run.path)
        told = ask_program(
            command, seconds=_TIMEOUT_S, largest=_LAST_BYTES, env=environment, cwd="/", **whose
        )
    except (Unanswered, OSError) as error:
        return _words(error)
    return "" if told.code == 0 else told.last_words if told.err.strip() else "it said nothing"


def _words(error: Exception) -> str:
    return bounds.fit_line(str(error) or type(error).__name__, _WORDS_MAX)


def has_begun(run: RunDir) -> bool:
    """Return whether a run was opened: it has a specification, or a journal though that is lost."""
    return run.file("spec.json").exists() or bool(Journal(run).entries()) or bool(Journal(run).damaged())


def living_runs(state: StateDir) -> list[RunDir]:
    """Return the runs that somebody looks after."""
    return [run for run in state.list_runs() if has_begun(run) and not is_abandoned(run)]


def end_abandoned(state: StateDir, say: Say, *, act: bool = True, by: str = "preflight") -> int:
    """End all runs nobody looks after any more; with ``act`` false only name them. Returns how many there are.

    Raises ChaosError, after all were tried, when one resists; at once when the state folder is not ours alone.
    """
    state.require_ours()
    stale, failure = 0, None
    for run in state.list_runs():
        if not has_begun(run):
            stale += _never_begun(state, run, say, act=act)
        elif is_abandoned(run):
            stale += 1
            if act:
                _tell_aborted(run, "its processes were gone", by)
                try:
                    end_run(run, by=by)
                except ChaosError as error:
                    failure = failure or error
                    say("fail", str(error))
                    continue
            say(
                "warn",
                f"Run {run.path.name} was left behind; {'it was undone and ended' if act else 'it must be undone'}",
            )
    stale += _left_locks(state, say, act=act)
    if failure:
        raise failure
    return stale


def halt_runs(state: StateDir, project: str | None, say: Say, *, act: bool = True) -> list[str]:
    """End every run (of a project), watched or not, and return their ids. Raises ChaosError after trying all.

    Runs in other state folders, of this user and of others, are found by what their watchdogs claim.
    """
    state.require_ours()
    ended, failure = [], None
    for run in state.list_runs():
        of = run.known.get("project")
        if not has_begun(run):
            _never_begun(state, run, say, act=act)
            continue
        # a run that is too damaged to say whose it is may be the one that is meant
        if project and isinstance(of, str) and of != project:
            continue
        ended.append(run.path.name)
        if not act:
            say("info", f"Run {run.path.name} would be ended")
            continue
        _tell_aborted(run, "halt was called", "halt")
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
    for claim in _claims_elsewhere(state, project):
        ended.append(claim.run_id)
        if not act:
            say("info", f"Run {claim.run_id} would be ended; it lives in {claim.folder}")
            continue
        try:
            _end_elsewhere(claim)
            say("ok", f"Run {claim.run_id} ended; it lived in {claim.folder}")
        except ChaosError as error:
            failure = failure or error
            say("fail", str(error))
    _left_locks(state, say, act=act)
    if failure:
        raise failure
    if not ended:
        say("ok", "No run is under way on this host: nothing to undo")
    return ended


def _claims_elsewhere(state: StateDir, project: str | None) -> list[claims.Claim]:
    """Return the runs that somebody looks after in other state folders."""
    here = {run.path for run in state.list_runs()}
    return [claim for claim in claims.find_claims(project) if claim.folder not in here]


def _end_elsewhere(claim: claims.Claim) -> None:
    """End a run of another state folder, as the user it belongs to: its code is not run as anybody else.

    Raises ChaosError when that can't be done.
    """
    user = os.geteuid()
    if user not in (0, claim.user):
        raise ChaosError(
            f"Run {claim.run_id} is under way in {claim.folder} and belongs to user {claim.user}; that user or root "
            "ends it with playbooks/halt.yml."
        )
    run = RunDir(claim.folder)
    if user == claim.user:
        StateDir(claim.folder.parent.parent).require_ours()
        _tell_aborted(run, "halt was called", "halt")
    failure = _end_by_own_runtime(run, "halt", claim.user)
    if failure and claim.folder.exists():
        raise ChaosError(f"Run {claim.run_id} in {claim.folder} could not be ended: {failure}")


def _as_user(user: int, folder: Path) -> dict[str, Any]:
    """Return how to start a process as another user, with that one's groups and no more; nothing for ourselves.

    Of a user without a name the group is known that the run's folder has.
    """
    if user == os.geteuid():
        return {}
    try:
        known = pwd.getpwuid(user)
    except KeyError:
        return {"user": user, "group": folder.stat().st_gid, "extra_groups": []}
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return {"user": user, "group": known.pw_gid, "extra_groups": groups}


def _tell_aborted(run: RunDir, reason: str, by: str) -> None:
    """Note that a run is aborted from outside; never in the way of its undo, whatever is damaged or full."""
    try:
        at = clock.run_now(run.anchor)
    except ChaosError:
        at = clock.read()
    run.note(timeline.ABORTED, t=at, reason=reason, by=by)


def _never_begun(state: StateDir, run: RunDir, say: Say, *, act: bool) -> int:
    """A folder without a specification changed nothing yet: somebody just begins there, or began and died."""
    if may_be_beginning(time.time() - run.path.stat().st_mtime):
        return 0
    if act:
        state.discard_run(run)
    say("warn", f"Run {run.path.name} never began; its folder {'was removed' if act else 'must be removed'}")
    return 1


def _left_locks(state: StateDir, say: Say, *, act: bool) -> int:
    """Take away locks whose run never came to be, or is gone."""
    left = [lock for lock in state.left_locks() if not may_be_beginning(time.time() - lock.since)]
    for lock in left:
        if act:
            state.unlock_project(lock.project, lock.run_id)
        say(
            "warn",
            f"The lock of project {lock.project} was left by {lock.describe()}; "
            f"it {'was' if act else 'must be'} removed",
        )
    half = 0
    for path in state.half_locks() if act else ():
        with contextlib.suppress(FileNotFoundError):  # who was at it is done
            if not may_be_beginning(time.time() - path.stat().st_mtime):
                path.unlink()
                half += 1
    if act and (left or half):
        state.tidy_up()
    return len(left)
