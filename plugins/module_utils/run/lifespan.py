# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a process of a run lives: until it is told to stop, or the run is over, whatever became of the others."""

from __future__ import annotations

import signal
from typing import Any

from ..common import clock
from ..common.jsonl import Tail
from ..common.shapes import Line
from .folder import RunDir

#: Seconds a process outlives the run's deadline, so that the watchdog's own ending comes first.
GRACE_S = 10.0
_CHECK_S = 0.5


class Lifespan:
    """Answers two questions for an observer's loop: should I stop, and what has happened in the run since I asked?"""

    def __init__(self, run: RunDir, *, bounded: bool = True) -> None:
        """``bounded``: stop by itself long after the run's deadline; the watchdog, which ends the run, does not."""
        self._run = run
        self._bounded = bounded
        self._stopping = False
        self._checked = clock.read()
        self._tail = Tail(run.file("timeline.jsonl"))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """True once a signal came, the run's folder is gone, or (bounded) its deadline passed long ago."""
        if not self._stopping and clock.read() - self._checked >= _CHECK_S:
            self._checked = clock.read()
            late = self._bounded and clock.read() > self._run.read_deadline() + GRACE_S
            if late or not self._run.file("spec.json").exists():
                self._stopping = True
        return self._stopping

    def marks(self) -> list[Line]:
        """Return the timeline's lines that came since the last call."""
        return self._tail.poll()
