# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report files of a run: their names, and how they are created and grown.

They lie in a folder that others may write to (by default /tmp), so each is created with O_EXCL and O_NOFOLLOW,
mode 0600, and only such a file, owned by us, is opened again. Source: open(2).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from ..words import parse_time

# In the order in which a reader wants them.
ENDINGS = {"log": ".log", "bpf": ".log.bpf", "json": ".json", "html": ".html", "xml": ".xml"}
_PAGE = b"<!doctype html>"
#: Less room than this in the report folder, MiB, and no run is begun.
_FREE_MIB = 20
_MOST = 1000  # runs of one experiment in one second


class FileError(Exception):
    """A report file that cannot be had; the message is one sentence for people."""


def report_paths(stem: str, *kinds: str) -> dict[str, str]:
    """Return the paths of the report files with this stem, of the kinds named or of all."""
    return {kind: f"{stem}{ENDINGS[kind]}" for kind in (kinds or ENDINGS)}


def existing_paths(stem: str) -> dict[str, str]:
    """Return the paths of those report files with this stem that are there."""
    return {kind: path for kind, path in report_paths(stem).items() if os.path.lexists(path)}


def raw_name(host: str) -> str:
    """Return how ``host`` is written in the names of raw samples: without what a file name had better not hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", host)


def raw_path(stem: str, host: str, raw: str) -> str:
    """Return where the raw samples ``raw`` (bpf, load, probes, …) of a host lie: gzip-compressed JSON lines."""
    return f"{stem}.{raw_name(host)}.{raw}.jsonl.gz"


def check_folder(folder: str) -> None:
    """Raise FileError unless files can be created in ``folder``."""
    path = Path(folder)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise FileError(f"The report folder {folder} {what}: set chaos_report_dir to one that is there.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(
            f"The report folder {folder} cannot be written to: set chaos_report_dir to one that can."
        )


def require_room(folder: str) -> None:
    """Raise FileError unless there is room for a report in ``folder``; where its file system tells none, it may be."""
    disk = os.statvfs(folder)
    if not disk.f_blocks:
        return
    free = disk.f_bavail * disk.f_frsize // (1024 * 1024)
    if free < _FREE_MIB:
        raise FileError(
            f"Only {free} MiB are free in the report folder {folder}; {_FREE_MIB} MiB are needed: make room, "
            "or set chaos_report_dir to another."
        )


def stem_of(folder: str, number: int, at: str) -> str:
    """Return the first choice of a stem, ``<folder>/chaos-exp-NN-YYYYMMDD-HHMMSS``, for a run begun at ``at`` (UTC)."""
    return str(Path(folder) / f"chaos-exp-{number:02d}-{parse_time(at):%Y%m%d-%H%M%S}")


def reserve_files(wanted: str, kinds: tuple[str, ...]) -> str:
    """Create the files ``kinds`` empty and return their stem: ``wanted``, or with -2, -3 … where a name is taken.

    A name counts as taken by anything: a file, a link (never followed), the raw samples of another run.
    Raises FileError when the folder does not let us.
    """
    for attempt in range(1, _MOST):
        stem = wanted if attempt == 1 else f"{wanted}-{attempt}"
        if existing_paths(stem):
            continue
        made: list[str] = []
        try:
            for path in report_paths(stem, *kinds).values():
                create_file(path, "")
                made.append(path)
        except FileExistsError:  # somebody was faster
            for path in made:
                os.unlink(path)
            continue
        return stem
    raise FileError(f"All names from {wanted} to {wanted}-{_MOST - 1} are taken: clear the report folder.")


def create_file(path: str, text: str, *, sync: bool = False) -> None:
    """Create ``path`` (0600) with ``text``; with ``sync`` it is on the disk when this returns.

    Raises FileExistsError if there is anything of that name, FileError for every other reason.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise
    except OSError as error:
        raise FileError(f"The report file {path} cannot be created: {error.strerror or error}.") from error
    _write(fd, path, text, sync=sync)
    if sync:
        _sync_folder(path)


def create_bytes(path: str, data: bytes) -> None:
    """Create ``path`` (0600) with ``data``. Raises FileExistsError and FileError as :func:`create` does."""
    create_file(path, "")
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise FileError(f"The report file {path} cannot be written: {error.strerror or error}.") from error


def append_text(path: str, text: str) -> None:
    """Append ``text`` to a file that :func:`create` made. Raises FileError if it is not there, or is not ours."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileError(f"The report file {path} cannot be opened: {error.strerror or error}.") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise FileError(f"The report file {path} is not a file of this user: nothing was written to it.")
    _write(fd, path, text)


def _write(fd: int, path: str, text: str, *, sync: bool = False) -> None:
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
    except OSError as error:
        raise FileError(f"The report file {path} cannot be written: {error.strerror or error}.") from error


def _sync_folder(path: str) -> None:
    """Flush the folder's entry too, or the new file may be nameless after a power cut."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fill_file(path: str, text: str, head: str = "") -> None:
    """Write ``head`` and ``text`` to ``path``, which is new or holds just the ``head`` that a reservation left.

    Raises FileExistsError if the file holds anything else.
    """
    if not os.path.lexists(path):
        create_file(path, head + text)
    elif not is_blank(path, head):
        raise FileExistsError(path)
    else:
        append_text(path, text)


def renew_page(path: str, text: str) -> None:
    """Write ``path`` anew (0600), at once: a reader sees the old text or the new one.

    Raises FileError, and leaves what is there, unless it is a page of this user: nothing else is ever overwritten.
    """
    if os.path.lexists(path) and not _is_our_page(path):
        raise FileError(f"{path} is there already and is no page of this user: nothing was written to it.")
    fresh = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)  # of an earlier process that died with our number
    create_file(fresh, text)
    try:
        os.replace(fresh, path)
    except OSError as error:
        os.unlink(fresh)
        raise FileError(f"The report file {path} cannot be written: {error.strerror or error}.") from error


def _is_our_page(path: str) -> bool:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return False
    with open(path, "rb") as stream:
        return stream.read(len(_PAGE)) == _PAGE


def is_blank(path: str, head: str = "") -> bool:
    """Return True if ``path`` is free: it is not there, or holds just the ``head`` that a reservation left."""
    if not os.path.lexists(path):
        return True
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(fd, "rb") as stream:
        wanted = head.encode()
        return stat.S_ISREG(os.fstat(fd).st_mode) and stream.read(len(wanted) + 1) == wanted
