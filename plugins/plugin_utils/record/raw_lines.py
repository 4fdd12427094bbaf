# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of raw samples beside a report, read piece by piece: a million of them never lie in memory together."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...module_utils.common.files import open_regular
from ...module_utils.common.shapes import Line

#: A line of ours has a few hundred bytes. One that is longer than this is damage, or no line of ours.
LONGEST_LINE = 1 << 20
#: So much is unpacked of one file, in bytes: a small file may unpack to a thousand times its size.
LARGEST = 1 << 30

#: So much is read, and understood, at once, in bytes.
_PIECE = 1 << 18
_DECODE = json.JSONDecoder().raw_decode


def read_lines(path: str) -> Iterator[Line]:
    """Yield the objects in a file of compressed JSON lines, as far as it can be read; none if it is not there.

    Lines that are no JSON object are left out, and so is whatever lies behind damage.
    """
    try:
        with (
            open_regular(path, owners=(os.geteuid(), 0)) as raw,
            gzip.GzipFile(fileobj=raw, mode="rb") as packed,
        ):
            for lines in _split(iter(lambda: packed.read1(_PIECE), b"")):
                for item in _parsed(lines):
                    if isinstance(item, dict):
                        yield item
    except (OSError, EOFError, zlib.error):
        return


def _split(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the whole lines of each piece, until too much was unpacked; one that is too long is cut where it is."""
    rest, open_line = LARGEST, b""
    for piece in pieces:
        lines = (open_line + piece).split(b"\n")
        open_line = lines.pop() if len(lines[-1]) < LONGEST_LINE else b""
        yield lines
        rest -= len(piece)
        if rest <= 0:
            return
    yield [open_line]


def _parsed(lines: Sequence[bytes]) -> Iterable[Any]:
    """Return what the lines hold: all in one go, a third of the cost, if they are in order, else one by one."""
    try:
        found: list[Any] = json.loads(b"[%s]" % b",".join(lines))
        if len(found) == len(lines):
            return found
    except (ValueError, RecursionError):
        pass
    return map(_parse_one, lines)


def _parse_one(line: bytes) -> Any:
    try:
        # what stands behind the object on its line was not written by us, and is not read
        return _DECODE(line.decode("utf-8", "replace"))[0]
    except (ValueError, RecursionError):
        return None
