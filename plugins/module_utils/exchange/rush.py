# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders as they come when a market opens: a steep rise, a height that lasts, a long decay. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The stream of the load whose orders these are.
STREAM = "market"
#: Shares of the time in which it rises, and in which it stays at its height; in the rest it decays.
RISES, STAYS = 0.1, 0.3


@dataclass(frozen=True)
class Rush:
    """So many orders per second at its height, over so many seconds, from so many clients.

    ``proxy``: address of the proxy, through which the first ``proxy_clients`` of them come; the others come directly.
    """

    rate: float
    seconds: float
    clients: int = 1
    proxy: str = ""
    proxy_clients: int = 0

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Rush:
        """Read it as :func:`dataclasses.asdict` wrote it."""
        return cls(
            rate=float(data["rate"]),
            seconds=float(data["seconds"]),
            clients=int(data["clients"]),
            proxy=str(data.get("proxy") or ""),
            proxy_clients=int(data.get("proxy_clients") or 0),
        )

    @property
    def orders(self) -> int:
        """Return how many orders it is in all."""
        return int(self.planned_until(self.seconds))

    def planned_until(self, t: float) -> float:
        """Return how many orders are due by ``t`` seconds after its begin."""
        rise, height, decay = self._parts()
        t = max(0.0, min(t, self.seconds))
        risen, stayed = min(t, rise), min(max(0.0, t - rise), height)
        left = max(0.0, t - rise - height)
        return self.rate * (risen**2 / (2 * rise) + stayed + left - left**2 / (2 * decay))

    def due_at(self, number: int) -> float:
        """Return how many seconds after its begin an order (from 0 on) is due; infinity beyond the last."""
        rise, height, decay = self._parts()
        # the area under the rate that is reached with this order, in seconds at full rate
        area = (number + 1) / self.rate
        if area <= rise / 2:
            return math.sqrt(2 * rise * area)
        area -= rise / 2
        if area <= height:
            return rise + area
        area -= height
        if area > decay / 2:
            return math.inf
        return rise + height + decay - math.sqrt(decay**2 - 2 * decay * area)

    def _parts(self) -> tuple[float, float, float]:
        rise, height = RISES * self.seconds, STAYS * self.seconds
        return rise, height, self.seconds - rise - height
