# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Being on time on a busy host, for processes that measure time and need little of it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NICE = -10
#: Seconds until a Python thread must let another one run; the default of 5 ms is half a period of a dense probe.
_SWITCH_S = 0.001
#: getrlimit(2); Python has no name for it. The same number on every architecture but alpha, mips and sparc.
RLIMIT_RTTIME = 15
#: A realtime thread that is awake for so long without a pause (microseconds) is an ordinary one from then on.
_AWAKE_US = 200_000


def raise_priority() -> None:
    """Run before ordinary processes when both want the processor; without root only the threads are quicker.

    A sample that waited for the processor would be read as a slow exchange. Source: setpriority(2).
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    sys.setswitchinterval(_SWITCH_S)


def be_prompt() -> None:
    """Run before every ordinary process, for one thread that sleeps most of its time; elsewhere as
    :func:`raise_priority`.

    Since kernel 6.6 a nice process, too, waits out the slice of who runs (4 ms at the 99th percentile beside two busy
    processes, 0.8 ms in the realtime class). A thread that does not sleep for a while loses the class again: it is
    never to stand in the way of what it measures. Threads and children start as ordinary ones.
    Source: sched(7), getrlimit(2) RLIMIT_RTTIME.
    """
    raise_priority()
    try:
        signal.signal(signal.SIGXCPU, lambda *_: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)))
        hard = resource.getrlimit(RLIMIT_RTTIME)[1]
        resource.setrlimit(RLIMIT_RTTIME, (_AWAKE_US, hard))
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (OSError, ValueError):
        return


@contextmanager
def run_foremost() -> Iterator[None]:
    """Run before every ordinary process for a moment, and as before afterwards; children start as ordinary ones.

    For what takes far less than a millisecond: by the kernel's realtime class where we may, else as
    :func:`raise_priority` does, else not at all. Source: sched(7).
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
