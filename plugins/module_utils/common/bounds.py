# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of everything that is read from outside, in one place: how many bytes, how long, how deep, which letters.

An API, a container, the engine, a database, a host and a shared folder may each answer with anything, for ever, one
byte at a time. Whoever reads from one of them takes its bound from here, and its text through :func:`clean`.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

KIB, MIB = 1024, 1024 * 1024

#: An answer of the exchange's API (or of any gauge that is read by HTTP): body after and before decompression.
HTTP_BODY = 1 * MIB
#: The answer to an order of ours, read by the one thread that sends them all.
ORDER_BODY = 256 * KIB
#: All header lines of such an answer together.
HTTP_HEADERS = 64 * KIB
#: What a command inside a container may print, and the last lines of a container's log.
EXEC_OUTPUT = 4 * MIB
LOG_OUTPUT = 8 * MIB
#: One answer of the Docker engine, one of its events, and all events of a run.
ENGINE_ANSWER = 8 * MIB
ENGINE_EVENT = 1 * MIB
ENGINE_EVENTS = 64 * MIB
#: What all answers to one question to the engine may take in memory, about (see :func:`weigh_json`).
ENGINE_WEIGHT = 48 * MIB
#: What a database says before a session is open, one message of its afterwards, all of one answer as it crosses the
#: network, and about what its rows take in memory.
DATABASE_OPENING = 1 * MIB
DATABASE_MESSAGE = 1 * MIB
DATABASE_ANSWER = 64 * MIB
DATABASE_ROWS = 80 * MIB
#: Rounds of a password's hash that a database may ask for; PostgreSQL's own is 4096, and these take half a second.
SCRAM_ROUNDS = 200_000
#: What a child or another process of ours hands back through a pipe.
PIPE_ANSWER = 4 * MIB
#: A document of ours on a host: specification, record, snapshot, registration of a process.
DOCUMENT = 16 * MIB
#: The host runtime, compiled.
RUNTIME = 16 * MIB
#: The raw samples of one run on one host, as they lie on its disk and as they come home.
SAMPLES = 1024 * MIB
BUNDLE = 64 * MIB
#: One line of raw samples; one that is longer is damaged.
LINE = 1 * MIB
#: How deep JSON from outside may nest, and how many digits a number of it may have.
JSON_DEPTH = 64
JSON_DIGITS = 32
#: The highest TCP port (RFC 9293, 3.1: 16 bits); 0 is none to connect to.
PORT_MAX = 65535
#: Seconds a command inside a container may take when nobody says otherwise.
EXEC_S = 20.0

_STRING = re.compile(rb'"[^"]*"?')
#: Bytes of an empty object or list of Python's, and of the place that holds it.
_VALUE = 72
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: C0 but tab and line feed, DEL, C1, what turns the direction of writing, line separators, byte order marks.
_UNCLEAN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
REPLACEMENT = "\ufffd"


class TooMuch(ValueError):
    """An answer went over one of its bounds; the message says which."""


class Deadline:
    """The whole time a piece of work may take, s, counted on the monotonic clock from when this is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Return the seconds that are left, never below 0."""
        return max(0.0, self._until - time.monotonic())

    @property
    def passed(self) -> bool:
        """Return whether the time is over."""
        return self.seconds_left <= 0.0


def clean(text: str | bytes, longest: int = 0) -> str:
    """Return text that is valid UTF-8 and free of control characters, but for tabs and line feeds.

    What is neither becomes U+FFFD. ``longest``: cut to so many characters, 0 for all.
    """
    found = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if not found.isascii():
        found = found.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    found = _UNCLEAN.sub(REPLACEMENT, found.replace("\r\n", "\n"))
    return found if not longest or len(found) <= longest else f"{found[: longest - 1]}…"


def fit_line(text: str | bytes, longest: int) -> str:
    """Return text on one line, clean, at most ``longest`` characters."""
    raw = text[: longest * 8]  # a megabyte of blanks is not worth splitting
    return clean(" ".join(clean(raw).split()), longest)


def parse_json(data: str | bytes, *, largest: int = HTTP_BODY, deepest: int = JSON_DEPTH) -> Any:
    """Return the JSON in ``data``, with every string valid UTF-8.

    Raises TooMuch (a ValueError) when it is larger, deeper or has longer numbers than allowed, ValueError when it is
    no JSON. Infinite numbers and such as are none are no JSON.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > largest:
        raise TooMuch(f"it is larger than {format_size(largest)}")
    _require_shallow(raw, deepest)
    try:
        found = json.loads(
            raw.decode("utf-8", "replace"), parse_int=_integer, parse_float=_real, parse_constant=_constant
        )
    except RecursionError:  # pragma: no cover - depth was looked at, and this is a belt beside the braces
        raise TooMuch("it nests too deeply") from None
    return _valid(found) if _SURROGATE.search(raw) else found


def _require_shallow(raw: bytes, deepest: int) -> None:
    """Look at the nesting before anything recursive does. Raises TooMuch."""
    if raw.count(b"[") + raw.count(b"{") <= deepest:
        return
    depth = 0
    # Without what is escaped, a string ends at the next quote: no pattern has to remember each of its letters.
    bare = _STRING.sub(b"", raw.replace(b"\\\\", b"").replace(b'\\"', b""))
    for bracket in re.finditer(rb"[\[\]{}]", bare):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > deepest:
            raise TooMuch(f"it nests more than {deepest} levels deep")


def weigh_json(raw: bytes) -> int:
    """Return about how many bytes JSON takes in memory once it is parsed: a value of two letters takes seventy."""
    return len(raw) + _VALUE * (raw.count(b",") + raw.count(b"[") + raw.count(b"{"))


def _integer(text: str) -> int:
    if len(text) > JSON_DIGITS:
        raise TooMuch(f"a number in it has more than {JSON_DIGITS} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise TooMuch("a number in it is too large")
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _valid(value: Any) -> Any:
    """Return a value whose strings hold no lone surrogate, which no file and no result could take."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_valid(one) for one in value]
    if isinstance(value, dict):
        return {_valid(key): _valid(one) for key, one in value.items()}
    return value


def format_size(count: int) -> str:
    """Return a number of bytes for people, such as ``4 MiB``."""
    return (
        f"{count // MIB} MiB" if count >= MIB else f"{count // KIB} KiB" if count >= KIB else f"{count} bytes"
    )
