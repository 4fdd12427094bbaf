# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came too fast to be followed: pieces of the kernel's buffer on disk as they are, read when the run is over.

To turn a record into a line costs Python some ten microseconds, which at fifty thousand records a second is more
than a core of the host that is being measured. So a storm is only carried to disk, compressed; who its records belong
to is noted beside it while that is known; and :func:`expand_spool` makes lines of it when the record is made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..common.json_files import read_json, write_json
from ..common.jsonl import Writer
from ..run.folder import RunDir
from .attribution import Book
from .events import EventReader, OwnConnect
from .programs.registry import PROGRAMS
from .ring import split

NAME = "bpf.spool"
BOOK = "bpf-owners.json"
#: More than this is not kept (bytes on disk); the kernel's own counts go on.
MOST_BYTES = 16 * 1024 * 1024
#: More lines than this are not made of it, whatever it holds: the run's folder has its limit.
MOST_EVENTS = 100_000
_CHUNK = struct.Struct("=Id")
#: Of a chunk that is read back: more than the ring can have held at once is no piece of it.
_LARGEST = 32 * 1024 * 1024
_WRITE_AT_ONCE = 1000


class Spool:
    """The file, while the capture runs."""

    def __init__(self, run: RunDir) -> None:
        self._path = run.file(NAME)
        self.bytes = 0
        #: bytes of records that found no room
        self.refused = 0

    def add(self, piece: bytes, offset: float) -> None:
        """Append a piece; offset: what CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC now (s)."""
        data = zlib.compress(piece, 1)
        if self.bytes + len(data) > MOST_BYTES:
            self.refused += len(piece)
            return
        with self._path.open("ab") as stream:
            stream.write(_CHUNK.pack(len(data), offset) + data)
        self.bytes += _CHUNK.size + len(data)


def expand_spool(run: RunDir) -> None:
    """Make lines of bpf.jsonl of what lies in the spool, as many as there is room for, and take the spool away.

    Does nothing where there is none. What the capture counted is corrected by what there really was.
    """
    path = run.file(NAME)
    status = read_json(run.file("capture.json"))
    if not path.exists() or not isinstance(status, dict):
        return
    book = Book.from_data(read_json(run.file(BOOK)) or {})
    reader = EventReader(PROGRAMS.values(), book.owner, book.victim)
    control = status.get("control_pid")
    reader.control = OwnConnect(int(control), None) if control else None
    writer = Writer(run.file("bpf.jsonl"))
    room = max(0, MOST_EVENTS - int(status.get("written", 0)))
    made = 0
    lines: list[dict[str, Any]] = []
    try:
        for record, offset in _records(path):
            if made >= room:
                break
            event = reader.read(record, offset)
            if isinstance(event, dict):
                made += 1
                lines.append(event)
            if len(lines) >= _WRITE_AT_ONCE:
                writer.write(*lines)
                lines.clear()
        if lines:
            writer.write(*lines)
    finally:
        writer.close()
    written = int(status.get("written", 0)) + made
    events = max(written, _counted(status))
    write_json(
        run.file("capture.json"),
        {**status, "events": events, "written": written, "unwritten": events - written},
    )
    path.unlink()


def _counted(status: Mapping[str, Any]) -> int:
    """Return how many events of the exchange the kernel counted, those left out that were lost on the way."""
    return sum(int(total["count"]) for total in status.get("totals") or []) - int(status.get("lost") or 0)


def _records(path: Path) -> Iterator[tuple[bytes, float]]:
    """Yield each record with the offset of its time; a file that was cut off ends where it was cut."""
    with path.open("rb") as stream:
        while True:
            head = stream.read(_CHUNK.size)
            if len(head) < _CHUNK.size:
                return
            length, offset = _CHUNK.unpack(head)
            if length > MOST_BYTES:
                return
            try:
                piece = zlib.decompressobj().decompress(stream.read(length), _LARGEST)
            except zlib.error:
                return
            for record in split(piece):
                yield record, offset
