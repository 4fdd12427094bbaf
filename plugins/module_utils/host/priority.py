# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Being on time on a busy host, for processes that measure time and need little of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NICE = -10
#: Seconds until a Python thread must let another one run; the default of 5 ms is half a period of a dense probe.
_SWITCH_S = 0.001


def punctual() -> None:
    """Run before ordinary processes when both want the processor; without root only the threads are quicker.

    A sample that waited for the processor would be read as a slow exchange. Source: setpriority(2).
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    sys.setswitchinterval(_SWITCH_S)


@contextmanager
def foremost() -> Iterator[None]:
    """Run before every ordinary process for a moment, and as before afterwards; children start as ordinary ones.

    For what takes far less than a millisecond: by the kernel's realtime class where we may, else as :func:`punctual`
    does, else not at all. Source: sched(7).
    """
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, min(nice, _NICE))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, policy, os.sched_param(0))
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
