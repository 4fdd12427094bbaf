# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setting up is doing, and how long each step of it took. For `make lab`; not part of the collection."""

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: aggregate
short_description: Tells the steps of setting up and how long each took
description:
  - A task that took a second or longer is told when it is over, with its duration.
  - A task that is still under way after some seconds is told then, too.
"""

import os
import threading
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

SHORTEST_S = 1.0
PATIENCE_S = 4.0


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Counts from the start of a task to the start of the next."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "steps"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._step = ""
        self._begin = 0.0
        self._timer: threading.Timer | None = None

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._close()
        self._step = str(task.get_name()).rpartition(" : ")[2]
        self._begin = time.monotonic()
        # Straight to the descriptor: a lock held in this thread while Ansible forks would stay held in the child.
        line = f"· {self._step} …\n".encode()
        self._timer = threading.Timer(PATIENCE_S, os.write, (1, line))
        self._timer.daemon = True
        self._timer.start()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._step = ""
            self._close()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._timer:
            self._timer.cancel()
        seconds = time.monotonic() - self._begin
        if self._step and seconds >= SHORTEST_S:
            self._display.display(f"✓ {self._step} ({seconds:.1f} s)")
        self._step = ""
