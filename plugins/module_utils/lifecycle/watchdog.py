# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own keeper of a run: undoes faults at their time to live, ends a run nobody renews, heeds the guard.

Two of them run. The one that holds the lock on ``watchdog.lock`` works; the other sleeps in flock(2) and takes
over the instant the kernel frees the lock, which is when the first one dies, however it dies. The working
one starts a new second when that one dies. Nothing here waits for the controller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time

from ..common import clock
from ..common.errors import ChaosError, Unsupported
from ..faults.undo import overdue, undo
from ..host.docker_engine import load_sdk
from ..run import processes, timeline
from ..run.abort import abort_run, is_complete
from ..run.folder import RunDir
from ..run.journal import Journal
from ..run.lifespan import Lifespan
from . import abort_when
from .finish import finish_run

_TICK_S = 0.2
_GUARD_S = 1.0
#: The observers whose death is worth a line; a finished one has said so in the timeline.
OBSERVERS = ("events", "load", "probes", "capture", "interference")


def main(run: RunDir) -> int:
    """Take the lock or wait for it, then keep the run until it ends."""
    life = Lifespan(run, bounded=False)
    # all that an undo needs is in memory before there is a fault: the next may hold the disk
    with contextlib.suppress(Unsupported):
        load_sdk()
    lock = os.open(str(run.file("watchdog.lock")), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    first = _try(lock)
    if not first:
        run.register_process("standby")
        if not _wait(lock, life):
            return 0
        run.write_event(timeline.WATCHDOG_TAKEOVER, pid=os.getpid())
        run.log("warn", "The watchdog died; its standby took over.")
    run.register_process("watchdog")
    return Watchdog(run, life).keep()


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(lock: int, life: Lifespan) -> bool:
    """Poll for the lock; a blocking flock(2) would be restarted after SIGTERM and never see it."""
    while not life.stopping:
        if _try(lock):
            return True
        time.sleep(_TICK_S)
    return False


class Watchdog:
    """The working watchdog's loop; each duty is one method."""

    def __init__(self, run: RunDir, life: Lifespan) -> None:
        self._run = run
        self._life = life
        self._journal = Journal(run)
        self._said: set[str] = set()
        self._standby: subprocess.Popen[bytes] | None = None
        self._guard = abort_when.Guard(run)
        self._guarded = clock.now()

    def keep(self) -> int:
        """Run until told to stop (the run ended in order) or until the run was ended here."""
        while not self._life.stopping:
            self._keep_standby()
            self._undo_overdue()
            self._heed_abort()
            self._watch_observers()
            self._heed_guard()
            if clock.now() > self._run.read_deadline() and self._end():
                return 0
            time.sleep(_TICK_S)
        return 0

    def _keep_standby(self) -> None:
        """Start the second watchdog, again if it died; poll() also reaps it. After a takeover the old one is us."""
        if self._standby is not None and self._standby.poll() is None:
            return
        known = processes.living_process(self._run, "standby")
        if known is None or known["pid"] == os.getpid():
            try:
                self._standby = processes.launch_process(self._run, "watchdog")
            except OSError as error:
                self._say_once("warn", f"There is no second watchdog: {error}")

    def _undo_overdue(self) -> None:
        if any(overdue(entry) for entry in self._journal.open_entries()):
            try:
                undo(self._run, by="watchdog", wanted=overdue)
            except Exception as error:
                self._say_once("fail", f"An overdue fault could not be undone yet, trying on: {error}")

    def _watch_observers(self) -> None:
        stopped = self._run.read_timeline().stopped_observers
        for command in OBSERVERS:
            entry = self._run.file("processes") / f"{command}.json"
            if command not in stopped and entry.exists() and not processes.living_process(self._run, command):
                self._say_once("warn", f"The {command} observer died during the run.")

    def _heed_guard(self) -> None:
        if clock.now() - self._guarded < _GUARD_S:
            return
        self._guarded = clock.now()
        reason = self._guard.crossed()
        if not reason:
            return
        self._abort(reason, by="guard")
        try:
            undo(self._run, by="guard")
        except Exception as error:
            self._say_once("fail", f"The guard could not undo a fault yet: {error}")

    def _heed_abort(self) -> None:
        """Undo what is in force when the run was aborted from outside: by a sibling of its wave."""
        if not self._run.read_timeline().aborted(by="sibling") or not self._journal.open_entries():
            return
        try:
            undo(self._run, by="sibling")
        except Exception as error:
            self._say_once("fail", f"A fault could not be undone with the wave yet, trying on: {error}")

    def _end(self) -> bool:
        """End the run here and leave nothing but its record; False while a fault resists its undo: try on then."""
        if is_complete(self._run):
            self._say_once(
                "info", "Ended on the host: nothing was left to inject, and nobody came for the record"
            )
        else:
            self._abort("no word came from the controller in time", by="watchdog")
        try:
            finish_run(self._run, by="watchdog")
        except ChaosError as error:
            self._say_once("fail", str(error))
            return False
        return True

    def _abort(self, reason: str, by: str) -> None:
        """Tell, once, that the run is aborted: nothing is injected from now on. A full disk must not stop the undo."""
        with contextlib.suppress(ChaosError):
            abort_run(self._run, reason, by=by)

    def _say_once(self, level: str, text: str) -> None:
        """Log a line once; a disk that refuses it now gets it later."""
        if text not in self._said:
            with contextlib.suppress(ChaosError):
                self._run.log(level, text)
                self._said.add(text)
