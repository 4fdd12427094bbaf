# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL as the trading API sees it: a few connections, kept alive, and quick, clear failures.

One background task (`_keep_connected`) is alone responsible for connecting.  Requests never connect, they
only take an idle connection: so an outage costs one connect at a time, not one per waiting request, and a
request learns at once when there is nothing to take.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, TypeVar

import asyncpg

from .hedge import first_answer
from .log import DependencyLog
from .settings import Settings

#: What reaches us when the database, its name, or the way to it is gone.
ERRORS = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

#: Of these, the ones after which a connection is not to be used again.  A server that dies may still say so
#: (OperatorInterventionError, AdminShutdown and the like) before its connections close.
LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

FIRST_DELAY = 0.010  # seconds; times 1.5 from try to try, ...
LONGEST_DELAY = 0.100  # ... up to this
GROWTH = 1.5

STAGGER = 0.15  # seconds after which a connect without answer gets a rival
CONNECT_LIMIT = 5.0  # seconds after which all of them have failed

PACE = 0.25  # seconds between further connections: whoever waits for an answer has the processor first

PLACE = "SELECT * FROM trading.place_orders($1, $2)"

T = TypeVar("T")


class StoreUnavailable(Exception):
    """The database did not do what was asked.

    `sent` tells whether the request had left for the database: if so, nobody knows whether it was done.
    """

    def __init__(self, cause: str, *, sent: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.sent = sent


def describe(error: BaseException) -> str:
    """An error as one line with its type, never empty."""
    if isinstance(error, asyncpg.InternalClientError):
        return "connection lost"  # the driver met the end of the connection between two of its own steps
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Backoff:
    """Delays that grow as long as the same kind of failure goes on.

    Another kind of failure is news (the name resolves again, the port is open but the database is still
    starting): the delays start from the shortest again, so that the end of an outage is not slept through.
    """

    def __init__(self) -> None:
        self._kind = ""
        self._delay = FIRST_DELAY

    def after(self, kind: str) -> float:
        """Seconds to wait after a failure of this kind."""
        self._delay = min(self._delay * GROWTH, LONGEST_DELAY) if kind == self._kind else FIRST_DELAY
        self._kind = kind
        return self._delay


class Store:
    """The database connections of the trading API."""

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        self._settings = settings
        self._where = f"{settings.database_host}:{settings.database_port}"
        self._log = DependencyLog(logger, f"database {self._where}")
        self._connections: set[asyncpg.Connection] = set()
        self._idle: list[asyncpg.Connection] = []
        self._changed = asyncio.Condition()
        self._incomplete = asyncio.Event()
        self._incomplete.set()
        self._task: asyncio.Task[None] | None = None
        self._was_up = False
        self.cause = "not connected yet"
        self.on_reconnect: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start connecting in the background."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Stop connecting and close what is open."""
        if self._task:
            self._task.cancel()
        for connection in list(self._connections):
            connection.terminate()

    @property
    def up(self) -> bool:
        """Whether there is at least one connection that is not known to be dead."""
        return bool(self._connections)

    @property
    def congestion(self) -> str:
        """Why an order has not had its turn yet: what keeps the database away, or that it is too busy."""
        return f"database {self._where}: {'too busy for the order in time' if self.up else self.cause}"

    async def wait_up(self, timeout: float) -> bool:
        """Wait until there is a connection; False when the time (seconds) ran out first."""
        if timeout <= 0:
            return self.up
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self.up), min(timeout, 3600))
            except asyncio.TimeoutError:
                return False
        return True

    async def ask(
        self, query: Callable[[asyncpg.Connection], Awaitable[T]], *, timeout: float | None = None
    ) -> T:
        """Run `query` on an idle connection, waiting for both at most `timeout` seconds (default: settings).

        Raises StoreUnavailable with its cause.  Errors of the statement itself (constraint, syntax) pass
        through as asyncpg.PostgresError.
        """
        limit = self._settings.query_timeout if timeout is None else timeout
        async with self._connection(limit) as connection:
            work = query(connection)
            try:
                if self._settings.has("no_timeout"):
                    return await work
                return await asyncio.wait_for(work, limit)
            except asyncio.TimeoutError:
                # The answer may still come, and would be taken for the next question's.
                self._drop(connection, f"no answer within {limit:g} s")
                raise StoreUnavailable(
                    f"database {self._where}: no answer within {limit:g} s", sent=True
                ) from None
            except LOST as error:
                self._drop(connection, describe(error))
                raise StoreUnavailable(f"database {self._where}: {describe(error)}", sent=True) from error

    async def check(self, timeout: float) -> None:
        """A real, cheap question to the database; raises StoreUnavailable when it is not answered in time."""
        if not self.up:
            raise StoreUnavailable(f"database {self._where}: {self.cause}", sent=False)
        await self.ask(lambda connection: connection.fetchval("SELECT 1"), timeout=timeout)

    async def place(self, symbol: str, orders: Sequence[Any]) -> dict[Any, str]:
        """Store and match a batch of orders of one symbol, all in one transaction.

        The database refuses an order that arrives after its deadline.  Returns order_id → status, or
        `UNKNOWN_USER`, or `TOO_LATE`.  Raises StoreUnavailable.
        """
        now, clock = datetime.now(timezone.utc), time.monotonic()
        seconds = [min(order.deadline - clock, 86400) for order in orders]
        batch = json.dumps(
            [
                {
                    "id": str(order.order_id),
                    "user": str(order.user_id),
                    "side": order.side,
                    "type": order.type,
                    "quantity": str(order.quantity),
                    "price": None if order.price is None else str(order.price),
                    "deadline": (now + timedelta(seconds=left)).isoformat(),
                }
                for order, left in zip(orders, seconds)
            ]
        )

        async def query(connection: asyncpg.Connection) -> dict[Any, str]:
            if self._settings.has("chatty_store"):
                for _attempt in range(10 * len(orders)):
                    await connection.fetchval("SELECT 1")
            rows = await connection.fetch(PLACE, symbol, batch)
            return {row["order_id"]: row["outcome"] for row in rows}

        # What is on its way is given time to answer: giving up on it means not knowing what became of it.
        timeout = max(min(seconds), self._settings.query_timeout)
        if self._settings.has("connection_per_order"):
            return await self._ask_once(query)
        return await self.ask(query, timeout=timeout)

    # -- connections -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(self, timeout: float) -> AsyncIterator[asyncpg.Connection]:
        """Lend an idle connection; waits for one at most `timeout` seconds, but not while there is none at all."""
        async with self._changed:
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self._idle or not self.up),
                    None if self._settings.has("no_timeout") else timeout,
                )
            except asyncio.TimeoutError:
                raise StoreUnavailable(
                    f"database {self._where}: all {len(self._connections)} connections busy for {timeout:g} s",
                    sent=False,
                ) from None
            if not self._idle:
                raise StoreUnavailable(f"database {self._where}: {self.cause}", sent=False)
            connection = self._idle.pop()
        try:
            yield connection
        finally:
            if connection in self._connections and not connection.is_closed():
                self._idle.append(connection)
                await self._tell()

    async def _ask_once(self, query: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Switch connection_per_order: connect, ask, close."""
        try:
            connection = await self._connect()
        except ERRORS as error:
            raise StoreUnavailable(f"database {self._where}: {describe(error)}", sent=False) from error
        try:
            return await query(connection)
        except ERRORS as error:
            raise StoreUnavailable(f"database {self._where}: {describe(error)}", sent=True) from error
        finally:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        """Open a connection; raises one of ERRORS."""
        if self._settings.has("no_timeout"):
            return await self._connect_once()
        try:
            return await first_answer(self._connect_once, stagger=STAGGER, limit=CONNECT_LIMIT)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no connection within {CONNECT_LIMIT:g} s") from None

    async def _connect_once(self) -> asyncpg.Connection:
        settings = self._settings
        # Looked up apart from connecting, for an error that says which of the two failed.  A container that
        # is down has no name, so this is where most attempts of an outage end.
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            settings.database_host, settings.database_port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
        return await asyncpg.connect(
            host=found[0][4][0],
            port=settings.database_port,
            user=settings.database_user,
            password=settings.database_password,
            database=settings.database_name,
            ssl=False,
            timeout=3600,  # the caller's limit counts
            server_settings={
                "application_name": "trading-api",
                "synchronous_commit": "off" if settings.has("synchronous_commit_off") else "on",
            },
        )

    async def _open(self) -> asyncpg.Connection:
        """Open a connection and place no orders at all: the server compiles what the first order would wait for."""
        connection = await self._connect()
        try:
            await asyncio.wait_for(connection.fetch(PLACE, "", "[]"), CONNECT_LIMIT)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _open_some(self, number: int) -> list[asyncpg.Connection]:
        """Open that many connections, or none; raises one of ERRORS."""
        found = await asyncio.gather(*(self._open() for _connection in range(number)), return_exceptions=True)
        errors = [one for one in found if isinstance(one, BaseException)]
        opened = [one for one in found if not isinstance(one, BaseException)]
        if errors:
            for connection in opened:
                connection.terminate()
            raise errors[0]
        return opened

    async def _keep_connected(self) -> None:
        """Open connections until there are `pool_size`, again whenever one is lost; never ends by itself.

        The first two come together, so that from the first moment no question waits behind an order; the others
        take their time.
        """
        backoff = Backoff()
        while True:
            await self._incomplete.wait()
            first = not self._connections
            try:
                opened = await self._open_some(min(2, self._settings.pool_size) if first else 1)
            except ERRORS as error:
                if not self.up:
                    self.cause = describe(error)
                    self._log.failed(self.cause)
                await asyncio.sleep(backoff.after(type(error).__name__))
                continue
            for connection in opened:
                connection.add_termination_listener(self._terminated)
            self._connections.update(opened)
            self._idle.extend(opened)
            if len(self._connections) >= self._settings.pool_size:
                self._incomplete.clear()
            if first:
                backoff = Backoff()
                self._log.works()
                if self._was_up:
                    self.on_reconnect()
                self._was_up = True
            await self._tell()
            await asyncio.sleep(PACE)

    def _terminated(self, connection: asyncpg.Connection) -> None:
        """Called by asyncpg the moment a connection is lost, whether or not it was in use."""
        self._forget(connection, "connection lost")

    def _drop(self, connection: asyncpg.Connection, cause: str) -> None:
        """Throw a connection away that can't be trusted any more."""
        connection.terminate()
        self._forget(connection, cause)

    def _forget(self, connection: asyncpg.Connection, cause: str) -> None:
        """Take a dead connection out; the background task opens another one."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self.up:
            self.cause = cause
            self._log.failed(cause)
            if self._settings.has("die_with_database"):
                os._exit(70)
            if self._settings.has("no_reconnect") and self._task:
                self._task.cancel()
        self._incomplete.set()
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Wake those who wait for a connection, or for there being none."""
        async with self._changed:
            self._changed.notify_all()
