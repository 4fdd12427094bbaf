# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random orders, as customers would send them.  Run as `python3 -m exchange_lab.order_flow_simulator`.

Stopped while experiments run: their own load must be the only one, so that every order is accounted for.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

from . import log, service
from .log import DependencyLog
from .settings import SYMBOLS, TRADERS, Settings, load
from .store import describe

SYMBOLS_TRADED = tuple(symbol for symbol in SYMBOLS if symbol != "CHAOS")


class OrderFlowSimulator:
    """Sends orders at a set rate and counts the answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        logger = log.setup("order-flow-simulator")
        self.api_log = DependencyLog(logger, f"trading API {settings.api_url}")
        self.answers: Counter[str] = Counter()
        self.failure = "no order sent yet"
        self.task: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """The route and the task."""
        app = web.Application()
        app.add_routes([web.get("/health", self.health)])
        app.on_startup.append(self.start)
        app.on_cleanup.append(self.stop)
        return app

    async def start(self, app: web.Application) -> None:
        """Start sending."""
        self.task = asyncio.create_task(self.send_orders())

    async def stop(self, app: web.Application) -> None:
        """Stop sending."""
        if self.task:
            self.task.cancel()

    async def send_orders(self) -> None:
        """One random order after the other."""
        limit = aiohttp.ClientTimeout(total=3)
        async with aiohttp.ClientSession(timeout=limit) as http:
            while True:
                try:
                    async with http.post(
                        f"{self.settings.api_url}/api/orders", json=self.order()
                    ) as response:
                        self.answers[str(response.status)] += 1
                        self.failure = "" if response.status == 201 else f"HTTP {response.status}"
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.answers["none"] += 1
                    self.failure = describe(error)
                if self.failure:
                    self.api_log.failed(self.failure)
                else:
                    self.api_log.works()
                await asyncio.sleep(random.expovariate(self.settings.order_rate))

    @staticmethod
    def order() -> dict[str, Any]:
        """A random limit or market order near the starting price."""
        symbol = random.choice(SYMBOLS_TRADED)
        order: dict[str, Any] = {
            "user_id": random.choice(TRADERS),
            "symbol": symbol,
            "side": random.choice(("BUY", "SELL")),
            "type": random.choices(("LIMIT", "MARKET"), (4, 1))[0],
            "quantity": random.randint(1, 10),
        }
        if order["type"] == "LIMIT":
            order["price"] = f"{SYMBOLS[symbol] * random.gauss(1, 0.002):.2f}"
        return order

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: always 200, the truth is in the body."""
        body: dict[str, Any] = {
            "status": "unhealthy" if self.failure else "healthy",
            "answers": dict(self.answers),
        }
        if self.failure:
            body["details"] = {"api": self.failure}
        return web.json_response(body)


if __name__ == "__main__":
    service.run(lambda settings: OrderFlowSimulator(settings).application(), load(), port=8082)
