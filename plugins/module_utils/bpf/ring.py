# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A BPF ring buffer read in one piece: bytes leave the kernel as they are, and nothing is done for each record.

Layout (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with the producer's, then the data mapped
twice in a row, so that what wraps around is still one piece. A record has a header of eight bytes, the first four of
them its length with two flags on top, and takes up a multiple of eight.
"""

from __future__ import annotations

import mmap
import os
import struct

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER = struct.Struct("=II")
_POSITION = struct.Struct("=Q")
#: Up to so many bytes the records are looked at one by one; beyond, a piece is taken that is known to be complete.
_FEW = 64 * 1024


class Ring:
    """One ring buffer. size: of its data, in bytes, a power of two."""

    def __init__(self, fd: int, size: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        self._size = size
        self._page = page
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        #: where the producer was when we last looked: what lies before was reserved a tick ago and is written by now
        self._settled = self._position(self._producer)

    def take(self) -> bytes:
        """Return what came since the last call, headers included, and give its room back. Does not wait.

        A record that is being written this very moment, and what came after it, is left for the next call.
        """
        begin, end = self._position(self._consumer), self._position(self._producer)
        if end == begin:
            return b""
        self._settled, before = end, self._settled
        if end - begin <= _FEW:
            data = self._piece(begin, end)
            data = data[: count_complete(data)]
        else:
            data = self._piece(begin, max(before, begin)) or self._whole(begin, end)
        _POSITION.pack_into(self._consumer, 0, begin + len(data))
        return data

    def close(self) -> None:
        """Unmap it."""
        self._consumer.close()
        self._producer.close()

    def _whole(self, begin: int, end: int) -> bytes:
        data = self._piece(begin, end)
        return data[: count_complete(data)]

    def _piece(self, begin: int, end: int) -> bytes:
        start = self._page + begin % self._size
        return self._producer[start : start + end - begin]

    @staticmethod
    def _position(page: mmap.mmap) -> int:
        return int(_POSITION.unpack_from(page, 0)[0])


def count_complete(data: bytes) -> int:
    """Return how many bytes of a piece are whole records up to the first that is still being written."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, _offset = _HEADER.unpack_from(data, at)
        step = _HEADER.size + ((length & ~(_BUSY | _DISCARDED)) + 7) // 8 * 8
        if length & _BUSY or at + step > len(data):
            break
        at += step
    return at


def split(data: bytes) -> list[bytes]:
    """Return the records of a piece, without their headers; discarded ones are left out."""
    found, at = [], 0
    while at + _HEADER.size <= len(data):
        length, _offset = _HEADER.unpack_from(data, at)
        size = length & ~(_BUSY | _DISCARDED)
        if not length & (_BUSY | _DISCARDED):
            found.append(data[at + _HEADER.size : at + _HEADER.size + size])
        at += _HEADER.size + (size + 7) // 8 * 8
    return found


def join(records: list[bytes]) -> bytes:
    """Return records as a piece of a ring, for a transport that brings them one by one."""
    return b"".join(_HEADER.pack(len(record), 0) + record + b"\0" * (-len(record) % 8) for record in records)
