# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded exchange's API as other exchanges have theirs, by variables of the environment.

API_TOKEN: asked of every request as a bearer token. API_METHOD: by which alone an order is taken. API_IDS=integer:
orders are known by numbers. API_GRAPHQL: orders are taken and cancelled at /graphql alone. API_CERTIFICATE, API_KEY:
files, for TLS. API_HOST: where it listens. API_PREFIX: below which path all of it lies. API_ACCEPTED: an order that was
taken is answered by 202 and where it is, without a body. API_PIECES: answers come in chunks, and each connection ends
with its answer. Run as `python3 -m other_api`.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Awaitable
from typing import Any, Callable

from aiohttp import web
from exchange_lab import validation
from exchange_lab.settings import load
from exchange_lab.store import StoreUnavailable
from exchange_lab.trading_api import NotFound, TradingApi, answer, refuse

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def told(name: str) -> str:
    """Return a variable of the environment, empty where it is not set."""
    return os.environ.get(name, "")


class OtherApi(TradingApi):
    """The same API, otherwise."""

    def application(self) -> web.Application:
        """The routes of the embedded exchange's, and what is other about them."""
        app = super().application()
        app.middlewares.insert(0, self.be_other)
        if told("API_METHOD"):
            app.router.add_route(told("API_METHOD"), "/api/orders", self.create_order)
        if told("API_GRAPHQL"):
            app.router.add_post("/graphql", self.answer_graphql)
        return app

    @web.middleware
    async def be_other(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who has the token, and take orders one way alone."""
        if told("API_TOKEN") and request.headers.get("Authorization") != f"Bearer {told('API_TOKEN')}":
            return refuse(401, "UNAUTHORIZED", "A bearer token is needed.", "Authorization")
        at_orders = request.path.startswith("/api/orders") and request.method in ("POST", "DELETE")
        if at_orders and told("API_GRAPHQL"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        if request.path == "/api/orders" and request.method == "POST" and told("API_METHOD"):
            raise web.HTTPMethodNotAllowed(request.method, [told("API_METHOD")])
        answered = await handler(request)
        if told("API_PIECES"):
            answered.enable_chunked_encoding()
            answered.force_close()
        return answered

    async def create_order(self, request: web.Request) -> web.Response:
        """Store an order, known by a number where orders are, and by nothing that is told where they are accepted."""
        if told("API_ACCEPTED"):
            where = f"/api/orders/{await self.place(await request.read())}"
            return web.Response(status=202, headers={"Location": where})
        if told("API_IDS") != "integer":
            return await super().create_order(request)
        order_id = await self.place(await request.read())
        query = "SELECT arrival FROM trading.orders WHERE order_id = $1"
        number = await self.store.ask(lambda connection: connection.fetchval(query, order_id))
        return answer({"order_id": number, "status": "PENDING"}, status=201)

    async def cancel_order(self, request: web.Request) -> web.Response:
        """Cancel an order by its number, where orders have one."""
        named = request.match_info["order_id"]
        if told("API_IDS") == "integer":
            if not named.isdigit():
                raise validation.BadRequest("INVALID_ID", "order_id must be a number.", f"got {named!r}")
            query = "SELECT order_id FROM trading.orders WHERE arrival = $1"
            order_id = await self.store.ask(lambda connection: connection.fetchval(query, int(named)))
            if order_id is None:
                raise NotFound(f"order_id {named}")
            request.match_info["order_id"] = str(order_id)
        return await super().cancel_order(request)

    async def place(self, body: bytes) -> Any:
        """Store an order and return its id; raises BadRequest and StoreUnavailable."""
        order = validation.order(body, time.monotonic() + self.settings.order_timeout)
        outcome = await self.matcher.place(order)
        if outcome == "UNKNOWN_USER":
            raise validation.BadRequest("UNKNOWN_USER", "There is no such user.", str(order.user_id))
        return order.order_id

    async def answer_graphql(self, request: web.Request) -> web.Response:
        """Take or cancel an order: always 200, and what went wrong stands under ``errors``."""
        asked = json.loads(await request.read(), parse_float=str)
        variables = asked.get("variables") or {}
        try:
            if "cancelOrder" in asked["query"]:
                which = validation.order_id(variables.get("id"), "id")
                query = "SELECT * FROM trading.cancel_order($1)"
                await self.store.ask(lambda connection: connection.fetchrow(query, which))
                done = {"cancelOrder": {"id": str(which)}}
            else:
                done = {"placeOrder": {"id": str(await self.place(json.dumps(variables["order"]).encode()))}}
        except (validation.BadRequest, StoreUnavailable) as error:
            return web.json_response({"errors": [{"message": str(error)}], "data": None})
        return web.json_response({"data": done})


def main() -> None:
    """Serve until SIGTERM."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def build() -> web.Application:
        app = OtherApi(load()).application()
        if not told("API_PREFIX"):
            return app
        outer = web.Application()
        outer.add_subapp(told("API_PREFIX"), app)
        return outer

    context = None
    if told("API_CERTIFICATE"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(told("API_CERTIFICATE"), told("API_KEY"))
    web.run_app(
        loop.run_until_complete(build()), host=told("API_HOST") or None, port=8080, access_log=None, print=None,
        loop=loop, shutdown_timeout=1.0, ssl_context=context,
    )  # fmt: skip


if __name__ == "__main__":
    main()
