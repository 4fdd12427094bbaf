# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each of the exchange's services runs: one process, one event loop, one port."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Callable

from aiohttp import web

from .settings import Settings

with contextlib.suppress(ImportError):
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def run(application: Callable[[Settings], web.Application], settings: Settings, *, port: int) -> None:
    """Serve until SIGTERM; with ignores_sigterm nobody handles it, and the kernel spares a container's process 1."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def build() -> web.Application:
        return application(settings)  # its locks and queues belong to the running loop

    app = loop.run_until_complete(build())
    web.run_app(
        app, port=port, access_log=None, print=None, loop=loop, shutdown_timeout=1.0,
        handle_signals=not settings.has("ignores_sigterm"),
    )  # fmt: skip
