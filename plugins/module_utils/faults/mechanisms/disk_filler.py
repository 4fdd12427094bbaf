# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a filesystem full: ``chaos.pyz filler <run folder>``, from ``fill.json``, until the undo.

What fills it is one file without a name (open(2), O_TMPFILE), whose blocks are the kernel's to give back when this
process ends, however it ends: nothing can stay behind, after a reboot neither. What others free meanwhile is taken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass

from ...common import clock
from ...common.json_files import read_json
from ...common.jsonl import Writer
from ...run.folder import RunDir
from ...run.instant import Instant
from ...run.lifespan import Lifespan

COMMAND = "filler"
PARAMETERS, SAMPLES = "fill.json", "fill.jsonl"
#: Taken in one go at most, and the least worth asking for: a block of most filesystems (bytes).
LARGEST, BLOCK = 1 << 30, 4096
#: Less free than this is full: what a filesystem keeps for itself between two of its blocks (bytes).
FULL = 64 * 1024
_TICK_S, _TOLD_S = 0.05, 0.2
#: How long after its expiry a process that hangs may still be there, s.
_LATE_S = 1.0


@dataclass(frozen=True)
class Room:
    """How many bytes a filesystem has: in all, free for anybody, and free with what is kept for root."""

    size: int
    free: int
    free_for_root: int


def read_room(path: str | int) -> Room:
    """Return what is free (statvfs(3)). Raises OSError."""
    found = os.statvfs(path)
    return Room(
        found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, found.f_bfree * found.f_frsize
    )


def main(run: RunDir) -> int:
    """Take all that is free but the floor, and what becomes free, until told to stop or the time is over."""
    life = Lifespan(run)
    wanted = read_json(run.file(PARAMETERS))
    expires, floor, at = float(wanted["expires"]), int(wanted["floor"]), wanted.get("at")
    folder = os.open(str(wanted["folder"]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.fstat(folder).st_dev != int(wanted["device"]):
        raise SystemExit(f"{wanted['folder']} is on another filesystem than it was")
    # should this process ever hang, the kernel ends it (SIGALRM), and with it the file
    signal.setitimer(signal.ITIMER_REAL, max(0.1, expires - clock.read() + _LATE_S))
    samples = Writer(run.file(SAMPLES))
    filler = Filler(folder, floor)
    with contextlib.nullcontext() if at is None else Instant(run, str(wanted["fault"]), float(at)).moment():
        began = clock.read()
        filler.take()
    room = read_room(folder)
    run.register_process(COMMAND, began=began, taken=filler.taken, free=room.free)
    told = 0.0
    while not life.stopping and clock.read() < expires:
        filler.take()
        if clock.read() >= told + _TOLD_S:
            told = clock.read()
            with contextlib.suppress(OSError):
                samples.write({"t": told, "free": read_room(folder).free, "taken": filler.taken})
        time.sleep(_TICK_S)
    filler.close()
    return 0


class Filler:
    """The file without a name; ``floor``: bytes that stay free for everybody, 0 for none at all."""

    def __init__(self, folder: int, floor: int) -> None:
        self._folder = folder
        self._floor = floor
        self._file = os.open(f"/proc/self/fd/{folder}", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self.taken = 0

    def take(self) -> None:
        """Take what is free, in ever smaller pieces, until not a block is left above the floor."""
        piece = LARGEST
        while piece >= BLOCK:
            left = self._left()
            if left < BLOCK:
                return
            piece = min(piece, left)
            try:
                os.posix_fallocate(self._file, self.taken, piece)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                piece //= 2
            else:
                self.taken += piece

    def _left(self) -> int:
        """What may still be taken, in whole blocks: without a floor what root alone may have as well."""
        room = read_room(self._folder)
        left = room.free - self._floor if self._floor else max(room.free, room.free_for_root)
        return left // BLOCK * BLOCK

    def close(self) -> None:
        """Give everything back."""
        os.close(self._file)
