# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds of what comes from outside: size, depth, digits, letters."""

from __future__ import annotations

import json
import socket
import time

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds, cut_off


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 100_000, "64 levels"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "64 levels"),
        (b"[" + b"1," * 600_000 + b"1]", "1 MiB"),
        (b'{"a": ' + b"1" * 400 + b"}", "32 digits"),
        (b'{"a": 1e400}', "too large"),
    ],
)
def test_too_much_is_said_to_be_so(data: bytes, why: str) -> None:
    with pytest.raises(bounds.TooMuch, match=why):
        bounds.parse_json(data)


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"", b"\xff\xfe", b"{'a': 1}"])
def test_what_is_no_json_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        bounds.parse_json(data)


def test_brackets_in_strings_are_no_depth() -> None:
    assert bounds.parse_json(json.dumps({"a": "[{" * 1000 + '\\"['})) == {"a": "[{" * 1000 + '\\"['}


def test_what_was_read_can_be_written() -> None:
    found = bounds.parse_json(rb'{"\ud800": ["\udfff", {"a": "\ud83d\ude00"}]}')
    assert json.dumps(found, ensure_ascii=False).encode()
    assert found["?"][1]["a"] == "😀"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"plain\tand\nlines", "plain\tand\nlines"),
        (b"\x1b[2J", "\ufffd[2J"),
        (b"\xff", "\ufffd"),
        ("a\u202eb\x00c\x9bd", "a\ufffdb\ufffdc\ufffdd"),
        ("\ud800", "\ufffd" * 3),
        ("ein Währungs-Zeichen €", "ein Währungs-Zeichen €"),
    ],
)
def test_text_becomes_clean(raw: str | bytes, found: str) -> None:
    assert bounds.clean(raw) == found
    assert bounds.clean(raw).encode()


def test_a_line_is_one_line_and_not_longer() -> None:
    assert bounds.fit_line("a\r\nb\n  c", 200) == "a b c"
    assert len(bounds.fit_line("x" * 10_000_000, 200)) == 200


def test_a_socket_is_shut_at_the_deadline_whoever_sends_meanwhile() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        began = time.monotonic()
        with cut_off.limit_time(0.3, ours) as cut:
            assert ours.recv(1) == b""
        assert cut.over
        assert 0.2 < time.monotonic() - began < 1.0
        with cut_off.limit_time(0.3) as cut:
            pass
        assert not cut.over
