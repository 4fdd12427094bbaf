#!/usr/bin/python3
"""The exchange of a light host, as small as can be: an API that stores orders in a file, and a psql that reads it.

One container runs it, so that fifty of them fit on two cores; everything else about an experiment on it is real. As
``psql`` it answers the two look-ups of the order ledger and nothing else. Every order is filled at once.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import uuid
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

ORDERS = Path("/orders")
PORT = 8080
_BETWEEN = re.compile(r"SELECT price FROM .* BETWEEN ([\d.]+) AND ([\d.]+)$")
_WRITING = Lock()


class Handler(BaseHTTPRequestHandler):
    """Takes orders, and is healthy."""

    protocol_version = "HTTP/1.1"
    # Head and body leave as two packets; without this the second would wait for an acknowledgement of the first.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve a connection; who speaks PostgreSQL's protocol is told that this is none, and asks ``psql``."""
        if self.connection.recv(1, socket.MSG_PEEK) == b"\0":
            self.connection.sendall(b"?")
        else:
            super().handle()

    def do_GET(self) -> None:
        book: dict[str, list[str]] = {"bids": [], "asks": []}
        self._answer(200, {"data": book} if "orderbook" in self.path else {"status": "healthy"})

    def do_DELETE(self) -> None:
        self._answer(200, {"success": True})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        order = json.loads(self.rfile.read(length), parse_float=str)
        with _WRITING, ORDERS.open("a") as stream:
            stream.write(f"{order['price']}\n")
        self._answer(201, {"success": True, "data": {"order_id": str(uuid.uuid4()), "status": "FILLED"}})

    def log_message(self, *_args: object) -> None:
        """Say nothing of single requests."""

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def look_up(query: str) -> list[str]:
    """Return the prices that the ledger's look-up asks for; no order waits in a book, and there are no settings."""
    found = _BETWEEN.match(query.strip())
    if found is None or not ORDERS.exists():
        return []
    first, last = Decimal(found[1]), Decimal(found[2])
    return [line for line in ORDERS.read_text().splitlines() if first <= Decimal(line) <= last]


def main() -> None:
    if Path(sys.argv[0]).name == "psql":
        print(*look_up(sys.argv[sys.argv.index("-c") + 1]), sep="\n")
    else:
        ThreadingHTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
