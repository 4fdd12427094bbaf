# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded pool of threads that grows with what is outstanding, for requests that may hang until they time out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Task = TypeVar("Task")

#: Enough for one HTTP request; a thousand threads at the default of 8 MiB would frighten an owner.
_STACK_BYTES = 512 * 1024


class Workers(Generic[Task]):
    """Runs ``work(task)`` on a thread at once, or says that all are taken; nothing ever waits in a queue."""

    def __init__(self, work: Callable[[Task], None], most: int) -> None:
        """work: must not raise. most: the largest number of tasks under way at once."""
        self._work = work
        self._most = most
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0

    def submit(self, task: Task) -> bool:
        """Give a task to a free thread, or a new one; False when the pool is exhausted and nothing was done."""
        with self._lock:
            if self._busy >= self._most:
                return False
            self._busy += 1
            grow = self._busy > self._threads
            self._threads += grow
        self._tasks.put(task)
        if grow:
            previous = threading.stack_size(_STACK_BYTES)
            try:
                threading.Thread(target=self._run, daemon=True).start()
            finally:
                threading.stack_size(previous)
        return True

    @property
    def busy(self) -> int:
        """Number of tasks under way."""
        return self._busy

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                self._work(task)
            finally:
                with self._lock:
                    self._busy -= 1
