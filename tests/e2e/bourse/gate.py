"""The API of a small exchange in another stack than the embedded one: FastAPI on uvicorn, asyncpg, redis. No tests.

Nothing in it is made for the collection: it takes orders, matches them in the database, shows the depth of a market,
and says in OpenAPI what it takes. Without its database it answers 503 and comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from decimal import Decimal
from enum import Enum
from typing import Any

import asyncpg
import redis.asyncio
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

AWAY = (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
PATIENCE_S = 1.0
app = FastAPI(title="Bourse", version="2")


class Direction(str, Enum):
    """Which way an order goes."""

    bid = "bid"
    ask = "ask"


class Kind(str, Enum):
    """What an order does at its price."""

    limit = "limit"


class Entry(BaseModel):
    """An order as it comes in."""

    account_id: int = Field(alias="accountId")
    instrument: str
    direction: Direction
    order_type: Kind = Field(Kind.limit, alias="orderType")
    amount: Decimal = Field(gt=0)
    limit_price: Decimal = Field(gt=0, alias="limitPrice")


class Receipt(BaseModel):
    """An order as it was taken."""

    id: int
    state: str


class Store:
    """The database, connected to when it is there."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self.pool: asyncpg.Pool | None = None
        self.opening = asyncio.Lock()

    async def ask(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        async with self.opening:
            if self.pool is None:
                self.pool = await asyncpg.create_pool(
                    os.environ["DATABASE_URL"],
                    min_size=2,
                    max_size=8,
                    timeout=PATIENCE_S,
                    command_timeout=PATIENCE_S,
                )
        async with self.pool.acquire(timeout=PATIENCE_S) as connection:
            return list(await connection.fetch(query, *values))


store = Store()
cache = redis.asyncio.Redis.from_url(
    os.environ["CACHE_URL"], socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
)


@app.exception_handler(asyncpg.ForeignKeyViolationError)
async def refuse(_request: Request, error: asyncpg.ForeignKeyViolationError) -> JSONResponse:
    """Say which of the order's own names is unknown."""
    return JSONResponse({"detail": f"unknown: {error.detail}"}, 422)


async def ask(query: str, *values: Any) -> list[asyncpg.Record]:
    """Ask the database; 503 with the cause where it is away."""
    try:
        return await store.ask(query, *values)
    except asyncpg.ForeignKeyViolationError:
        raise
    except AWAY as error:
        said = f"the database does not answer: {type(error).__name__}"
        logging.warning(said)
        raise HTTPException(503, said) from None


@app.post("/v2/order-entries", status_code=201, response_model=Receipt)
async def place(entry: Entry) -> dict[str, Any]:
    """Take an order, and match it with what waits."""
    (row,) = await ask(
        "SELECT id, state FROM trades.place($1, $2, $3, $4, $5)",
        entry.account_id, entry.instrument, entry.direction.value, entry.amount, entry.limit_price,
    )  # fmt: skip
    return dict(row)


@app.delete("/v2/order-entries/{entry_id}", response_model=Receipt)
async def cancel(entry_id: int) -> dict[str, Any]:
    """Take an order out of the market."""
    rows = await ask(
        "UPDATE trades.order_entries SET state = 'withdrawn' WHERE id = $1 AND state = 'open' RETURNING id, state",
        entry_id,
    )
    if not rows:
        raise HTTPException(404, "no such order waits")
    return dict(rows[0])


@app.get("/v2/depth/{instrument}")
async def depth(instrument: str) -> Any:
    """Return what waits in a market, from the cache where it is fresh."""
    key = f"depth:{instrument}"
    with contextlib.suppress(redis.RedisError, OSError):
        kept = await cache.get(key)
        if kept:
            return json.loads(kept)
    rows = await ask(
        "SELECT direction, limit_price::text AS price, sum(amount)::text AS amount FROM trades.order_entries "
        "WHERE instrument = $1 AND state = 'open' GROUP BY 1, 2 ORDER BY 2 LIMIT 100",
        instrument,
    )
    found = {
        side: [[row["price"], row["amount"]] for row in rows if row["direction"] == way]
        for side, way in (("bids", "bid"), ("asks", "ask"))
    }
    with contextlib.suppress(redis.RedisError, OSError):
        await cache.set(key, json.dumps(found), px=500)
    return found


@app.get("/status")
async def status() -> dict[str, str]:
    """Say how the exchange is."""
    try:
        await store.ask("SELECT 1")
    except AWAY:
        return {"state": "degraded"}
    return {"state": "up"}


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Say whether orders are taken."""
    await ask("SELECT 1")
    return {"state": "ready"}
