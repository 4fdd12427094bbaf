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
from collections.abc import Callable

from ..common import clock
from ..common.errors import ChaosError, Unsupported
from ..faults import registry
from ..faults.undo import is_overdue, undo
from ..host.docker_engine import load_sdk
from ..run import claims, lease, processes, timeline
from ..run.abort import abort_run, is_complete
from ..run.folder import RunDir
from ..run.journal import Journal
from ..run.lifespan import Lifespan
from ..snapshot.network import load_netlink
from . import abort_when
from .finish import finish_run

_TICK_S = 0.2
_GUARD_S = 1.0
_LONGEST_PAUSE_S = 30.0


def main(run: RunDir) -> int:
    """Take the lock or wait for it, then keep the run until it ends."""
    life = Lifespan(run, bounded=False)
    # all that an undo needs is in memory before there is a fault: the next may hold the disk
    with contextlib.suppress(Unsupported):
        load_sdk()
    with contextlib.suppress(ChaosError):
        load_netlink()
    with contextlib.suppress(
        ChaosError
    ):  # a damaged specification keeps the watchdog from none of its duties
        for fault in run.spec.faults:
            registry.by_kind(fault.kind)
    # seen by every user of the host as long as this process lives
    held = claims.hold_claim(str(run.known.get("project") or ""), run.path.name)
    lock = os.open(str(run.file("watchdog.lock")), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    first = _try(lock)
    if not first:
        run.register_process("standby")
        if not _wait(lock, life):
            return 0
        run.note(timeline.WATCHDOG_TAKEOVER, pid=os.getpid())
        run.say("warn", "The watchdog died; its standby took over.")
    with contextlib.suppress(OSError):  # a standby that takes over on a full disk undoes all the same
        run.register_process("watchdog")
    try:
        with contextlib.closing(held) if held is not None else contextlib.nullcontext():
            return Watchdog(run, life).keep_watch()
    except Exception as error:
        # the standby takes over; that this one failed is never taken for a run in order
        run.note(timeline.WATCHDOG_FAILED, duty="all", error=f"{type(error).__name__}: {error}")
        raise


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
        self._failed: set[str] = set()
        #: Not before this boottime is an ending tried again that resisted; the pause grows.
        self._again, self._pause = 0.0, _TICK_S
        self._standby: subprocess.Popen[bytes] | None = None
        self._guard: abort_when.Guard | None = None
        self._guarded = clock.read()

    def keep_watch(self) -> int:
        """Run until told to stop (the run ended in order) or until the run was ended here."""
        while not self._life.stopping:
            for name, duty in self._duties:
                self._do(name, duty)
            if self._time_is_over() and self._end():
                return 0
            time.sleep(_TICK_S)
        return 0

    @property
    def _duties(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        # the undo first: nothing that comes after may keep it
        return (
            ("undo", self._undo_overdue),
            ("standby", self._keep_standby),
            ("abort", self._heed_abort),
            ("observers", self._watch_observers),
            ("guard", self._heed_guard),
        )

    def _do(self, name: str, duty: Callable[[], None]) -> None:
        """Do a duty. One that fails costs the run its pass, and none of the others; a dead guard ends the run."""
        try:
            duty()
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            if name not in self._failed:
                self._failed.add(name)
                self._run.note(timeline.WATCHDOG_FAILED, duty=name, error=told)
                self._run.say("fail", f"The watchdog failed at its duty {name}: {told}")
            if name == "guard":
                self._stop(f"the guard could not look whether its limits hold ({told})", by="guard")

    def _time_is_over(self) -> bool:
        """Return whether to end the run now: nobody renewed it, and what resisted was not tried just now."""
        return clock.read() > max(self._run.read_deadline(), self._again)

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
        entries = self._journal.open_entries()
        for entry in entries:  # one that the specification does not have
            with contextlib.suppress(ChaosError):
                registry.by_kind(entry.kind)
        if any(is_overdue(entry) for entry in entries):
            try:
                undo(self._run, by="watchdog", wanted=is_overdue)
            except Exception as error:
                self._say_once("fail", f"An overdue fault could not be undone yet, trying on: {error}")

    def _watch_observers(self) -> None:
        stopped = self._run.read_timeline().stopped_observers
        for command in processes.OBSERVERS:  # one that is finished has said so in the timeline
            entry = self._run.file("processes") / f"{command}.json"
            if command not in stopped and entry.exists() and not processes.living_process(self._run, command):
                self._say_once("warn", f"The {command} observer died during the run.")
                if command == "events" and not self._run.read_timeline().unseen_to_the_end:
                    self._run.note(timeline.EVENTS_UNSEEN, since=clock.read())

    def _heed_guard(self) -> None:
        if clock.read() - self._guarded < _GUARD_S:
            return
        self._guarded = clock.read()
        if self._guard is None:
            self._guard = abort_when.Guard(self._run)
        reason = self._guard.crossed()
        if reason:
            self._stop(reason, by="guard")

    def _stop(self, reason: str, by: str) -> None:
        """Abort the run and undo what is in force."""
        abort_run(self._run, reason, by=by)
        try:
            undo(self._run, by=by)
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
            abort_run(self._run, self._expiry_reason(), by="watchdog")
        try:
            finish_run(self._run, by="watchdog")
        except Exception as error:
            self._say_once("fail", str(error) or type(error).__name__)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
            self._again = clock.read() + self._pause
            return False
        return True

    def _expiry_reason(self) -> str:
        try:
            return lease.expiry_reason(self._run)
        except ChaosError as error:
            return f"nobody renewed the run, and it is damaged: {error}"

    def _say_once(self, level: str, text: str) -> None:
        """Log a line once; a disk that refuses it now gets it later."""
        if text not in self._said:
            self._said.add(text)
            self._run.say(level, text)
