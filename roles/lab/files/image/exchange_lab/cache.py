# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as the trading API sees it: prices in, order events out, order books cached.

Nothing here may hold up or fail an order: events are queued and sent by a background task, and counted as
lost when Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from .log import DependencyLog
from .settings import ORDERS_CHANNEL, PRICES_CHANNEL, Settings
from .store import Backoff, describe

ERRORS = (RedisError, OSError, asyncio.TimeoutError)

FRESH = 1  # seconds a cached order book is served without asking the database
KEPT = 60  # seconds it is kept, to be served marked `stale` while the database is away


class CacheUnavailable(Exception):
    """Redis did not do what was asked; the text is the cause."""


@dataclass
class Counters:
    """What happened to the events and the cache since the start."""

    events_published: int = 0
    events_lost: int = 0
    prices_received: int = 0
    book_hits: int = 0
    book_misses: int = 0


class Cache:
    """The Redis connections of the trading API."""

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        self._settings = settings
        self._where = f"{settings.cache_host}:{settings.cache_port}"
        self._log = DependencyLog(logger, f"cache {self._where}")
        limit = None if settings.has("no_timeout") else settings.connect_timeout
        self._redis: Any = redis.asyncio.Redis(
            host=settings.cache_host,
            port=settings.cache_port,
            socket_connect_timeout=limit,
            socket_timeout=limit,
            decode_responses=True,
        )
        self._events: asyncio.Queue[str] = asyncio.Queue(maxsize=10_000)
        self._tasks: list[asyncio.Task[None]] = []
        self.counters = Counters()
        self.prices: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, float] = {}
        self.up = False
        self.cause = "not connected yet"

    async def start(self) -> None:
        """Start listening for prices and sending events, in the background."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._send())]

    async def close(self) -> None:
        """Stop and disconnect."""
        for task in self._tasks:
            task.cancel()
        await self._redis.close()

    async def check(self) -> None:
        """Ask Redis whether it is there; raises CacheUnavailable.  No attempt while it is known to be away."""
        if not self.up:
            raise CacheUnavailable(f"cache {self._where}: {self.cause}")
        await self._do(self._redis.ping())

    async def book(self, symbol: str) -> tuple[dict[str, Any], bool] | None:
        """The cached order book and whether it is fresh; None if there is none.  Raises CacheUnavailable."""
        if not self.up:
            raise CacheUnavailable(f"cache {self._where}: {self.cause}")
        text = await self._do(self._redis.get(f"orderbook:{symbol}"))
        if text is None:
            self.counters.book_misses += 1
            return None
        entry = json.loads(text)
        fresh = entry["at"] > max(time.time() - FRESH, self._changed.get(symbol, 0.0))
        self.counters.book_hits += fresh
        self.counters.book_misses += not fresh
        return entry["book"], fresh

    async def keep_book(self, symbol: str, book: dict[str, Any], read_at: float) -> None:
        """Cache an order book as it was at `read_at` (Unix time); raises CacheUnavailable."""
        if not self.up:
            raise CacheUnavailable(f"cache {self._where}: {self.cause}")
        text = json.dumps({"at": read_at, "book": book})
        await self._do(self._redis.set(f"orderbook:{symbol}", text, ex=KEPT))

    def publish(self, symbol: str, event: dict[str, Any]) -> None:
        """Queue an order event; never waits, never fails.  The symbol's cached book is out of date now."""
        self._changed[symbol] = time.time()
        try:
            self._events.put_nowait(json.dumps(event))
        except asyncio.QueueFull:
            self.counters.events_lost += 1

    async def _do(self, work: Any) -> Any:
        try:
            return await work
        except ERRORS as error:
            raise CacheUnavailable(f"cache {self._where}: {describe(error)}") from error

    async def _send(self) -> None:
        """Send queued events in pipelines."""
        while True:
            events = [await self._events.get()]
            while not self._events.empty() and len(events) < 256:
                events.append(self._events.get_nowait())
            if not self.up:
                self.counters.events_lost += len(events)
                continue
            try:
                pipeline = self._redis.pipeline(transaction=False)
                for text in events:
                    pipeline.publish(ORDERS_CHANNEL, text)
                await pipeline.execute()
                self.counters.events_published += len(events)
            except ERRORS:
                self.counters.events_lost += len(events)

    async def _listen(self) -> None:
        """Receive prices; connects again whenever the subscription is lost, and thereby tells `up`."""
        backoff = Backoff()
        while True:
            delay = 0.0
            subscription = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await subscription.subscribe(PRICES_CHANNEL)
                self.up = True
                self._log.works()
                backoff = Backoff()
                while True:
                    message = await subscription.get_message(timeout=1.0)
                    if message is not None:
                        price = json.loads(message["data"])
                        self.prices[price["symbol"]] = price
                        self.counters.prices_received += 1
            except ERRORS as error:
                self.up = False
                self.cause = describe(error)
                self._log.failed(self.cause)
                delay = backoff.after(type(error).__name__)
            finally:
                await self._drop(subscription)
            if self._settings.has("no_redis_resubscribe"):
                self.up = True  # so the cache is used again, but nobody listens
                return
            await asyncio.sleep(delay)

    @staticmethod
    async def _drop(subscription: Any) -> None:
        with contextlib.suppress(*ERRORS):
            await subscription.close()
