# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slow request: answered by who finishes what it has begun, cut off by who does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load import load_plan
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.slow import SlowProbe

SLOW_S = 0.2


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection; yields its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _where = listening.accept()
        with connection:
            serve(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/health"
    finally:
        listening.close()
        thread.join(2)


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    return data


def probe(url: str) -> SlowProbe:
    return SlowProbe({"name": "slow", "url": url, "slow_s": SLOW_S, "timeout_s": 1})


def test_it_takes_its_time_and_is_answered() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(serve) as url:
        found = probe(url).sample()
    assert (found.ok, found.status, found.kind) == (True, 200, "ok")
    assert found.end - found.at >= SLOW_S
    assert seen[0].startswith(b"GET /health HTTP/1.1\r\n")


def test_an_answer_of_any_status_is_one_that_was_finished() -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with server(serve) as url:
        found = probe(url).sample()
    assert (found.ok, found.status) == (True, 502)


def test_one_that_is_cut_off_says_so_at_once() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10)

    with server(serve) as url:
        found = probe(url).sample()
    assert (found.ok, found.status, found.kind) == (False, 0, "reset")
    assert found.end - found.at < SLOW_S


def test_nobody_there_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    found = probe(url).sample()
    assert (found.ok, found.kind) == (False, "refused")


def test_it_speaks_http_alone() -> None:
    with pytest.raises(ChaosError, match="a slow request needs an http address"):
        probe("gopher://127.0.0.1/")


def test_its_slowness_has_bounds() -> None:
    wanted = {"name": "slow", "kind": "http", "url": "http://127.0.0.1/", "rate": 1}
    assert load_plan.validate_probes([{**wanted, "slow_s": 0.5}]) == []
    (problem,) = load_plan.validate_probes([{**wanted, "slow_s": 60}])
    assert "slow_s" in problem
