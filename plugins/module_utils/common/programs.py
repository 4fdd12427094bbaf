# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others that are asked something: bounded in bytes and in whole time, however many they start in turn.

``subprocess.run`` keeps all that is printed in memory, and waits for the end of a pipe that a grandchild may hold for
ever. What ran over its time is killed, and what it started with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from . import bounds
from .bounds import Deadline

#: So much is read at once, and so long a program that has ended is listened to while another holds its pipe (s).
_CHUNK, _LINGER_S = 64 * 1024, 0.5


@dataclass(frozen=True)
class Told:
    """What a program printed, of each stream the last bytes, and its exit code; not ``whole``: there was more."""

    code: int
    out: bytes
    err: bytes
    whole: bool

    @property
    def last_words(self) -> str:
        """Return the last line of its errors, of its output where there is none, else its exit code; clean and cut."""
        lines = self.err.strip().splitlines() or self.out.strip().splitlines()
        return bounds.fit_line(lines[-1], _WORDS) if lines else f"exit code {self.code}"


#: Letters of a program's last line that are shown.
_WORDS = 300


class Unanswered(Exception):
    """A program that could not be started or took too long; the message is a clause that says which."""


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, largest: int) -> None:
        self.data, self.whole = bytearray(), True
        self._largest = largest

    def add(self, part: bytes) -> None:
        self.data += part
        if len(self.data) > self._largest:
            self.whole = False
            del self.data[: -self._largest]


def ask_program(
    command: Sequence[str], *, seconds: float, largest: int = bounds.EXEC_OUTPUT, **options: Any
) -> Told:
    """Run a program to its end, without any input, and return what it said.

    seconds: its whole time; largest: bytes of each stream that are kept, the last; options: those of
    ``subprocess.Popen``, such as ``env``. Raises Unanswered.
    """
    try:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unanswered(f"it cannot be started ({_reason(error)})") from error
    with child:
        tails = {"out": _Tail(largest), "err": _Tail(largest)}
        try:
            _listen(child, tails, Deadline(seconds))
        except BaseException:
            _kill_session(child)
            raise
    return Told(
        child.returncode,
        bytes(tails["out"].data),
        bytes(tails["err"].data),
        all(one.whole for one in tails.values()),
    )


def _listen(child: subprocess.Popen[bytes], tails: dict[str, _Tail], limit: Deadline) -> None:
    """Read until the program has ended and has said all. Raises Unanswered when its time is over before."""
    with selectors.DefaultSelector() as waiting:
        for name, stream in (("out", child.stdout), ("err", child.stderr)):
            if stream is not None:
                waiting.register(stream, selectors.EVENT_READ, tails[name])
        last: Deadline | None = None
        while waiting.get_map() and not (last and last.passed):
            if limit.passed:
                raise Unanswered(f"it took more than {limit.seconds:.0f} s")
            for key, _events in waiting.select(min(limit.seconds_left, 0.1)):
                _read(waiting, key)
            if last is None and child.poll() is not None:
                last = Deadline(_LINGER_S)
    try:
        child.wait(limit.seconds_left)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"it took more than {limit.seconds:.0f} s") from None


def _read(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
    part = os.read(stream.fileno(), _CHUNK)
    if part:
        key.data.add(part)
    else:
        waiting.unregister(stream)


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
