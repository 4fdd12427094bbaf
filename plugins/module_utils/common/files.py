# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a file that somebody else may have laid there: regular, through no link, of whom we trust, and not too large.

A FIFO would hang whoever opens it, a device or a link would have a root process read what it should not.
Source: open(2), O_NOFOLLOW and O_NONBLOCK.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from . import bounds


class Untrusted(OSError):
    """A file that is not to be read; ``strerror`` says in words why."""

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(None, why, str(path))
        self.strerror = why


def open_regular(path: str | Path, *, owners: Collection[int] | None = None) -> BinaryIO:
    """Open a regular file for reading, following no link at its end. Raises OSError; Untrusted where it is none.

    ``owners``: user ids of whom a file is believed; None for anybody.
    """
    fd = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Untrusted(path, "it is no regular file")
        if owners is not None and found.st_uid not in owners:
            raise Untrusted(path, f"it belongs to user {found.st_uid}")
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_regular(
    path: str | Path, *, largest: int = bounds.DOCUMENT, owners: Collection[int] | None = None
) -> bytes:
    """Return what a regular file holds. Raises OSError, and Untrusted when it is larger than allowed or none."""
    with open_regular(path, owners=owners) as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise Untrusted(path, f"it is larger than {bounds.format_size(largest)}")
    return data


def find_base(variable: str, *below: str) -> Path | None:
    """Return a user's base folder: that of an XDG variable, or the one below their home; None for who has neither.

    A path that is not absolute is none (XDG Base Directory Specification): it would lie elsewhere for each caller. A
    user without a name has no home unless HOME says so, as in many containers.
    """
    given = os.environ.get(variable, "")
    if os.path.isabs(given):
        return Path(given)
    home = os.path.expanduser("~")
    return Path(home, *below) if os.path.isabs(home) else None


def refuse_folder(folder: str | Path) -> str:
    """Return why what lies in a folder is not to be believed, in words; "" when it is.

    It, and every folder above it, must be ours or root's and writable by no other: whoever else could write there would
    be us. Folders that are not there yet are ours once made.
    """
    user = os.geteuid()
    real = Path(os.path.realpath(folder))
    for each in (real, *real.parents):
        try:
            found = each.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return f"{each} cannot be looked into ({error.strerror})"
        if not stat.S_ISDIR(found.st_mode):
            return f"{each} is no folder"
        own_group = found.st_gid == user == found.st_uid != 0
        others = found.st_mode & (0o002 if own_group else 0o022)
        if found.st_uid not in ((user,) if each == real else (0, user)):
            return f"{each} belongs to user {found.st_uid}"
        if others and not (each != real and found.st_mode & stat.S_ISVTX):
            return f"{each} can be written by others"
    return ""
