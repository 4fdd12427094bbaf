# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: conditions under which a run is stopped at once, decided on the host.

``abort_when`` in the run's specification: ``error_ratio`` (share of failed orders), ``latency_ms`` (p99 of
good orders), both over the last seconds; ``free_disk_mb`` of the file systems that a run writes to on its host, its own
folder's and the engine's data folder's, the fuller one; ``free_memory_mb`` (MemAvailable, proc(5)).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.jsonl import Tail
from ..common.shapes import Line
from ..run.folder import RunDir

_WINDOW_S = 5.0
_FEWEST = 20
_MB = 1024 * 1024


class Guard:
    """Reads what the load and the host say, and names the first limit that is crossed."""

    def __init__(self, run: RunDir) -> None:
        self._limits = run.spec.abort_when.to_data()
        self._folders = [str(run.path), *filter(None, [run.spec.facts.get("engine_root")])]
        self._tail = Tail(run.file("load.jsonl"))
        self._orders: deque[dict[str, Any]] = deque(maxlen=20000)

    def crossed(self) -> str | None:
        """Return which limit is crossed and by what, in words; None while all hold."""
        self._orders.extend(line for line in self._tail.poll() if "ok" in line)
        since = clock.read() - _WINDOW_S
        while self._orders and self._orders[0]["end"] < since:
            self._orders.popleft()
        free, folder = least_free(self._folders)
        readings = {
            **order_readings(list(self._orders)),
            "free_disk_mb": free,
            "free_memory_mb": free_memory_mb(),
        }
        crossed = crossed_limit(self._limits, readings)
        return f"{crossed} (under {folder})" if crossed and crossed.startswith("free_disk_mb") else crossed


def crossed_limit(limits: Mapping[str, float | None], readings: Mapping[str, float | None]) -> str | None:
    """Compare readings with limits: free_* must not fall below, the others must not rise above."""
    for name, limit in limits.items():
        reading = readings.get(name)
        if limit is None or reading is None:
            continue
        below = name.startswith("free_")
        if reading < limit if below else reading > limit:
            return f"{name} is {reading:.3g}, {'below' if below else 'above'} its limit of {limit:g}"
    return None


def order_readings(orders: list[Line]) -> dict[str, float | None]:
    """Return error_ratio (0..1) and latency_ms (p99 of good orders, nearest rank); None on too few orders."""
    if len(orders) < _FEWEST:
        return {"error_ratio": None, "latency_ms": None}
    good = sorted(order["end"] - order["at"] for order in orders if order["ok"])
    p99 = good[max(0, -(-99 * len(good) // 100) - 1)] * 1000 if good else None
    return {"error_ratio": 1 - len(good) / len(orders), "latency_ms": p99}


def free_disk_mb(path: str) -> float | None:
    """Return what a user may still write on the file system of ``path``, MiB (statvfs(3)); None where it tells none."""
    try:
        stat = os.statvfs(path)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize / _MB if stat.f_blocks else None


def least_free(folders: Sequence[str]) -> tuple[float | None, str]:
    """Return what may still be written where least may, MiB, and the folder; None and nothing where nobody can tell."""
    each = [(free, folder) for folder in folders for free in [free_disk_mb(folder)] if free is not None]
    return min(each, default=(None, ""))


def free_memory_mb() -> float | None:
    """Return the host's available memory, MiB (proc(5), MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return None
