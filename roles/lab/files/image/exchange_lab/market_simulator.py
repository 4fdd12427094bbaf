# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The market simulator: random prices, told over Redis pub/sub.  Run as `python3 -m exchange_lab.market_simulator`.

It also calls the trading API (order book of each symbol) and leans its prices towards what is asked and
offered there, so that the way from service to service carries something whose loss can be seen.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import aiohttp
import redis.asyncio
from aiohttp import web

from . import log, service
from .cache import ERRORS
from .log import DependencyLog
from .settings import PRICES_CHANNEL, SYMBOLS, Settings, load
from .store import Backoff, describe

PRICES_EVERY = 0.2  # seconds
BOOKS_EVERY = 1.0  # seconds
STEP = 0.0005  # of the price: one standard deviation between two prices


class MarketSimulator:
    """Prices and the two tasks around them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        logger = log.setup("market-simulator")
        self.cache_log = DependencyLog(logger, f"cache {settings.cache_host}:{settings.cache_port}")
        self.api_log = DependencyLog(logger, f"trading API {settings.api_url}")
        self.redis: Any = redis.asyncio.Redis(
            host=settings.cache_host, port=settings.cache_port, socket_connect_timeout=0.3, socket_timeout=0.3
        )
        self.prices = dict(SYMBOLS)
        self.lean = dict.fromkeys(SYMBOLS, 0.0)
        self.failures: dict[str, str] = {"cache": "not connected yet", "api": "not called yet"}
        self.published = 0
        self.tasks: list[asyncio.Task[None]] = []

    def application(self) -> web.Application:
        """The routes and tasks."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/price/{symbol}", self.price),
                web.get("/market", self.market),
            ]
        )
        app.on_startup.append(self.start)
        app.on_cleanup.append(self.stop)
        return app

    async def start(self, app: web.Application) -> None:
        """Start publishing and asking."""
        self.tasks = [asyncio.create_task(self.publish_prices()), asyncio.create_task(self.watch_books())]

    async def stop(self, app: web.Application) -> None:
        """Stop both."""
        for task in self.tasks:
            task.cancel()
        await self.redis.close()

    def current(self, symbol: str) -> dict[str, Any]:
        """A price as it is published."""
        return {"symbol": symbol, "price": round(self.prices[symbol], 8), "at": time.time()}

    async def publish_prices(self) -> None:
        """A new price for each symbol, five times a second."""
        backoff = Backoff()
        while True:
            for symbol, price in self.prices.items():
                self.prices[symbol] = price * (1 + random.gauss(self.lean[symbol] * STEP / 4, STEP))
            try:
                pipeline = self.redis.pipeline(transaction=False)
                for symbol in self.prices:
                    pipeline.publish(PRICES_CHANNEL, json.dumps(self.current(symbol)))
                await pipeline.execute()
                self.published += len(self.prices)
                self.failures.pop("cache", None)
                self.cache_log.works()
                await asyncio.sleep(PRICES_EVERY)
            except ERRORS as error:
                self.failures["cache"] = describe(error)
                self.cache_log.failed(self.failures["cache"])
                await asyncio.sleep(backoff.after(type(error).__name__))

    async def watch_books(self) -> None:
        """Ask the trading API for the order books: more bids than asks lean the price upwards."""
        limit = aiohttp.ClientTimeout(total=0.5)
        async with aiohttp.ClientSession(timeout=limit) as http:
            while True:
                try:
                    for symbol in SYMBOLS:
                        async with http.get(f"{self.settings.api_url}/api/orderbook/{symbol}") as response:
                            response.raise_for_status()
                            book = (await response.json())["data"]
                        bids, asks = len(book["bids"]), len(book["asks"])
                        self.lean[symbol] = (bids - asks) / (bids + asks or 1)
                    self.failures.pop("api", None)
                    self.api_log.works()
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    self.failures["api"] = describe(error)
                    self.api_log.failed(self.failures["api"])
                await asyncio.sleep(BOOKS_EVERY)

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: always 200, the truth is in the body."""
        checks = {name: "unhealthy" if name in self.failures else "healthy" for name in ("cache", "api")}
        status = "unhealthy" if self.failures else "healthy"
        body = {"status": status, "checks": checks, "details": self.failures, "published": self.published}
        return web.json_response(body)

    async def price(self, request: web.Request) -> web.Response:
        """GET /price/{symbol}."""
        symbol = request.match_info["symbol"]
        if symbol not in self.prices:
            error = {
                "code": "INVALID_SYMBOL",
                "message": "There is no such symbol.",
                "details": f"got {symbol!r}",
            }
            return web.json_response({"success": False, "error": error}, status=404)
        return web.json_response({"success": True, "data": self.current(symbol)})

    async def market(self, request: web.Request) -> web.Response:
        """GET /market: all prices."""
        return web.json_response({"success": True, "data": [self.current(symbol) for symbol in self.prices]})


if __name__ == "__main__":
    service.run(lambda settings: MarketSimulator(settings).application(), load(), port=8081)
