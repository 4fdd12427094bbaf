# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services are told by their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from . import switches

#: Traded symbols and the price each starts from.  CHAOS belongs to the experiments: no simulator trades it.
SYMBOLS: dict[str, float] = {
    "BTC-USD": 65000.0,
    "ETH-USD": 3200.0,
    "SOL-USD": 150.0,
    "CHAOS": 100.0,
}

#: Owner of the experiments' orders; seeded in trading.users (postgres/schema.sql).
CHAOS_USER = "c4a05000-0000-4000-8000-000000000001"
#: Owners of the simulated order flow; seeded as well.
TRADERS: tuple[str, ...] = tuple(f"7e57ab1e-0000-4000-8000-{number:012d}" for number in range(1, 6))

PRICES_CHANNEL = "prices"
ORDERS_CHANNEL = "orders"


@dataclass(frozen=True)
class Settings:
    """Addresses of the other services, time limits (seconds) and switches."""

    database_host: str
    database_port: int
    database_name: str
    database_user: str
    database_password: str
    cache_host: str
    cache_port: int
    api_url: str
    market_url: str
    pool_size: int
    order_rate: float
    switches: frozenset[str]
    connect_timeout: float = 0.3  # to Redis
    query_timeout: float = 0.5
    #: Longer than a hiccup, shorter than what makes a queue: those who wait out an outage hold up those after it.
    order_timeout: float = 0.5

    def has(self, switch: str) -> bool:
        """Whether a weakness is switched on."""
        return switch in self.switches


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises ValueError with one sentence for a value that makes no sense."""
    get = (os.environ if environment is None else environment).get
    return Settings(
        database_host=get("DATABASE_HOST", "postgres"),
        database_port=int(get("DATABASE_PORT", "5432")),
        database_name=get("DATABASE_NAME", "trading_db"),
        database_user=get("DATABASE_USER", "trading_user"),
        database_password=get("DATABASE_PASSWORD", "trading"),
        cache_host=get("REDIS_HOST", "redis"),
        cache_port=int(get("REDIS_PORT", "6379")),
        api_url=get("API_URL", "http://trading-api:8080"),
        market_url=get("MARKET_URL", "http://market-simulator:8081"),
        pool_size=int(get("DATABASE_POOL", "6")),
        order_rate=float(get("ORDER_RATE", "5")),
        switches=switches.parse(get("EXCHANGE_FRAGILE", "")),
    )
