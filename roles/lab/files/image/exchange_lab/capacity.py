# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many orders the exchange takes: as many as it can, unless a weakness is switched on."""

from __future__ import annotations

import asyncio
from collections import deque

from .settings import Settings

#: Switch bears_thirty: orders per second, and for how long one may wait for its turn (s).
FEW, PATIENCE = 30.0, 0.1
#: Switch few_connections: so many are served.
PLACES = 8
#: Switch overload_collapse: orders per second it bears, counted over so long (s); what each further one adds to the
#: queue (s); from how long a queue on (s) each order is dear, and how dear (s); after how long without an order (s) the
#: queue is worked off.
BEARS, COUNTED, HEAP, LONG, DEAR, REST = 150.0, 0.3, 0.5, 0.1, 0.25, 1.0


class TooBusy(Exception):
    """The order was turned away before anything was done with it."""


class Unbounded:
    """Every order goes on at once."""

    async def admit(self, now: float, peer: str = "") -> None:
        """Wait for the order's turn."""


class Few:
    """So many orders per second; who would have to wait is turned away, which costs next to nothing."""

    def __init__(self) -> None:
        self._free_at = 0.0

    async def admit(self, now: float, peer: str = "") -> None:
        """Wait for the order's turn. Raises TooBusy."""
        wait = max(0.0, self._free_at - now)
        if wait > PATIENCE:
            raise TooBusy(f"more than {FEW:g} orders per second")
        self._free_at = now + wait + 1 / FEW
        await asyncio.sleep(wait)


class FirstCome:
    """So many connections, whoever came first: as long as they go on sending, all others are turned away."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    async def admit(self, now: float, peer: str = "") -> None:
        """Wait for the order's turn. Raises TooBusy."""
        self._seen = {one: at for one, at in self._seen.items() if now - at < REST}
        if peer not in self._seen and len(self._seen) >= PLACES:
            raise TooBusy(f"more than {PLACES} connections")
        self._seen[peer] = now


class Collapse:
    """A queue without a bound, in which all wait for all: a long one takes longer for each, and none is turned away."""

    def __init__(self) -> None:
        self._free_at = 0.0
        self._lately: deque[float] = deque()

    async def admit(self, now: float, peer: str = "") -> None:
        """Wait for the order's turn, however long that is."""
        rests = not self._lately or now - self._lately[-1] >= REST
        wait = 0.0 if rests else max(0.0, self._free_at - now)
        self._lately.append(now)
        while now - self._lately[0] > COUNTED:
            self._lately.popleft()
        if len(self._lately) > BEARS * COUNTED:
            wait += HEAP
        self._free_at = now + wait + (DEAR if wait >= LONG else 0.0)
        await asyncio.sleep(wait)


def of(settings: Settings) -> Unbounded | Few | FirstCome | Collapse:
    """The switches' choice."""
    if settings.has("few_connections"):
        return FirstCome()
    if settings.has("overload_collapse"):
        return Collapse()
    return Few() if settings.has("bears_thirty") else Unbounded()
