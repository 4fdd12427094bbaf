# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API that answers with malice costs a request its own time and little memory, and no more."""

from __future__ import annotations

import gzip
import socket

import pytest

from tests.unit.hostile import Answer, ask, for_ever, request_of, serving

pytestmark = pytest.mark.slow

TIMEOUT_S = 1.5
_CLIENT = f"""
def warm(url):
    http_client.Client(url, timeout={TIMEOUT_S}).request("GET", "/warm")
def ask(url):
    reply = http_client.Client(url, timeout={TIMEOUT_S}).request("GET", "/api")
    value = reply.json()
    json.dumps(value).encode(), str(value).encode(), reply.text().encode()
    return [reply.kind, reply.status, reply.detail or reply.text(), value if len(reply.body) < 200 else None]
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def head(connection: socket.socket, more: bytes = b"\r\n") -> bool:
    """Answer the warming up in order; else send the head of an answer."""
    warm = b"/warm" in request_of(connection)
    connection.sendall(OK + (b"Content-Length: 2\r\n\r\n{}" if warm else more))
    return not warm


def body(data: bytes, more: bytes = b"") -> Answer:
    """An answer with a length of its own."""

    def answer(connection: socket.socket) -> None:
        head(connection, more + b"Content-Length: %d\r\n\r\n" % len(data) + data)

    return answer


def endless(connection: socket.socket) -> None:
    if head(connection):
        for_ever(connection, b"x" * 65536)


def dripping_body(connection: socket.socket) -> None:
    if head(connection, b"Content-Length: 1000000\r\n\r\n"):
        for_ever(connection, b"x", 0.3)


def dripping_chunks(connection: socket.socket) -> None:
    if head(connection, b"Transfer-Encoding: chunked\r\n\r\n"):
        for_ever(connection, b"1\r\nx\r\n", 0.3)


def dripping_headers(connection: socket.socket) -> None:
    if head(connection, b"X-Long: "):
        for_ever(connection, b"x", 0.3)


def headers_for_ever(connection: socket.socket) -> None:
    if head(connection, b""):
        for_ever(connection, b"X-More: and more\r\n")


def continue_for_ever(connection: socket.socket) -> None:
    if b"/warm" in request_of(connection):
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
    else:
        for_ever(connection, b"HTTP/1.1 100 Continue\r\n\r\n", 0.1)


def silent(connection: socket.socket) -> None:
    if head(connection, b""):
        for_ever(connection, b"", 0.3)


BOMB = gzip.compress(b"\0" * (900 * 1024 * 1024 // 3), 9)
#: Name, answer, what the request ends as (kind), a word of its detail.
HOSTILE = {
    "endless body": (endless, "other", "larger than 1 MiB"),
    "one byte each 0.3 s": (dripping_body, "timeout", "within 1.5 s"),
    "one chunk each 0.3 s": (dripping_chunks, "timeout", "within 1.5 s"),
    "one byte of a header each 0.3 s": (dripping_headers, "timeout", "within 1.5 s"),
    "headers for ever": (headers_for_ever, "other", "headers"),
    "100 Continue for ever": (continue_for_ever, "timeout", "within 1.5 s"),
    "silence": (silent, "timeout", "within 1.5 s"),
    "gzip bomb": (body(BOMB, b"Content-Encoding: gzip\r\n"), "other", "unpacks to more than 1 MiB"),
    "unknown coding": (body(b"x", b"Content-Encoding: br\r\n"), "other", "encoded as br"),
    "damaged gzip": (body(b"no gzip", b"Content-Encoding: gzip\r\n"), "other", "damaged"),
    "deep JSON": (body(b"[" * 100_000), "", "[["),
    "deep JSON that ends": (body(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "", "a"),
    "half a surrogate": (body(b'{"error": "\\ud83d and more"}'), "", "and more"),
    "a number of 5000 digits": (body(b'{"a": ' + b"9" * 5000 + b"}"), "", "999"),
    "no UTF-8, and control characters": (body(b'{"a": "\xff\xfe\x1b[2J\x00"}'), "", "a"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_malice_costs_its_own_time_and_little_memory(name: str) -> None:
    answer, kind, word = HOSTILE[name]
    with serving(answer) as url:
        found = ask(url, module="host", imports="http_client", body=_CLIENT)
    assert isinstance(found["answer"], list), found
    assert found["answer"][0] == kind, found
    assert word in found["answer"][2], found
    assert found["seconds"] <= TIMEOUT_S + 1.0, found
    assert found["mib"] <= 100, found
    assert not any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in found["answer"][2]), found


def test_what_is_packed_and_small_is_read_and_a_connection_is_kept(tmp_path: object) -> None:
    packed = gzip.compress(b'{"status": "healthy"}')
    seen: list[int] = []

    def answer(connection: socket.socket) -> None:
        while request_of(connection):
            seen.append(connection.fileno())
            connection.sendall(
                OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
            )

    with serving(answer) as url:
        found = ask(
            url,
            module="host",
            imports="http_client",
            body="def ask(url):\n    client = http_client.Client(url, timeout=2)\n"
            "    return [client.request('GET', '/').json() for _ in range(3)]\n",
        )
    assert found["answer"] == [{"status": "healthy"}] * 3
    assert len(seen) == 3
    assert len(set(seen)) == 1
