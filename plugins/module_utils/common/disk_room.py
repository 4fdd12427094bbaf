# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on a disk that fills up: set aside for a file, or kept in a folder and given up for what must be written.

What was done to a host must be told though somebody else took the last block meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path

#: The file that keeps room in a folder, and the bytes it keeps.
RESERVE, RESERVE_BYTES = "reserve", 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KEEP_SIZE = 1


def set_aside(path: Path, size: int) -> None:
    """Have the file system keep ``size`` bytes for a file that is to be appended to.

    The file stays as long as it is (fallocate(2), FALLOC_FL_KEEP_SIZE). Where that can't be had, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        fd = os.open(
            str(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
        )
        try:
            library = ctypes.CDLL(None, use_errno=True)
            library.fallocate64(fd, _KEEP_SIZE, ctypes.c_longlong(0), ctypes.c_longlong(size))
        finally:
            os.close(fd)


def keep_room(folder: Path) -> None:
    """Keep room in a folder. Raises OSError when there is none."""
    fd = os.open(
        str(folder / RESERVE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
    )
    try:
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    finally:
        os.close(fd)


def is_full(error: OSError) -> bool:
    """Return whether a full disk is what an error tells of."""
    return error.errno in _FULL


def give_room(folder: Path, error: OSError) -> bool:
    """Give up the room that was kept in a folder, if a full disk is what is wrong; False if there is none to give."""
    if not is_full(error):
        return False
    try:
        (folder / RESERVE).unlink()
    except OSError:
        return False
    return True
