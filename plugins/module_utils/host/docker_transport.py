# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the Docker engine and back: the SDK's requests, and a bound on whatever answers at that socket.

The SDK bounds one operation of a socket. Here the head and the body of an answer have a whole time, bytes and depth,
and all answers to one question a time and a weight together. Source: Engine API; RFC 9112.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any

from ..common import bounds, cut_off

#: An object of the engine's JSON; which keys it has, the Engine API says, and what they hold, nobody.
EngineObject = Mapping[str, Any]

_PART = 64 * 1024
#: Bytes of a frame's head in the engine's streams.
_FRAME = 8


class Asking(threading.local):
    """What one thread asks of the engine now: its request's cut, and what is left for the question it belongs to."""

    def __init__(self, seconds: float) -> None:
        """``seconds``: for one answer, where a question has no time of its own."""
        self.seconds = seconds
        self.cut: cut_off.Cut | None = None
        self._deadline: bounds.Deadline | None = None
        self._weight = 0

    @contextlib.contextmanager
    def bound_question(self, seconds: float) -> Iterator[bounds.Deadline]:
        """Give all requests inside ``seconds`` together."""
        before, self._weight = self._deadline, 0
        self._deadline = bounds.Deadline(seconds)
        try:
            yield self._deadline
        finally:
            self._deadline = before

    def limit(self, wanted: float | None) -> float:
        """Return the seconds that a request has which wants so many."""
        own = self.seconds if wanted is None else wanted
        return own if self._deadline is None else min(own, self._deadline.seconds_left)

    def weigh(self, data: bytes) -> None:
        """Add an answer to its question's weight. Raises TooMuch when they are more than any question needs."""
        if self._deadline is None:
            self._weight = 0
        self._weight += bounds.weigh_json(data)
        if self._weight > bounds.ENGINE_WEIGHT:
            raise bounds.TooMuch("its answer holds more than any project has")


def open_client(sdk: Any, base: str, asking: Asking) -> tuple[Any, dict[str, Any]]:
    """Return the SDK's client of the engine at ``base`` (unix://…), every answer of which is bounded, and its version.

    Raises the SDK's exceptions, OSError and ValueError.
    """
    first = _open(sdk, base, asking, sdk.constants.MINIMUM_DOCKER_API_VERSION)
    told = require_object(first.version(api_version=False), "its version")
    first.close()
    return _open(sdk, base, asking, str(told.get("ApiVersion"))[:16]), told


def _open(sdk: Any, base: str, asking: Asking, version: str) -> Any:
    api = sdk.APIClient(base_url=base, timeout=asking.seconds, version=version)
    # an engine does not pack its answers; whoever does so before it may send a thousand times what crosses the socket
    api.headers["Accept-Encoding"] = "identity"
    adapter = api.get_adapter(api.base_url)
    adapter.get_connection = _watched(adapter.get_connection, asking)
    api.send = _bounded(api.send, asking)
    return api


def _watched(plain: Any, asking: Asking) -> Any:
    """Return the adapter's way to a pool, whose connections the deadline of the request under way can shut down."""

    def get_connection(url: str, proxies: Any = None) -> Any:
        pool = plain(url, proxies)
        if "_new_conn" not in vars(pool):
            make = pool._new_conn

            def make_watched() -> Any:
                connection = make()
                connection.__class__ = cut_off.watch_connections(type(connection), asking)
                return connection

            pool._new_conn = make_watched
        return pool

    return get_connection


def _bounded(plain: Any, asking: Asking) -> Any:
    """Return the SDK's way to send a request, with the bounds of its answer; of one that streams, those of its head."""

    def send(request: Any, **options: Any) -> Any:
        within = asking.limit(options.get("timeout"))
        # nobody but the engine is asked, wherever it may point
        kept = {**options, "stream": True, "allow_redirects": False}
        if options.get("timeout"):
            kept["timeout"] = within + 1.0  # of one operation: later than the whole, which knows what it ends
        with cut_off.limit_time(within) as cut:
            asking.cut = cut
            try:
                answer = plain(request, **kept)
                if not options.get("stream") or answer.status_code >= 400:
                    _take_whole(answer, asking)
            except Exception as error:  # pylint: disable=broad-exception-caught  # of four libraries
                if cut.over:
                    raise OSError(f"it did not answer within {round(within, 1):g} s") from error
                if isinstance(error, (OSError, ValueError)):
                    raise
                raise OSError(f"its answer broke off ({type(error).__name__})") from error
        if cut.over:  # what was cut off may look like an answer that ended in order
            raise OSError(f"it did not answer within {round(within, 1):g} s")
        return answer

    return send


def _take_whole(answer: Any, asking: Asking) -> None:
    """Read an answer to its end, and let only what is JSON within bounds out of it."""
    try:
        coding = str(answer.headers.get("Content-Encoding") or "identity").strip().lower()
        if coding != "identity":
            raise ValueError(f"its answer is encoded as {coding[:40]}, which was not asked for")
        parts, got = [], 0
        for part in iter(lambda: answer.raw.read(_PART, decode_content=False), b""):
            got += len(part)
            if got > bounds.ENGINE_ANSWER:
                raise bounds.TooMuch(f"its answer is larger than {bounds.format_size(bounds.ENGINE_ANSWER)}")
            parts.append(part)
    except BaseException:
        answer.close()
        raise
    answer._content, answer._content_consumed = b"".join(parts), True
    answer.encoding = "utf-8"
    answer.raw.release_conn()

    def parse(**_options: Any) -> Any:
        asking.weigh(answer._content)
        return bounds.parse_json(answer._content, largest=bounds.ENGINE_ANSWER)

    answer.json = parse


def require_object(value: Any, what: str) -> dict[str, Any]:
    """Return a value that is a JSON object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    return value


def require_objects(value: Any, what: str) -> list[dict[str, Any]]:
    """Return a value that is a list of JSON objects. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return [require_object(one, f"an entry of {what}") for one in value]


class Output:
    """What a command or a log says: the engine's stream of frames, taken apart, within a time and a size.

    A frame is its stream (1 byte), three zeros, its length (4 bytes), its bytes; the output of a terminal has none.
    Source: Engine API, "Attach to a container", stream format.
    """

    def __init__(self, answer: Any, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds
        self.over = False
        self.too_much = ""

    def read(self, largest: int) -> bytes:
        """Return the output, or its first part where it was over or too much."""
        kept, raw = bytearray(), bytearray()
        body = self._answer.raw._fp
        with cut_off.limit_time(self._seconds, _socket_of(self._answer)) as cut:
            try:
                for part in iter(lambda: body.read1(_PART), b""):
                    raw += part
                    kept += _frames(raw)
                    if len(kept) > largest:
                        self.too_much = f"printed more than {bounds.format_size(largest)}"
                        break
            except (OSError, ValueError, HTTPException):
                if not cut.over:
                    raise
        self.over = cut.over
        return bytes(kept[:largest])


def _frames(raw: bytearray) -> bytes:
    """Take whole and begun frames off the front of ``raw`` and return what they carry; text that is none as it is."""
    found = bytearray()
    while len(raw) >= _FRAME:
        if raw[0] > 2 or any(raw[1:4]):
            found += raw
            raw.clear()
            break
        length = int.from_bytes(raw[4:8], "big")
        if len(raw) < _FRAME + length:
            if len(raw) < _PART:
                break
            # a long frame is passed on in pieces: its head is written anew for what is still to come
            found += raw[_FRAME:]
            left = length - (len(raw) - _FRAME)
            raw[:] = raw[:4] + left.to_bytes(4, "big")
            break
        found += raw[_FRAME : _FRAME + length]
        del raw[: _FRAME + length]
    return bytes(found)


def follow_lines(answer: Any, seconds: float) -> Iterator[bytes]:
    """Yield a stream's lines as they come, for ever: silence between two is in order, half a line is not.

    Raises OSError when a line that has begun takes longer than ``seconds``, TooMuch when it, or all of them together,
    is longer than any engine's events are.
    """
    body, begun = answer.raw._fp, bytearray()
    total, deadline = 0, bounds.Deadline(seconds)
    while True:
        # silence has no end that would be wrong: only half a line has a time
        within = deadline.seconds_left if begun else None
        part = _next_part(body, _socket_of(answer), within)
        if part is None:
            raise OSError(f"an event of its did not end within {seconds:g} s")
        if not part:
            return
        total += len(part)
        if total > bounds.ENGINE_EVENTS:
            raise bounds.TooMuch(f"its events are more than {bounds.format_size(bounds.ENGINE_EVENTS)}")
        fresh = not begun or b"\n" in part
        begun += part
        if b"\n" in part:
            *whole, begun = begun.split(b"\n")
            yield from (bytes(line) for line in whole if line.strip())
        if fresh:  # what the reader of the others took is not the engine's time
            deadline = bounds.Deadline(seconds)
        if len(begun) > bounds.ENGINE_EVENT:
            raise bounds.TooMuch(f"an event of its is larger than {bounds.format_size(bounds.ENGINE_EVENT)}")


def _next_part(body: Any, connection: Any, within: float | None) -> bytes | None:
    """Return the next bytes of a stream, b"" at its end, None when none came within so many seconds."""
    if within is None:
        return bytes(body.read1(_PART))
    with cut_off.limit_time(within, connection) as cut:
        try:
            part = bytes(body.read1(_PART))
        except (OSError, ValueError, HTTPException):
            if not cut.over:
                raise
    return None if cut.over else part


def _socket_of(answer: Any) -> Any:
    """Return the socket that an answer of the engine still comes through, None when it has come to its end."""
    raw = getattr(getattr(answer.raw, "_fp", None), "fp", None)
    return getattr(getattr(raw, "raw", None), "_sock", None)
