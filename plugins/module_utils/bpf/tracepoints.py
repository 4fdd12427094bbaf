# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's tracepoints: which there are, their fields, and how to reach them where nobody mounted tracefs."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where tracefs lies: of its own since 4.1, before and beside it in debugfs.
ROOTS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_FIELD = re.compile(r"^\sfield:(?P<declaration>[^;]+);", re.M)
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 16384, 1 << 18


def find_tracefs() -> Path | None:
    """Return the folder of a mounted tracefs, None if there is none."""
    return next((path for path in ROOTS if (path / "events").is_dir()), None)


def read_fields(folder: Path, event: str) -> dict[str, str] | None:
    """Return the fields of tracepoint ``event`` (``category:name``) with their C types; None if there is none."""
    category, name = event.split(":")
    try:
        text = (folder / "events" / category / name / "format").read_text()
    except OSError:
        return None
    found = {}
    for declaration in _FIELD.findall(text):
        kind, _space, word = declaration.rpartition(" ")
        found[word.partition("[")[0]] = kind
    return found


@contextmanager
def reach_tracefs() -> Iterator[tuple[Path, bool]]:
    """Give (tracefs, was it mounted here). Where it is not mounted, it is for this process alone, inside the block.

    The mount lives in a mount namespace of its own, so that the host never sees it and nothing is left however
    this process ends; programs attached inside stay attached after it.
    Raises OSError when the kernel has no tracefs, or may not be asked for it.
    """
    there = find_tracefs()
    if there is not None:
        yield there, False
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    folder = os.getcwd()
    try:
        _check(libc.unshare(_CLONE_NEWNS), "a mount namespace of our own")
        try:
            _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
            _check(libc.mount(b"tracefs", bytes(ROOTS[0]), b"tracefs", 0, None), f"tracefs at {ROOTS[0]}")
            yield ROOTS[0], True
        finally:
            _check(libc.setns(before, _CLONE_NEWNS), "the way back to the host's mounts")
            os.chdir(folder)
    finally:
        os.close(before)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({what})")
