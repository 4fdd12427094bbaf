# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer is the same in one piece or byte by byte, and nothing a peer may send is without a bound."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_answer import (
    HEAD_MAX,
    Answer,
    Malformed,
)

HEAD = b"HTTP/1.1 201 Created\r\n"
BODY_MAX = bounds.ORDER_BODY
WIRE_MAX = 2 * BODY_MAX + HEAD_MAX


@pytest.mark.parametrize(
    ("text", "status", "body", "keeps"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", 201, b"hello", True),
        (HEAD + b"content-length:5\r\nConnection: Close\r\n\r\nhello", 201, b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", 200, b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
            201,
            b"hello",
            True,
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 201, b"", True),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n"
            + HEAD
            + b"Content-Length: 1\r\n\r\nx",
            201,
            b"x",
            True,
        ),
    ],
)
def test_an_answer_is_the_same_in_one_piece_and_byte_by_byte(
    text: bytes, status: int, body: bytes, keeps: bool
) -> None:
    whole = Answer()
    assert whole.feed(text)
    parts = Answer()
    done = [parts.feed(text[k : k + 1]) for k in range(len(text))]
    assert done == [False] * (len(text) - 1) + [True]
    for answer in (whole, parts):
        assert (answer.status, answer.body, answer.keeps) == (status, body, keeps)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    answer = Answer()
    assert not answer.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not answer.feed(b"lo")
    assert answer.close()
    assert (answer.body, answer.keeps) == (b"hello", False)


def test_the_coding_of_a_body_is_told() -> None:
    answer = Answer()
    assert answer.feed(HEAD + b"Content-Encoding: GZip\r\nContent-Length: 1\r\n\r\nx")
    assert answer.coding == "gzip"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhell",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_connection_that_closes_too_early_gave_no_answer(text: bytes) -> None:
    answer = Answer()
    assert not answer.feed(text)
    assert not answer.close()


def test_what_comes_after_an_answer_is_nobodys_and_ends_the_connection() -> None:
    answer = Answer()
    assert answer.feed(HEAD + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
    assert (answer.body, answer.keeps) == (b"ok", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 2x1 No\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not speak HTTP"),
        (HEAD + b"no colon\r\n\r\n", "without a colon"),
        (HEAD + b"Content-Length: -5\r\n\r\n", "no number"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "no number"),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n", "longer than"),
        (HEAD + b"A: b\r\n" * 101 + b"\r\n", "more than 100 headers"),
        (HEAD + b"A: " + b"b" * HEAD_MAX, "headers are longer"),
        (HEAD + b"\r\n" + b"b" * (BODY_MAX + 1), "longer than"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", "longer than"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhelloo\r\n", "does not end where it said"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 2000, "a line between the chunks"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (WIRE_MAX // 20), "longer than"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (WIRE_MAX // 5), "longer than"),
    ],
)
def test_what_is_no_answer_or_too_much_of_one_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        feed(Answer(), text)


def feed(answer: Answer, text: bytes) -> None:
    """Hand an answer over in pieces, as it comes from a socket."""
    for k in range(0, len(text), 4096):
        assert not answer.feed(text[k : k + 4096])


def test_many_small_chunks_cost_no_more_than_their_number() -> None:
    """Summing all chunks at each new one would take minutes for what fits the bounds."""
    text = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n"
    answer = Answer()
    done = [answer.feed(text[k : k + 65536]) for k in range(0, len(text), 65536)]
    assert done[-1]
    assert answer.body == b"x" * 60_000


def test_the_bound_of_a_body_is_the_askers() -> None:
    data = HEAD + b"Content-Length: 11\r\n\r\nhello world"
    assert Answer(11).feed(data)
    with pytest.raises(Malformed, match="longer than 10 bytes"):
        Answer(10).feed(data)
