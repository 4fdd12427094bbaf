# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of an order into the database: one queue per symbol, stored in batches, each order exactly once.

Matching is serial per symbol.  While a batch is being committed the next one gathers, so a slow disk makes
the batches larger instead of the queue longer.

An order's id is made before it is first sent, and the database ignores an id it already has: after a lost
connection a batch is simply sent again, and cannot be applied twice.  What has not been stored by its
deadline is answered as failed, and the database refuses it if it should still arrive later.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal

import asyncpg

from .settings import Settings
from .store import Store, StoreUnavailable, describe

LARGEST_BATCH = 64
#: The first batches after a failure are small, so that those who waited longest hear at once that it goes on.
FIRST_BATCH = 4
#: An order with less than this left before its deadline is not sent any more, seconds.
TOO_LATE = 0.05
#: Switch duplicate_on_retry: how far back orders are sent again, seconds.
REPLAY = 1.0


@dataclass
class Order:
    """A valid order on its way in; `deadline` is on time.monotonic()."""

    user_id: uuid.UUID
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None
    deadline: float
    order_id: uuid.UUID = field(default_factory=uuid.uuid4)
    arrived: float = field(default_factory=time.monotonic)
    #: Resolves to the status after matching or UNKNOWN_USER, or fails with StoreUnavailable.
    outcome: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> None:
        """Tell the waiting request, unless it has been told already."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # nobody waits in ack_before_store: not a complaint for the log


class Matcher:
    """Takes orders, hands them to the store in batches, and tells each order's fate."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._queues: dict[str, asyncio.Queue[Order]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._recent: deque[Order] = deque(maxlen=10_000)
        #: How many orders go into one transaction: doubled by each success, back to the first after a failure.
        self._step = LARGEST_BATCH
        if settings.has("duplicate_on_retry"):
            store.on_reconnect = self._replay

    async def place(self, order: Order) -> str:
        """Store and match an order; returns its status after matching, or UNKNOWN_USER.

        Raises StoreUnavailable when it could not be stored before its deadline.
        """
        self._put(order)
        if self._settings.has("ack_before_store"):
            return "PENDING"
        return await order.outcome

    def _put(self, order: Order) -> None:
        queue = self._queues.get(order.symbol)
        if queue is None:
            queue = self._queues[order.symbol] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._work(order.symbol, queue)))
        queue.put_nowait(order)

    async def _work(self, symbol: str, queue: asyncio.Queue[Order]) -> None:
        largest = 1 if self._settings.has("no_group_commit") else LARGEST_BATCH
        while True:
            batch = [await queue.get()]
            if self._settings.has("ack_before_store"):
                await asyncio.sleep(0.02)  # answered already: no hurry
            while len(batch) < largest and not queue.empty():
                batch.append(queue.get_nowait())
            try:
                await self._store_batch(symbol, batch)
            except Exception as error:  # one broken batch must not stop the symbol for good
                for order in batch:
                    order.fail(error)

    async def _store_batch(self, symbol: str, batch: list[Order]) -> None:
        """Store a batch, again and again until it is in or too late; every order has its outcome after that."""
        sent = False
        failure = StoreUnavailable(self._store.congestion, sent=False)
        while batch:
            now = time.monotonic()
            for order in batch:
                if order.deadline - now <= TOO_LATE:
                    order.fail(StoreUnavailable(failure.cause, sent=sent))
            batch = [order for order in batch if order.deadline - now > TOO_LATE]
            if not batch:
                return
            seconds = min(order.deadline for order in batch) - now
            part = batch[: self._step]
            try:
                outcomes = await self._store.place(symbol, part)
            except StoreUnavailable as error:
                self._step = FIRST_BATCH
                failure = error
                sent = sent or error.sent
                if self._settings.has("no_retry") or self._settings.has("ack_before_store"):
                    break
                await self._store.wait_up(seconds - TOO_LATE)
                await asyncio.sleep(0.005)  # up, yet failing: do not spin
                continue
            except asyncpg.PostgresError as error:
                failure = StoreUnavailable(describe(error), sent=False)
                break
            self._step = min(2 * self._step, LARGEST_BATCH)
            for order in part:
                if outcomes[order.order_id] == "TOO_LATE":
                    order.fail(StoreUnavailable(failure.cause, sent=sent))
                elif not order.outcome.done():
                    order.outcome.set_result(outcomes[order.order_id])
            if self._settings.has("duplicate_on_retry"):
                self._recent.extend(part)
            batch = batch[len(part) :]
        for order in batch:
            order.fail(StoreUnavailable(failure.cause, sent=sent))

    def _replay(self) -> None:
        """Switch duplicate_on_retry: "to be safe" the last second's orders go in again, under new ids."""
        recent = [order for order in self._recent if order.arrived > self._recent[-1].arrived - REPLAY]
        self._recent.clear()
        loop = asyncio.get_running_loop()
        for order in recent:
            self._put(
                replace(
                    order,
                    order_id=uuid.uuid4(),
                    outcome=loop.create_future(),
                    arrived=time.monotonic(),
                    deadline=time.monotonic() + self._settings.order_timeout,
                )
            )
