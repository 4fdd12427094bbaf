# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a host's clock is from the controller's: many exchanges on one open connection, the quickest counts.

An exchange whose answer took ``r`` seconds can be wrong by half of ``r`` at most, however the way there and the way
back share it (RFC 5905, section 8). So the shortest round trip gives the offset and, halved, its uncertainty.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

#: So many exchanges are asked for; fewer than the least, and the connection was too bad to say anything.
EXCHANGES, LEAST = 32, 20
#: Seconds for all of it, the start of the interpreter on the host included.
PATIENCE_S = 15.0
#: Read a line, say what time it is; ends with its input.
ECHO = "import sys,time\nfor _ in iter(sys.stdin.readline,''):print(repr(time.time()),flush=True)"
_LONGEST = 64
_ENDS_S = 2.0


class Unmeasured(Exception):
    """The clock could not be read; the message is a clause for people."""


@dataclass(frozen=True)
class ClockReading:
    """One question and its answer. ``sent``, ``host``: epoch seconds on each clock; ``took``: round trip, seconds."""

    sent: float
    took: float
    host: float

    @property
    def offset(self) -> float:
        """Return host clock minus controller clock in seconds, if both ways took the same time."""
        return self.host - (self.sent + self.took / 2)


@dataclass(frozen=True)
class Offset:
    """What is known of a clock. ``measured_at``: epoch seconds on the host's own clock; ``reason``: why unknown."""

    offset_ms: float | None
    uncertainty_ms: float | None
    measured_at: float | None = None
    reason: str = ""

    def fields(self) -> dict[str, float | str | None]:
        """Return it as a run's specification carries it (``clock``)."""
        return dict(vars(self))


def choose_best(exchanges: Sequence[ClockReading]) -> Offset:
    """Return what the quickest exchange says; unknown without any."""
    if not exchanges:
        return unknown_offset("no exchange was answered")
    quickest = min(exchanges, key=lambda one: one.took)
    half = 1000 * quickest.took / 2
    return Offset(round(1000 * quickest.offset, 4), round(half, 4), quickest.host)


def unknown_offset(reason: str) -> Offset:
    """Return an offset that nobody knows."""
    return Offset(None, None, None, reason)


def read_clock(argv: Sequence[str | bytes], patience: float = PATIENCE_S) -> list[ClockReading]:
    """Start a command that answers each line with its time, and exchange lines with it.

    Raises Unmeasured when it cannot be started, says something else, or answers too seldom in ``patience`` seconds.
    """
    until = time.monotonic() + patience
    try:
        # a session of its own: without a terminal nothing can ask a person for a password
        answering = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise Unmeasured(f"{os.fsdecode(argv[0])} cannot be started ({error.strerror})") from error
    try:
        return _exchange(answering, until)
    finally:
        _end(answering)


def _exchange(answering: subprocess.Popen[bytes], until: float) -> list[ClockReading]:
    to_host, from_host = (pipe.fileno() for pipe in _pipes(answering))
    found: list[ClockReading] = []
    while len(found) < EXCHANGES:
        try:
            sent, began = time.time(), time.perf_counter()
            os.write(to_host, b"\n")
            line = _line(from_host, until)
            took = time.perf_counter() - began
        except (OSError, TimeoutError) as error:
            if len(found) >= LEAST:
                break
            raise Unmeasured(f"only {len(found)} of {EXCHANGES} exchanges were answered") from error
        try:
            found.append(ClockReading(sent, took, float(line)))
        except ValueError as error:
            raise Unmeasured("the host answers something that is no time") from error
    return found


def _pipes(answering: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return its input and its output."""
    if answering.stdin is None or answering.stdout is None:
        raise Unmeasured("what answers has no pipes")
    return answering.stdin, answering.stdout


def _end(answering: subprocess.Popen[bytes]) -> None:
    """Let it end by the end of its input: an ssh that others share as their master must not be killed in the act."""
    to_host, from_host = _pipes(answering)
    with contextlib.suppress(OSError):
        to_host.close()
    try:
        answering.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        answering.kill()
        answering.wait()
    from_host.close()


def _line(stream: int, until: float) -> bytes:
    """Return one line. Raises TimeoutError when it does not come in time, OSError when the other side is gone."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST:
        if not select.select([stream], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(stream, _LONGEST)
        if not part:
            raise BrokenPipeError
        line += part
    return line
