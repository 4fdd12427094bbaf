# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole-time bound for libraries that bound each socket operation only: at the deadline the socket is shut down.

A time-out of ``socket``, ``http.client``, ``urllib3`` or the Docker SDK begins anew with every byte. One thread of this
process ends what is still being read when its time is over (shutdown(2)); the reader sees the connection's end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol


class Cut:
    """One piece of work under a deadline. ``socket`` may be set later, when the library has made it."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.done = False
        #: Whether the time was over before the work was.
        self.over = False
        self._socket: Any = None

    def watch(self, connection: Any) -> None:
        """Name the socket to shut down; one that comes too late is shut down at once."""
        self._socket = connection
        if self.over:
            self._shut()

    def end(self) -> None:
        """End the work: its time is over."""
        self.over = True
        self._shut()

    def _shut(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError, ValueError):
            # past any TLS around it: there is nothing left to say to the other end
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Clock:
    """The thread that ends what is late; started by the first that needs it, anew in a forked child."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[Cut] = []
        self._thread: threading.Thread | None = None

    def add(self, cut: Cut) -> None:
        with self._condition:
            self._waiting.append(cut)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cut-off", daemon=True)
                self._thread.start()
            self._condition.notify()

    def remove(self, cut: Cut) -> None:
        with self._condition:
            cut.done = True
            with contextlib.suppress(ValueError):
                self._waiting.remove(cut)

    def _run(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                for cut in [one for one in self._waiting if one.until <= now]:
                    self._waiting.remove(cut)
                    cut.end()
                nearest = min((one.until for one in self._waiting), default=None)
                self._condition.wait(None if nearest is None else max(0.0, nearest - now))


_clock = _Clock()


def _after_fork() -> None:
    global _clock
    _clock = _Clock()


os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def limit_time(seconds: float, connection: Any = None) -> Iterator[Cut]:
    """Bound the time of what is done inside; ``connection`` is the socket, if there is one already."""
    cut = Cut(seconds)
    if connection is not None:
        cut.watch(connection)
    clock = _clock
    clock.add(cut)
    try:
        yield cut
    finally:
        clock.remove(cut)


class HasCut(Protocol):
    """What knows the piece of work that this thread has under way."""

    cut: Cut | None


def watch_connections(plain: Any, work: HasCut) -> Any:
    """Return a class of urllib3's connections whose sockets the deadline of the work under way can shut down.

    The hooks have the same names in urllib3 1.26 and 2: a new socket (before TLS), one that is connected, and a request
    on one that was kept.
    """

    class Watched(plain):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            made = super()._new_conn()
            _watch(made)
            return made

        def connect(self) -> Any:
            made = super().connect()
            _watch(self.sock)
            return made

        def putrequest(self, *arguments: Any, **options: Any) -> Any:
            _watch(self.sock)
            return super().putrequest(*arguments, **options)

    def _watch(connection: Any) -> None:
        if connection is not None and work.cut is not None:
            work.cut.watch(connection)

    return Watched
