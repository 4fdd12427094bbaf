# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one clock of a run: CLOCK_BOOTTIME seconds, which neither steps nor stops while a host sleeps.

Raw samples carry only boottime; an :class:`Anchor` taken once per run turns it into UTC for people.
Source: clock_gettime(2).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .shapes import is_number

#: What a date can be, in seconds of the epoch: from 1970 to the end of 9999.
_FIRST, _LAST = 0.0, 253402300799.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds that this process adds to the kernel's clock: none, unless it works on a run of an earlier boot.
_ahead = 0.0


def read() -> float:
    """Return CLOCK_BOOTTIME in seconds; that of the run's own boot after :func:`resume`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) + _ahead


def sleep(seconds: float) -> None:
    """Wait; nothing for zero and less."""
    if seconds > 0:
        time.sleep(seconds)


def boot_id() -> str:
    """Return the identity of this boot; boottime values of another boot mean nothing here."""
    return _BOOT_ID.read_text().strip()


def format_utc(epoch: float) -> str:
    """Return ``epoch`` (seconds since 1970, UTC) as ISO 8601 with milliseconds and a trailing Z."""
    stamp = read_date(epoch)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03d}Z"


def format_utc_exact(epoch: float) -> str:
    """Return ``epoch`` as :func:`format_utc` does, with microseconds."""
    return f"{read_date(epoch):%Y-%m-%dT%H:%M:%S.%f}Z"


def read_date(epoch: float) -> datetime:
    """Return the date of ``epoch``; of what a damaged file or a stranger says of time the first or last there is."""
    known = epoch if is_number(epoch) else 0.0
    return datetime.fromtimestamp(min(max(known, _FIRST), _LAST), timezone.utc)


@dataclass(frozen=True)
class Anchor:
    """One reading of both clocks at the same instant.

    boottime: seconds, CLOCK_BOOTTIME; realtime: seconds since the epoch, CLOCK_REALTIME.
    """

    boottime: float
    realtime: float
    boot_id: str

    def wall(self, t: float) -> float:
        """Return the epoch seconds of boottime ``t``."""
        return self.realtime + (t - self.boottime)

    def boot(self, epoch: float) -> float:
        """Return the boottime of epoch seconds on this host's clock, as it stood when the anchor was taken."""
        return self.boottime + (epoch - self.realtime)

    def iso(self, t: float) -> str:
        """Return boottime ``t`` as ISO 8601 UTC with milliseconds."""
        return format_utc(self.wall(t))

    def exact(self, t: float) -> str:
        """Return boottime ``t`` as ISO 8601 UTC with microseconds, for what is compared between hosts."""
        return format_utc_exact(self.wall(t))


def run_now(began: Anchor) -> float:
    """Return the present boottime in the count of a run, whichever boot that began in.

    The kernel counts anew at each boot. What is undone after one must not seem to be undone before it was injected, so
    a run's time goes on by the wall clock, the one thing both boots have.
    """
    if began.boot_id == boot_id():
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return began.boottime + time.time() - began.realtime


def seconds_stepped(began: Anchor) -> float:
    """Return by how many seconds the host's clock was set, forward or (below 0) back, since a run's pair of readings.

    A clock that is only slewed moves both counts alike. Over a reboot nobody can tell, and this is 0.
    """
    return time.time() - began.wall(run_now(began))


def resume_count(began: Anchor, seen: float = 0.0) -> bool:
    """From now on count as a run does; returns whether that began in an earlier boot.

    ``seen``: the last boottime that is known of the run. After a reboot none before that is counted: the wall clock of
    a host that has just booted may be hours off until somebody sets it.
    """
    global _ahead
    rebooted = began.boot_id != boot_id()
    _ahead = max(run_now(began), seen) - time.clock_gettime(time.CLOCK_BOOTTIME) if rebooted else 0.0
    return rebooted


def take_anchor() -> Anchor:
    """Read both clocks; the boottime readings around the realtime one bound the error (microseconds)."""
    before = read()
    real = time.time()
    after = read()
    return Anchor(boottime=(before + after) / 2, realtime=real, boot_id=boot_id())
