# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of raw samples beside a report, read one at a time: a million of them never lie in memory together."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from typing import Any

from ...module_utils.common.files import open_regular
from ...module_utils.common.shapes import Line

#: A line of ours has a few hundred bytes. One that is longer than this is damage, or no line of ours.
LONGEST_LINE = 1 << 20
#: So much is unpacked of one file, in bytes: a small file may unpack to a thousand times its size.
LARGEST = 1 << 30

_DECODE = json.JSONDecoder().raw_decode


def read_lines(path: str) -> Iterator[Line]:
    """Yield the objects in a file of compressed JSON lines, as far as it can be read; none if it is not there.

    Lines that are no JSON object are left out, and so is whatever lies behind damage.
    """
    rest = LARGEST
    try:
        # GzipFile reads lines in Python, the buffer around it in C: four times as fast
        with (
            open_regular(path, owners=(os.geteuid(), 0)) as raw,
            gzip.GzipFile(fileobj=raw, mode="rb") as packed,
            io.BufferedReader(packed, 1 << 16) as stream,
        ):
            while rest > 0 and (line := stream.readline(LONGEST_LINE)):
                rest -= len(line)
                item = _parsed(line)
                if isinstance(item, dict):
                    yield item
    except (OSError, EOFError, zlib.error):
        return


def _parsed(line: bytes) -> Any:
    try:
        # what stands behind the object on its line was not written by us, and is not read
        return _DECODE(line.decode("utf-8", "replace"))[0]
    except (ValueError, RecursionError):
        return None
