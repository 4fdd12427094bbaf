# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe by HTTP, against servers of every manner: each sample is bounded and says how it ended in one word."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.kinds import HttpProbe

Talk = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
TIMEOUT_S = 0.4


class Server:
    """A server whose manner is a function that is handed each connection."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while data := peer.recv(65536):
                self.asked.append(data)
                self._talk(peer)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Talk], Server]]:
    made: list[Server] = []

    def start(talk: Talk) -> Server:
        made.append(Server(talk))
        return made[-1]

    yield start
    for server in made:
        server.close()


def probe(url: str) -> HttpProbe:
    return HttpProbe({"name": "health", "url": f"{url}/health?deep=1", "timeout_s": TIMEOUT_S})


def send_ok(peer: socket.socket) -> None:
    peer.sendall(OK)


def send_ok_and_leave(peer: socket.socket) -> None:
    """Without a word that it will."""
    peer.sendall(OK)
    peer.close()


def drip(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100):
        peer.sendall(b" ")
        time.sleep(0.05)


def leave(peer: socket.socket) -> None:
    peer.close()


def stay_silent(peer: socket.socket) -> None:
    """Not a word."""


def fail(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ndown")


def babble(peer: socket.socket) -> None:
    peer.sendall(b"220 mail.example ESMTP\r\n\r\n")


def send_large(peer: socket.socket) -> None:
    """As large as metrics may be, and larger than an answer to an order."""
    size = bounds.ORDER_BODY * 2
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"m" * size)


def test_one_connection_serves_many_samples_and_is_asked_plainly(serve: Callable[[Talk], Server]) -> None:
    server = serve(send_ok)
    asks = probe(server.url)
    assert all(asks.sample().ok for _ in range(5))
    assert server.connections == 1
    assert server.asked[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"content-length" not in server.asked[0].lower(), "there is no body"


def test_a_connection_that_was_closed_between_two_samples_is_no_bad_answer(
    serve: Callable[[Talk], Server],
) -> None:
    server = serve(send_ok_and_leave)
    asks = probe(server.url)
    for _ in range(4):
        assert asks.sample().kind == "ok"
        time.sleep(0.05)
    assert server.connections == 4


@pytest.mark.parametrize(
    ("talk", "kind", "status", "words"),
    [
        (drip, "timeout", 0, "within 0.4 s"),
        (stay_silent, "timeout", 0, "within 0.4 s"),
        (leave, "reset", 0, "closed the connection"),
        (fail, "error", 503, "down"),
        (babble, "other", 0, "does not speak HTTP"),
    ],
)  # fmt: skip
def test_a_bad_answer_has_its_word_and_an_end(
    serve: Callable[[Talk], Server], talk: Talk, kind: str, status: int, words: str
) -> None:
    sample = probe(serve(talk).url).sample()
    assert (sample.ok, sample.kind, sample.status) == (False, kind, status)
    assert words in str(sample.detail)
    assert sample.end - sample.at < TIMEOUT_S + 0.5


def test_a_bad_one_does_not_spoil_the_next(serve: Callable[[Talk], Server]) -> None:
    manners = iter([stay_silent, send_ok, leave, send_ok, babble, send_ok])
    asks = probe(serve(lambda peer: next(manners)(peer)).url)
    assert [asks.sample().kind for _ in range(6)] == ["timeout", "ok", "reset", "ok", "other", "ok"]


def test_an_answer_may_be_as_large_as_metrics_are(serve: Callable[[Talk], Server]) -> None:
    assert probe(serve(send_large).url).sample().kind == "ok"


def test_nobody_there_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    sample = probe(f"http://127.0.0.1:{port}").sample()
    assert sample.kind == "refused"
    assert f"127.0.0.1:{port} refused" in str(sample.detail)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "127.0.0.1:80/health"])
def test_an_address_that_is_none_is_one_sentence(url: str) -> None:
    with pytest.raises(ChaosError, match="is no address of an API"):
        HttpProbe({"name": "health", "url": url})
