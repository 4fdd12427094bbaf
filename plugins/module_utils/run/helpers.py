# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others that a process of a run starts: they end with it, and what they started is found by its folder.

fio, stress-ng and dd are not ours: they fork, and a SIGKILL of who started them reaches none of them. The kernel kills
the one that we start when we die (prctl(2), PR_SET_PDEATHSIG), and whoever undoes kills what works in our folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.errors import ChaosError

_PR_SET_PDEATHSIG = 1
_END_S = 5.0


def start_helper(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that the kernel kills as soon as this process dies, however it dies."""
    library, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def end_with_parent() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and this
            os._exit(1)

    wanted: Mapping[str, Any] = {"start_new_session": True, **options}
    return subprocess.Popen(list(argv), preexec_fn=end_with_parent, **wanted)


def end_working_in(folder: Path) -> int:
    """Kill every process that works in a folder of ours, gone or not, and return how many there were.

    Raises ChaosError when one outlives that.
    """
    ended: set[int] = set()
    until = clock.read() + _END_S
    while True:
        found = list(_working_in(str(folder)))
        if not found:
            return len(ended)
        ended.update(found)
        for pid in found:
            _kill(pid, str(folder))
        if clock.read() > until:
            raise ChaosError(f"Process {found[0]}, which works in {folder}, cannot be ended.")
        clock.sleep(0.02)


def _working_in(folder: str) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and _works_in(int(name), folder):
            yield int(name)


def _works_in(pid: int, folder: str) -> bool:
    """Return whether a process's working folder is this one, or one in it; of a zombie there is none."""
    try:
        place = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return False
    return place == folder or place.startswith(f"{folder}/")


def _kill(pid: int, folder: str) -> None:
    """Kill a process through a descriptor that was looked at again: a number that was given anew is not hit."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if _works_in(pid, folder):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                select.select([descriptor], [], [], 1.0)
        finally:
            os.close(descriptor)
