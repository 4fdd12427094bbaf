# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The holder of database sessions: takes slots of PostgreSQL until it refuses one more, and keeps them.

Its sockets are opened inside the network namespace of the database's container, where the server listens on the
loopback address. Whatever ends this process (the undo, the fault's expiry, the run's end, a SIGKILL) ends its sessions,
because the kernel closes its sockets.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...common import clock
from ...common.errors import ChaosError
from ...common.json_files import read_json
from ...common.jsonl import Writer
from ...host import netns
from ...host.postgres.wire import TOO_MANY, Login, Session, SessionRefused
from ...run.folder import RunDir
from ...run.lifespan import Lifespan

COMMAND = "sessions"
PARAMETERS = "sessions.json"
SAMPLES = "sessions.jsonl"
#: Between two tries for one more: a slot that becomes free is ours after this long at most.
PAUSE_S = 0.1
#: A server that a crowd connects to is slow to answer us, too: waited for this long while taking, in seconds, ...
_PATIENT_S = 10.0
#: ... and this long once it was full, so that a sample comes at least so often.
_BRIEF_S = 0.5
#: How long after its expiry a holder that hangs may still be there, seconds.
_LATE_S = 1.0
#: How often it says how far it is until the server is full, seconds.
_SAYS_S = 1.0
#: More sessions than this in one go, and we look at the clock and at our orders again.
_AT_ONCE = 200


def main(run: RunDir) -> int:
    """Take sessions, say so when the server refused one more, and hold them until told, or until the expiry."""
    life = Lifespan(run)
    wanted = read_json(run.file(PARAMETERS))
    _many_descriptors()
    netns.enter_netns(int(wanted["pid"]))
    expires = float(wanted["expires"])
    # should this process ever hang, the kernel ends it (SIGALRM), and with it the sessions
    signal.setitimer(signal.ITIMER_REAL, max(0.1, expires - clock.read() + _LATE_S))

    def over() -> bool:
        return life.stopping or clock.read() >= expires

    holder = Holder(Login(**wanted["login"]), over)
    samples = Writer(run.file(SAMPLES))
    began, ready, said = clock.read(), False, 0.0
    while not over():
        try:
            holder.take()
        except ChaosError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        samples.write(holder.sample())
        if holder.full and not ready:
            ready = True
            run.register_process(
                COMMAND, began=began, full_at=holder.at, held=len(holder.sessions), refusal=holder.refusal
            )
        if not ready and clock.read() >= said + _SAYS_S:
            said = clock.read()
            sys.stderr.write(f"{holder.describe_progress()}\n")
            sys.stderr.flush()
        clock.sleep(PAUSE_S)
    holder.release()
    return 0


class Holder:
    """The sessions held now, and how the last try for one more ended."""

    def __init__(self, login: Login, over: Callable[[], bool] = lambda: False) -> None:
        """``over``: asked between two sessions, so that taking many does not outlive its time."""
        self._login = replace(login, timeout=_PATIENT_S)
        self._over = over
        self.sessions: list[Session] = []
        self.full = False
        self.refusal: dict[str, str] = {}
        self.problem = ""
        self.at = clock.read()

    def take(self) -> None:
        """Drop what the server ended, then open sessions until it refuses one.

        Raises ChaosError when the server refuses for another reason before it was ever full.
        """
        kept, was_full = [], self.full
        for session in self.sessions:
            if session.is_lost():
                session.close()
            else:
                kept.append(session)
        lost = len(self.sessions) - len(kept)
        self.sessions, self.full, self.problem = kept, False, ""
        for _number in range(_AT_ONCE):
            if self._over():
                return
            try:
                self.sessions.append(Session.open(self._login))
            except SessionRefused as refused:
                self.at = clock.read()
                if refused.sqlstate == TOO_MANY:
                    self.full = bool(self.sessions)
                    self.refusal = {"sqlstate": refused.sqlstate, "message": refused.message}
                    self._login = replace(self._login, timeout=_BRIEF_S)
                    return
                self._failed(refused)
                return
            except socket.timeout as error:
                # no answer says nothing of a free slot; all that we took is still ours
                self.full, self.problem = was_full and not lost, str(error)
                return
            except (OSError, ChaosError) as error:
                self.at = clock.read()
                self._failed(error)
                return

    def sample(self) -> dict[str, Any]:
        """Return what is held now: ``full`` when the last try that was answered was refused for want of a slot."""
        return {"t": clock.read(), "held": len(self.sessions), "full": self.full, "problem": self.problem}

    def describe_progress(self) -> str:
        """Return how many sessions are held and what the last try came to, for who waits for the server to be full."""
        last = self.problem or (self.refusal or {"message": "it let us in"})["message"]
        return f"{len(self.sessions)} sessions taken, the server not full yet; its last answer: {last}"

    def release(self) -> None:
        """End every session."""
        for session in self.sessions:
            session.close()
        self.sessions = []

    def _failed(self, error: Exception) -> None:
        """A server that is away for a while is waited for, once it was full; before that it is none to exhaust."""
        self.problem = str(error)
        if self.refusal:
            return
        if isinstance(error, ChaosError):
            raise error
        raise ChaosError(
            f"Nothing answers at {self._login.host}:{self._login.port} inside the database's container ({error})."
        ) from error


def _many_descriptors() -> None:
    """Let this process have as many sockets as the system grants it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
