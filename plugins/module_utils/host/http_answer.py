# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP/1.1 answer, taken in piece by piece as it comes from a socket, within bounds. Pure. Source: RFC 9112.

For who waits for many answers at once and cannot give each a thread. A body is handed out as it came, with its coding.
"""

from __future__ import annotations

from ..common import bounds

HEAD_MAX = bounds.HTTP_HEADERS
HEADERS_MAX = 100
_CHUNK_LINE_MAX = 1024
_NO_BODY = (204, 304)


class Malformed(ValueError):
    """The peer does not speak HTTP/1.1, or says more than an answer may hold; one clause says which."""


class Answer:
    """The answer to one request that is not HEAD; it is whole once :meth:`feed` said so."""

    def __init__(self, largest: int = bounds.ORDER_BODY) -> None:
        """largest: bytes its body may have."""
        self._largest = largest
        #: What may cross the wire, chunk sizes, trailers and interim answers included.
        self._most = 2 * largest + HEAD_MAX
        self.status = 0
        self.body = b""
        self.coding = "identity"
        #: Whether the connection may carry another request afterwards.
        self.keeps = False
        self._data = bytearray()
        self._seen = 0
        self._chunked = False
        self._length: int | None = None
        self._whole = bytearray()  # the chunks so far
        self._left = -1  # bytes of the chunk under way, -1 between chunks
        self._trailer = False

    def feed(self, data: bytes) -> bool:
        """Take in bytes; True when the answer is whole. Raises Malformed."""
        self._seen += len(data)
        if self._seen > self._most:
            raise Malformed(f"its answer is longer than {self._most} bytes")
        self._data += data
        while not self.status:
            if not self._read_head():
                return False
        if self._chunked:
            return self._read_chunks()
        if self._length is None:
            self._bound(len(self._data))
            return False
        if len(self._data) < self._length:
            return False
        return self._finish(self._data[: self._length], self._data[self._length :])

    def close(self) -> bool:
        """The peer closed the connection; True when that is the end of a whole answer."""
        if not self.status or self._chunked or self._length is not None:
            return False
        self.keeps = False
        return self._finish(self._data)

    def _finish(self, body: bytearray, more: bytearray | None = None) -> bool:
        self.body = bytes(body)
        # More than was announced belongs to no request of ours: that connection is not to be trusted again.
        self.keeps = self.keeps and not more
        return True

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0 and len(self._data) <= HEAD_MAX:
            return False
        if end < 0 or end > HEAD_MAX:
            raise Malformed(f"its headers are longer than {HEAD_MAX} bytes")
        lines = bytes(self._data[:end]).split(b"\r\n")
        del self._data[: end + 4]
        version, status = _status(lines[0])
        if len(lines) > HEADERS_MAX:
            raise Malformed(f"it sent more than {HEADERS_MAX} headers")
        if status < 200:
            return bool(self._data)  # an interim answer: the real one follows
        self._take_headers(version, lines[1:], status)
        self.status = status
        return True

    def _take_headers(self, version: bytes, lines: list[bytes], status: int) -> None:
        lengths, coding, connection = set(), b"", b""
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise Malformed("it sent a header line without a colon")
            name = name.lower()
            if name == b"content-length":
                lengths.add(value.strip())
            elif name == b"transfer-encoding":
                coding = value.strip().lower()
            elif name == b"content-encoding":
                self.coding = value.strip().lower().decode("latin-1") or "identity"
            elif name == b"connection":
                connection = value.strip().lower()
        self.keeps = connection != b"close" if version == b"HTTP/1.1" else connection == b"keep-alive"
        if status in _NO_BODY:
            self._length = 0
        elif coding:
            self._chunked = coding.endswith(b"chunked")
        elif lengths:
            self._length = _length(lengths)
            self._bound(self._length)

    def _read_chunks(self) -> bool:
        while True:
            if self._left < 0:
                line = self._line()
                if line is None:
                    return False
                if self._trailer:
                    if line:
                        continue
                    return self._finish(self._whole, self._data)
                self._left = _chunk_size(line)
                self._bound(self._left + len(self._whole))
                if self._left == 0:
                    self._trailer, self._left = True, -1
                    continue
            if len(self._data) < self._left + 2:
                return False
            if self._data[self._left : self._left + 2] != b"\r\n":
                raise Malformed("a chunk of its answer does not end where it said")
            self._whole += self._data[: self._left]
            del self._data[: self._left + 2]
            self._left = -1

    def _line(self) -> bytes | None:
        end = self._data.find(b"\r\n")
        if end > _CHUNK_LINE_MAX or (end < 0 and len(self._data) > _CHUNK_LINE_MAX):
            raise Malformed(f"a line between the chunks of its answer is longer than {_CHUNK_LINE_MAX} bytes")
        if end < 0:
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 2]
        return line

    def _bound(self, length: int) -> None:
        if length > self._largest:
            raise Malformed(f"its answer is longer than {self._largest} bytes")


def _status(line: bytes) -> tuple[bytes, int]:
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise Malformed("it does not speak HTTP/1.1")
    return words[0], int(words[1])


def _length(values: set[bytes]) -> int:
    (value, *others) = values
    if others or not value.isdigit() or len(value) > 18:
        raise Malformed("its Content-Length is no number")
    return int(value)


def _chunk_size(line: bytes) -> int:
    size = line.split(b";", 1)[0].strip()
    try:
        number = int(size, 16)
    except ValueError:
        number = -1
    if number < 0 or len(size) > 16 or not size.isalnum():
        raise Malformed("the size of a chunk of its answer is no number")
    return number
