# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What block.c keeps: how long requests to block devices take, and how many are under way."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ..program import Program, Series

#: The kernel's own device number: 20 bits of minor (include/linux/kdev_t.h), unlike the one user space gets.
_MINOR_BITS = 20


@lru_cache(maxsize=256)
def name_device(number: int, sysfs: Path = Path("/sys")) -> dict[str, str]:
    """Return a device's ``major:minor``, and its name where sysfs tells it."""
    text = f"{number >> _MINOR_BITS}:{number & ((1 << _MINOR_BITS) - 1)}"
    try:
        return {"device": text, "name": (sysfs / "dev" / "block" / text).resolve(strict=True).name}
    except OSError:
        return {"device": text}


def _latency(op: str) -> Series:
    def key(detail: int) -> dict[str, Any]:
        return {**name_device(detail), "op": op}

    return Series("block I/O latency", "us", key, scale=1000, anybody=True)


SERIES = {
    3: _latency("read"),
    4: _latency("write"),
    5: _latency("other"),
    6: Series("queue depth", "requests", lambda detail: dict(name_device(detail)), anybody=True),
}

PROGRAM = Program(name="block", needs=("block:block_rq_issue", "block:block_rq_complete"), series=SERIES)
