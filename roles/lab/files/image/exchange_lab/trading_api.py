# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trading API.  Run as `python3 -m exchange_lab.trading_api`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable
from typing import Any, Callable

import aiohttp
import asyncpg
from aiohttp import web

from . import capacity, log, service, validation
from .cache import Cache, CacheUnavailable
from .matching import Matcher
from .settings import Settings, load
from .store import Store, StoreUnavailable
from .validation import BadRequest

READY_TIMEOUT = 0.5  # seconds for the question behind /ready
STALE_PRICE = 2.0  # seconds after which a price that came over Redis is asked for over HTTP instead
BOOK_DEPTH = 50
FIELDS = (
    "order_id, user_id, symbol, side, type, quantity, filled_quantity, price, status, created_at, updated_at"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotFound(Exception):
    """There is no such thing."""


def answer(data: Any, status: int = 200) -> web.Response:
    """A success, in the exchange's envelope."""
    return web.json_response({"success": True, "data": data}, status=status, dumps=dumps)


def refuse(status: int, code: str, message: str, details: str) -> web.Response:
    """A failure, in the exchange's envelope."""
    error = {"code": code, "message": message, "details": details}
    return web.json_response({"success": False, "error": error}, status=status)


def dumps(value: Any) -> str:
    """JSON in which what is not JSON (UUIDs, decimals, times) stands as text: a decimal must keep its digits."""
    return json.dumps(value, default=str)


class TradingApi:
    """The handlers, and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logger = log.setup("trading-api", silent=settings.has("silent_errors"))
        self.store = Store(settings, self.logger)
        self.cache = Cache(settings, self.logger)
        self.matcher = Matcher(settings, self.store)
        self.capacity = capacity.of(settings)
        self.checking: asyncio.Task[str] | None = None
        self.leak: list[bytearray] = []
        self.last_ready: tuple[float, str] | None = None
        self.http: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """The routes and the start and end of everything behind them."""
        app = web.Application(middlewares=[self.translate_errors])
        app.add_routes(
            [
                web.post("/api/orders", self.create_order),
                web.get("/api/orders", self.list_orders),
                web.get("/api/orders/{order_id}", self.show_order),
                web.delete("/api/orders/{order_id}", self.cancel_order),
                web.get("/api/orderbook/{symbol}", self.order_book),
                web.get("/api/price/{symbol}", self.price),
                web.get("/api/metrics", self.metrics),
                web.get("/health", self.health),
                web.get("/ready", self.ready),
                web.get("/live", self.live),
            ]
        )
        app.on_startup.append(self.start)
        app.on_cleanup.append(self.stop)
        return app

    async def start(self, app: web.Application) -> None:
        """Connect in the background: the API answers at once, if only that it is not ready."""
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5))
        await self.store.start()
        await self.cache.start()
        weak = ", ".join(sorted(self.settings.switches)) or "none"
        self.logger.info("trading-api started, weaknesses switched on: %s", weak)

    async def stop(self, app: web.Application) -> None:
        """Let go of everything."""
        await self.store.close()
        await self.cache.close()
        if self.http:
            await self.http.close()

    @web.middleware
    async def translate_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure becomes a status and a body that names its cause."""
        try:
            return await handler(request)
        except BadRequest as error:
            return refuse(400, error.code, error.message, error.details)
        except capacity.TooBusy as error:
            return refuse(503, "TOO_BUSY", "The exchange takes no more orders now.", str(error))
        except NotFound as error:
            return refuse(404, "NOT_FOUND", "There is no such order.", str(error))
        except StoreUnavailable as error:
            if self.settings.has("silent_errors"):
                return web.Response(status=500)
            if error.sent and request.method != "GET":
                message = (
                    "The database failed while it worked on the request; whether it was done is unknown."
                )
                return refuse(500, "OUTCOME_UNKNOWN", message, error.cause)
            return refuse(500, "STORE_UNAVAILABLE", "The database is not available.", error.cause)
        except CacheUnavailable as error:
            if self.settings.has("silent_errors"):
                return web.Response(status=500)
            return refuse(500, "CACHE_UNAVAILABLE", "The cache is not available.", str(error))
        except asyncpg.PostgresError as error:
            self.logger.exception("the database refused a statement")
            return refuse(500, "STORE_ERROR", "The database refused the request.", str(error))

    # -- orders ----------------------------------------------------------------------------------------

    async def create_order(self, request: web.Request) -> web.Response:
        """POST /api/orders: 201 once it is stored (or before, with ack_before_store)."""
        peer = request.transport.get_extra_info("peername") if request.transport else ""
        await self.capacity.admit(time.monotonic(), str(peer))
        limit = float("inf") if self.settings.has("no_timeout") else self.settings.order_timeout
        order = validation.order(await request.read(), time.monotonic() + limit)
        if self.settings.has("memory_leak"):
            self.leak.append(bytearray(10 * 1024))
        if self.settings.has("cpu_hungry"):
            end = time.process_time() + 0.005
            while time.process_time() < end:
                pass
        if self.settings.has("no_cache_fallback"):
            await self.cache.check()
        if self.settings.has("lookup_per_order"):
            await self.look_up_database()
        outcome = await self.matcher.place(order)
        if outcome == "UNKNOWN_USER":
            raise BadRequest("UNKNOWN_USER", "There is no such user.", f"user_id {order.user_id}")
        self.tell(order.order_id, order.symbol, outcome)
        # PENDING: accepted.  What matching made of it is told by GET.
        return answer({"order_id": order.order_id, "status": "PENDING"}, status=201)

    async def look_up_database(self) -> None:
        """Ask for the address of the database; raises StoreUnavailable without one."""
        loop = asyncio.get_running_loop()
        try:
            await loop.getaddrinfo(self.settings.database_host, self.settings.database_port)
        except OSError as error:
            raise StoreUnavailable(f"{self.settings.database_host}: {error}", sent=False) from error

    async def list_orders(self, request: web.Request) -> web.Response:
        """GET /api/orders?limit=: the latest orders."""
        limit = validation.limit(request.query.get("limit"))
        query = f"SELECT {FIELDS} FROM trading.orders ORDER BY arrival DESC LIMIT $1"
        rows = await self.store.ask(lambda connection: connection.fetch(query, limit))
        return answer({"orders": [dict(row) for row in rows]})

    async def show_order(self, request: web.Request) -> web.Response:
        """GET /api/orders/{order_id}."""
        order_id = validation.order_id(request.match_info["order_id"])
        query = f"SELECT {FIELDS} FROM trading.orders WHERE order_id = $1"
        row = await self.store.ask(lambda connection: connection.fetchrow(query, order_id))
        if row is None:
            raise NotFound(f"order_id {order_id}")
        return answer(dict(row))

    async def cancel_order(self, request: web.Request) -> web.Response:
        """DELETE /api/orders/{order_id}: cancel what is still open of it."""
        order_id = validation.order_id(request.match_info["order_id"])
        query = "SELECT * FROM trading.cancel_order($1)"
        row = await self.store.ask(lambda connection: connection.fetchrow(query, order_id))
        if row is None:
            raise NotFound(f"order_id {order_id}")
        if row["was"] == "FILLED":
            return refuse(409, "ALREADY_FILLED", "The order has been filled.", f"order_id {order_id}")
        self.tell(order_id, row["symbol"], "CANCELLED")
        return answer({"order_id": order_id, "status": "CANCELLED"})

    def tell(self, order_id: uuid.UUID, symbol: str, status: str) -> None:
        """Publish what became of an order."""
        self.cache.publish(symbol, {"order_id": str(order_id), "symbol": symbol, "status": status})

    # -- market ----------------------------------------------------------------------------------------

    async def order_book(self, request: web.Request) -> web.Response:
        """GET /api/orderbook/{symbol}: cached for a second; from the cache alone, marked stale, in an outage."""
        symbol = validation.symbol(request.match_info["symbol"])
        cached = None
        try:
            cached = await self.cache.book(symbol)
        except CacheUnavailable:
            if self.settings.has("no_cache_fallback"):
                raise
        if cached and cached[1]:
            return answer({**cached[0], "source": "cache", "stale": False})
        read_at = time.time()
        try:
            book = await self.read_book(symbol)
        except StoreUnavailable:
            if cached is None:
                raise
            return answer({**cached[0], "source": "cache", "stale": True})
        with contextlib.suppress(CacheUnavailable):  # an answer that could not be cached is still an answer
            await self.cache.keep_book(symbol, book, read_at)
        return answer({**book, "source": "database", "stale": False})

    async def read_book(self, symbol: str) -> dict[str, Any]:
        """The open orders of a symbol by price level, best first; raises StoreUnavailable."""
        query = """
            SELECT side, price, sum(quantity - filled_quantity) AS quantity, count(*) AS orders
              FROM trading.orders
             WHERE symbol = $1 AND type = 'LIMIT' AND status IN ('PENDING', 'PARTIALLY_FILLED')
             GROUP BY side, price ORDER BY price
        """
        rows = await self.store.ask(lambda connection: connection.fetch(query, symbol))
        levels: dict[str, list[dict[str, Any]]] = {"BUY": [], "SELL": []}
        for row in rows:
            level = {"price": str(row["price"]), "quantity": str(row["quantity"]), "orders": row["orders"]}
            levels[row["side"]].append(level)
        return {
            "symbol": symbol,
            "bids": levels["BUY"][::-1][:BOOK_DEPTH],
            "asks": levels["SELL"][:BOOK_DEPTH],
        }

    async def price(self, request: web.Request) -> web.Response:
        """GET /api/price/{symbol}: what came last over Redis; if that is old, the market simulator is asked."""
        symbol = validation.symbol(request.match_info["symbol"])
        known = self.cache.prices.get(symbol)
        if known and time.time() - known["at"] < STALE_PRICE:
            return answer({**known, "source": "redis"})
        assert self.http is not None
        url = f"{self.settings.market_url}/price/{symbol}"
        try:
            async with self.http.get(url) as response:
                response.raise_for_status()
                return answer({**(await response.json())["data"], "source": "market-simulator"})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if known:
                return answer({**known, "source": "redis", "stale": True})
            cause = f"{url}: {type(error).__name__} {error}".strip()
            return refuse(
                502, "PRICE_UNAVAILABLE", "Neither Redis nor the market simulator has a price.", cause
            )

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /api/metrics: counts from the database (500 without it, never invented) and of this process."""
        query = """
            SELECT (SELECT count(*) FROM trading.orders) AS order_count,
                   (SELECT count(*) FROM trading.trades) AS trade_count,
                   (SELECT count(*) FROM trading.orders WHERE status IN ('PENDING', 'PARTIALLY_FILLED'))
                       AS open_orders
        """
        row = await self.store.ask(lambda connection: connection.fetchrow(query))
        return answer({**dict(row), **vars(self.cache.counters)})

    # -- how it is -------------------------------------------------------------------------------------

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: always 200, the truth is in the body."""
        checks: dict[str, str] = {}
        details: dict[str, str] = {}
        cause = await self.check_store()
        checks["database"] = "unhealthy" if cause else "healthy"
        if cause:
            details["database"] = cause
        try:
            await self.cache.check()
            checks["cache"] = "healthy"
        except CacheUnavailable as error:
            checks["cache"], details["cache"] = "unhealthy", str(error)
        status = "healthy" if set(checks.values()) == {"healthy"} else "unhealthy"
        body: dict[str, Any] = {"status": status, "checks": checks}
        if details and not self.settings.has("silent_errors"):
            body["details"] = details
        return web.json_response(body)

    async def ready(self, request: web.Request) -> web.Response:
        """GET /ready: 200 if the database answers now, else 503."""
        now = time.monotonic()
        if self.settings.has("slow_ready") and self.last_ready and now - self.last_ready[0] < 5.0:
            return self.ready_response(self.last_ready[1])
        cause = await self.check_store()
        self.last_ready = (now, cause)
        return self.ready_response(cause)

    async def check_store(self) -> str:
        """Why the database does not answer now, nothing if it does; it is asked once for all who ask meanwhile.

        Those who ask pile up exactly when it is slow, and each question of their own would make it slower.
        """
        if self.settings.has("shallow_ready"):
            return "" if self.store.up else self.store.cause
        if self.checking is None or self.checking.done():
            self.checking = asyncio.get_running_loop().create_task(self.ask_store())
        return await asyncio.shield(self.checking)

    async def ask_store(self) -> str:
        """Ask the database; returns the cause of its silence."""
        try:
            await self.store.check(READY_TIMEOUT)
        except StoreUnavailable as error:
            return error.cause
        return ""

    def ready_response(self, cause: str) -> web.Response:
        """The answer of /ready: an empty cause is good."""
        if not cause:
            return web.json_response({"ready": True})
        body = {"ready": False} if self.settings.has("silent_errors") else {"ready": False, "reason": cause}
        return web.json_response(body, status=503)

    async def live(self, request: web.Request) -> web.Response:
        """GET /live: this process answers."""
        return web.json_response({"live": True})


if __name__ == "__main__":
    service.run(lambda settings: TradingApi(settings).application(), load(), port=8080)
