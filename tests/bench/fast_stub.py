# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trading API that answers every order at once, in a process of its own: what is measured is the sender alone.

``python tests/bench/fast_stub.py`` prints its port, serves until its input ends.
Nothing but the standard library, and nothing of the collection.
"""

from __future__ import annotations

import asyncio
import sys

BODY = b'{"success":true,"data":{"order_id":"%d","status":"PENDING"}}'


class Api(asyncio.Protocol):
    """One connection; requests come whole and one after the other, as the load sends them."""

    orders = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._data += data
        while True:
            head, gap, rest = self._data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if gap else 0
            if not gap or len(rest) < length:
                return
            self._data = rest[length:]
            Api.orders += 1
            body = BODY % Api.orders
            self._transport.write(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


async def serve() -> None:
    """Listen on a port of the kernel's choice until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Api, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
