# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines on disk: the one writer and the one reader of every raw file.

A line is one ``write(2)`` on an O_APPEND descriptor, so several processes may write to one file.
"""

from __future__ import annotations

import gc
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from . import bounds
from .files import Untrusted, open_regular
from .shapes import Line

_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


class Writer:
    """Append dictionaries to ``path`` (created 0600). With ``sync`` each line is on disk when ``write`` returns."""

    def __init__(self, path: str | Path, *, sync: bool = False) -> None:
        self._sync = sync
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = os.open(str(path), flags, 0o600)
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._fd)
            raise Untrusted(path, "it is no regular file")
        # Whoever died while writing, or met a full disk, left half a line; ours must not be glued to it.
        size = found.st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"

    def write(self, *items: Line) -> None:
        """Append the items, each on its line. Raises OSError when the disk refuses (full, read-only)."""
        data = "".join(f"{_ENCODER.encode(item)}\n" for item in items).encode()
        data = b"\n" + data if self._torn else data
        self._torn = True
        while data:
            data = data[os.write(self._fd, data) :]
        self._torn = False
        if self._sync:
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the descriptor; a closed writer must not be used again."""
        os.close(self._fd)


class Scribe:
    """Writes lines in a thread of its own, for a loop that may not be held up by a starved disk."""

    def __init__(self, path: str | Path) -> None:
        self._writer = Writer(path)
        self._items: SimpleQueue[tuple[dict[str, Any], ...] | None] = SimpleQueue()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    def write(self, *items: Line) -> None:
        """Have the items appended soon. Raises OSError when the disk refused earlier ones."""
        if self._failure is not None:
            raise self._failure
        if items:
            self._items.put(items)

    def close(self) -> None:
        """Wait until everything is written. Raises OSError when the disk refused."""
        self._items.put(None)
        self._thread.join()
        self._writer.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        for items in iter(self._items.get, None):
            try:
                self._writer.write(*items)
            except OSError as error:
                self._failure = error
                return


@contextmanager
def pause_collector() -> Iterator[None]:
    """Leave Python's cyclic collector alone meanwhile: lines have no cycles, and a million are read a third faster."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def parse_lines(data: bytes) -> list[Line]:
    """Return the complete lines of ``data``; a torn or damaged line is left out."""
    return list(_parsed(data.split(b"\n")))


def read_lines(path: str | Path) -> list[Line]:
    """Return all lines of ``path``; a missing file is an empty list."""
    return list(iterate_lines(path))


def iterate_lines(path: str | Path) -> Iterator[Line]:
    """Yield the lines of ``path`` as they are read, for who needs none of them for long; a missing file has none.

    None has what is no regular file, either: a FIFO would hang whoever opens it. What is larger than all samples of a
    run is not read to its end, and a line that is longer than any is damaged.
    """
    with suppress(OSError), open_regular(path) as stream:
        yield from _parsed(_bounded(stream))


def _bounded(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long what follows its bound is left out, so that it is no JSON any more."""
    left, torn = bounds.SAMPLES, False
    while left > 0:
        line = stream.readline(bounds.LINE)
        if not line:
            return
        left -= len(line)
        if not torn and (line.endswith(b"\n") or len(line) < bounds.LINE):
            yield line
        torn = not line.endswith(b"\n")


def _parsed(lines: Iterable[bytes]) -> Iterator[Line]:
    for line in lines:
        try:
            item = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(item, dict):
            yield item


class Tail:
    """Follow a growing file: each ``poll`` returns the complete lines that came since the last one."""

    def __init__(self, path: str | Path, *, offset: int = 0) -> None:
        self._path = Path(path)
        self.offset = offset

    def poll(self, limit: int | None = None) -> list[Line]:
        """Return new lines, oldest first; with ``limit`` at most that many bytes are read (at least one line).

        Of what is no regular file there are none; a line that is longer than any line is passed over.
        """
        most = bounds.DOCUMENT if limit is None else limit
        try:
            with open_regular(self._path) as stream:
                stream.seek(self.offset)
                data = stream.read(most)
                if len(data) == most and b"\n" not in data:
                    data += stream.readline(bounds.LINE)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        if not end and len(data) >= bounds.LINE:
            self.offset += len(data)
            return []
        self.offset += end
        return parse_lines(data[:end])
