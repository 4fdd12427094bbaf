# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API on loopback that behaves as it is told, and a run folder for observers to work in. No tests."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import read_content

BEHAVIOURS = ("ok", "delay", "hang", "reset", "close", "error", "empty", "garbage")


class Api:
    """A trading API with one thread per connection. It keeps what it was sent: the truth to compare with."""

    def __init__(self) -> None:
        self.behaviour = "ok"
        self.delay = 0.3
        self.orders: list[dict[str, Any]] = []
        self.arrived: list[bytes] = []
        #: What became of the port, and the instants between which it happened.
        self.switched: list[tuple[str, float, float]] = []
        self.open: set[socket.socket] = set()
        self.connections = 0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Open the port, the same one each time."""
        begun = clock.read()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        self.switched.append(("up", begun, clock.read()))

    def refuse(self) -> None:
        """Close the port and every connection, as the kernel does for a process that was killed."""
        begun = clock.read()
        with self._lock:
            listener, self._listener = self._listener, None
        if listener:
            # close() alone would not wake the thread in accept(), and the port would stay open.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for connection in self.open:
                _abort(connection)
            self.open.clear()
        self.switched.append(("down", begun, clock.read()))

    def be(self, behaviour: str) -> None:
        """Behave so from the next request on."""
        assert behaviour in BEHAVIOURS
        self.behaviour = behaviour

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if listener is not self._listener:  # closed meanwhile: nothing may be answered any more
                    _abort(connection)
                    return
                self.connections += 1
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while self._answer(connection, stream):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self.open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, stream: Any) -> bool:
        first = stream.readline().split()
        if len(first) < 2:
            return False
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body, how = stream.read(length), self.behaviour
        with self._lock:
            self.arrived += [body] if body else []
        if how == "delay":
            time.sleep(self.delay)
        elif how == "hang":
            time.sleep(30)
            return False
        elif how == "reset":
            _abort(connection)
            return False
        elif how == "close":
            return False
        status, answer = self._handle(first[0].decode(), body, how)
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        )
        connection.sendall(head.encode() + answer)
        return True

    def _handle(self, method: str, body: bytes, how: str) -> tuple[int, bytes]:
        if how == "error":
            error = {
                "code": "STORE_DOWN",
                "message": "no store",
                "details": "connect to 10.0.0.2:5432: refused",
            }
            return 500, json.dumps({"success": False, "error": error}).encode()
        if how == "empty":
            return 500, b""
        if how == "garbage":
            return 201, b"<html>hello</html>"
        if method != "POST":
            return 200, b'{"status": "healthy"}'
        order = json.loads(body, parse_float=Decimal)
        with self._lock:
            self.orders.append({**order, "t": clock.read()})
        return 201, json.dumps({"success": True, "data": {"order_id": str(uuid.uuid4())}}).encode()


def _abort(connection: socket.socket) -> None:
    """Close with a reset instead of an orderly end."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    connection.close()


def load_spec(url: str, **changes: Any) -> dict[str, Any]:
    """Return ``load`` of a run's specification: calm unless told otherwise."""
    return {
        "url": url,
        "rate": 50,
        "watch_rate": 0,
        "burst_rate": 0,
        "burst_s": 0,
        "timeout_s": 1.0,
        "order": {
            "method": "POST",
            "path": "/api/orders",
            "body": {
                "user_id": "c4a05000-0000-4000-8000-000000000001",
                "symbol": "CHAOS",
                "type": "LIMIT",
                "quantity": 1,
            },
        },
        "accept": {"status": 201, "expression": "success"},
        "order_id": "data.order_id",
        "error": "error.details || error.message || error.code",
        "price": {"field": "price", "base": "100", "decimals": 8, "first_number": 123456},
        "side": {"field": "side", "values": ["SELL", "BUY"]},
        "cancel": {"method": "DELETE", "path": "/api/orders/{order_id}"},
        "book": "/api/orderbook/{symbol}",
        **changes,
    }


def make_run(
    folder: Path, load: dict[str, Any], probes: list[dict[str, Any]] | None = None, **more: Any
) -> RunDir:
    """Return an open run in ``folder``, with the real runtime in it and an hour to live."""
    folder.mkdir(parents=True, mode=0o700)
    run = RunDir(folder)
    spec = {
        "run_id": folder.name,
        "project": "exchange-chaos-lab",
        "anchor": asdict(clock.take_anchor()),
        "containers": {},
        "load": load,
        "probes": probes or [],
        "windows": {"steady_s": 3.0},
        "database": {"service": "postgres", "name": "trading_db", "user": "trading_user"},
        **more,
    }
    write_json(run.file("spec.json"), spec)
    run.extend_deadline(3600)
    with zipfile.ZipFile(run.file("chaos.pyz"), "w") as archive:
        for name, data in read_content().items():
            archive.writestr(name, data)
    return run


def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return the condition's first true value; fails when there is none in time."""
    until = clock.read() + seconds
    while clock.read() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"nothing came of {condition} within {seconds:g} s")
