# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP as a measuring instrument: one request, no retry, and every way it can end named by one word.

The only file that knows urllib3 (1.26 and 2.x; it comes with the Docker SDK).
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common import bounds, clock, cut_off
from ..common.errors import ChaosError, Unsupported
from ..common.secret import Secret
from . import libraries

libraries.make_importable()
try:
    import urllib3
    import urllib3.exceptions
except ImportError:
    urllib3 = None  # type: ignore[assignment]

try:
    import jmespath
    import jmespath.exceptions
except ImportError:
    jmespath = None  # type: ignore[assignment]

#: How an exchange of ours with a service can end. ``dropped`` is our own failure: the request was never sent.
KINDS = ("ok", "error", "timeout", "refused", "reset", "empty", "other", "dropped")
TEXT_MAX = 200
#: The status whose answer says which methods may be used; source: RFC 9110, 15.5.6.
_NOT_ALLOWED = 405
_TIMED_OUT = ("ConnectTimeoutError", "ReadTimeoutError")
_CUT_OFF = ("RemoteDisconnected", "IncompleteRead", "BadStatusLine")
#: How a body may be packed: what is asked for, and what some proxies send whatever one asks.
_CODINGS = ("identity", "gzip", "x-gzip", "deflate")
_PART = 64 * 1024
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "exchange-chaos"}


@dataclass(frozen=True)
class Reply:
    """What came back. ``kind`` is ``""`` for any answer, else the word for why there was none.

    sent, end: boottime seconds around the request, body included. status: 0 without an answer. allowed: the methods
    that an answer says may be used there.
    """

    sent: float
    end: float
    status: int
    body: bytes
    kind: str
    detail: str
    allowed: str = ""

    def json(self) -> Any:
        """Return the body as JSON, None when it is none, or nests deeper than any answer to us needs to."""
        try:
            return bounds.parse_json(self.body) if self.body else None
        except ValueError:
            return None

    def text(self) -> str:
        """Return the body as one line of text, cut to what a report shows."""
        return shorten(self.body[: TEXT_MAX * 16].decode(errors="replace"))


@dataclass(frozen=True)
class Access:
    """How an API lets us in: what stands at the head of every request, and the authority its certificate is of.

    headers: their values may be tokens. authority: certificates as PEM has them; empty: those this host trusts.
    """

    headers: Mapping[str, Secret] = field(default_factory=dict)
    authority: str = ""

    @classmethod
    def from_data(cls, kept: Mapping[str, Any]) -> Access:
        """Read ``headers`` and ``authority`` of what is kept apart. Raises ChaosError for what no request can have."""
        given = kept.get("headers") or {}
        if not isinstance(given, Mapping):
            raise ChaosError(
                "chaos_api_headers must be a dictionary: the name of each header, and its value."
            )
        for name, value in given.items():
            if not _HEADER.fullmatch(str(name)) or any(ord(one) < ord(" ") for one in str(value)):
                raise ChaosError(
                    f"chaos_api_headers has {shorten(str(name))!r}: a header has a name of letters, digits and -, "
                    "and a value on one line."
                )
        headers = {str(name): Secret(value) for name, value in given.items()}
        return cls(headers, str(kept.get("authority") or ""))

    def write_headers(self) -> dict[str, str]:
        """Return what stands at the head of every request."""
        return {**HEADERS, **{name: value.reveal() for name, value in self.headers.items()}}

    def trust(self) -> ssl.SSLContext:
        """Return by what a certificate is judged. Raises ChaosError where the authority is none."""
        try:
            return ssl.create_default_context(cadata=self.authority or None)
        except (ssl.SSLError, ValueError) as error:
            raise ChaosError(
                f"chaos_api_ca holds no certificate as PEM has it, -----BEGIN CERTIFICATE----- first ({error})."
            ) from None


#: Anybody is let in.
OPEN = Access()


class _Work(threading.local):
    """The request that this thread has under way."""

    cut: cut_off.Cut | None = None


class Client:
    """Requests to one base address over kept-alive connections; one Client may serve many threads."""

    def __init__(self, url: str, *, timeout: float, connections: int = 1, access: Access = OPEN) -> None:
        """Prepare; nothing is connected yet. Raises Unsupported without urllib3, ChaosError on a bad ``url``.

        timeout: seconds for the whole of it, from the connect to the answer's last byte. connections: most kept open.
        """
        if urllib3 is None:
            raise Unsupported(libraries.explain_missing("The Python library urllib3"))
        # More connections than the pool keeps are closed after use; urllib3 would warn of each on stderr.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        try:
            parsed = urllib3.util.parse_url(url)
        except urllib3.exceptions.LocationParseError:
            parsed = None
        if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
            raise ChaosError(f"{url!r} is no address of an API; give one such as http://127.0.0.1:8080.")
        self.url = url.rstrip("/")
        self._where = f"{parsed.host}:{parsed.port or (443 if parsed.scheme == 'https' else 80)}"
        self._prefix = (parsed.path or "").rstrip("/")
        self._timeout = timeout
        self._work = _Work()
        self._headers = access.write_headers()
        trusted = {"ssl_context": access.trust()} if parsed.scheme == "https" else {}
        self._pool = urllib3.connection_from_url(
            f"{parsed.scheme}://{parsed.netloc}", maxsize=connections, **trusted
        )
        self._pool.ConnectionCls = cut_off.watch_connections(self._pool.ConnectionCls, self._work)

    def request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request and return how it ended. Never raises for anything the service or network did."""
        sent = clock.read()
        with cut_off.limit_time(self._timeout) as cut:
            self._work.cut = cut
            try:
                status, data, allowed = self._exchange(method, path, body)
            except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
                kind = "timeout" if cut.over else kind_of(error)
                return Reply(sent, clock.read(), 0, b"", kind, self._describe(kind, error))
        if cut.over:  # what was cut off may look like an answer that ended in order
            return Reply(sent, clock.read(), 0, b"", "timeout", self._describe("timeout", socket.timeout()))
        return Reply(sent, clock.read(), status, data, "", "", allowed)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, str]:
        """Return status, body and the methods that are allowed there.

        The connection goes back to the pool only when its answer was read to the end.
        """
        response = self._pool.request(
            method,
            self._prefix + path,
            body=body,
            headers=self._headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(total=self._timeout),
            preload_content=False,
            decode_content=False,
        )
        try:
            data = _body(response)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        allowed = response.headers.get("Allow", "") if response.status == _NOT_ALLOWED else ""
        return int(response.status), data, shorten(allowed)

    def _describe(self, kind: str, error: BaseException) -> str:
        said = say_why(kind, self._where, self._timeout)
        return said or shorten(f"{self._where}: {_root(error) or type(error).__name__}")


def say_why(kind: str, where: str, timeout: float) -> str:
    """Return in words why ``where`` gave no answer, "" for a kind that says nothing by itself."""
    return {
        "timeout": f"no answer from {where} within {timeout:g} s",
        "refused": f"{where} refused the connection",
        "reset": f"{where} closed the connection without an answer",
    }.get(kind, "")


def _body(response: Any) -> bytes:
    """Return the body as it was meant. Raises bounds.TooMuch when it is larger than any answer to us, packed or not."""
    coding = str(response.headers.get("Content-Encoding") or "identity").strip().lower()
    require_coding(coding)
    parts, got = [], 0
    for part in iter(lambda: response.read(_PART, decode_content=False), b""):
        got += len(part)
        if got > bounds.HTTP_BODY:
            raise bounds.TooMuch(f"its answer is larger than {bounds.format_size(bounds.HTTP_BODY)}")
        parts.append(part)
    data = b"".join(parts)
    return unpack(data, coding)


def require_coding(coding: str) -> None:
    """Raise ValueError for a Content-Encoding that nobody asked for and nothing here can read."""
    if coding not in _CODINGS:
        raise ValueError(f"its answer is encoded as {coding}, which was not asked for")


def unpack(data: bytes, coding: str) -> bytes:
    """Return a body as it was meant. Raises ValueError, and bounds.TooMuch for more than any answer to us may hold."""
    require_coding(coding)
    return data if coding == "identity" else _unpacked(data)


def _unpacked(data: bytes) -> bytes:
    """Return what was compressed by gzip or deflate; a bomb is not unpacked further than the bound of a body."""
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = unpack.decompress(data, bounds.HTTP_BODY)
    except zlib.error as error:
        raise ValueError(f"its answer is damaged ({error})") from None
    if unpack.unconsumed_tail:
        raise bounds.TooMuch(f"its answer unpacks to more than {bounds.format_size(bounds.HTTP_BODY)}")
    return found


def kind_of(error: BaseException) -> str:
    """Return the word for an exception of urllib3 or of a socket: timeout, refused, reset or other."""
    seen: BaseException | None = error
    for _step in range(6):
        if seen is None:
            break
        name = type(seen).__name__
        number = getattr(seen, "errno", None)
        if isinstance(seen, socket.timeout) or name in _TIMED_OUT or number == errno.ETIMEDOUT:
            return "timeout"
        if isinstance(seen, ConnectionRefusedError):
            return "refused"
        if isinstance(seen, ConnectionError) or name in _CUT_OFF:
            return "reset"
        seen = _cause(seen)
    return "other"


def _cause(error: BaseException) -> BaseException | None:
    """urllib3 carries the socket's own exception as its cause, its context, or among its arguments."""
    inner = [item for item in error.args if isinstance(item, BaseException)]
    return (
        inner[0] if inner else error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    )


def _root(error: BaseException) -> str:
    while True:
        inner = _cause(error)
        if inner is None:
            return str(error)
        error = inner


def shorten(text: str) -> str:
    """Return ``text`` on one line, at most TEXT_MAX characters."""
    return bounds.fit_line(text, TEXT_MAX)


def compile_expression(text: Any, where: str) -> Callable[[Any], Any]:
    """Compile a JMESPath expression; without one the result is always True. A failing search is None.

    Raises ChaosError naming ``where`` when the expression is not JMESPath. Source: jmespath.org/specification.
    """
    if not text:
        return lambda _: True
    if not isinstance(text, str):
        raise ChaosError(f"{where} is {text!r}; it must be a JMESPath expression, which is a text.")
    if jmespath is None:
        raise Unsupported(libraries.explain_missing("The Python library jmespath"))
    try:
        compiled = jmespath.compile(text)
    except jmespath.exceptions.JMESPathError as error:
        raise ChaosError(f"{where} is not a JMESPath expression ({shorten(str(error))}): {text!r}.") from None

    def search(value: Any) -> Any:
        try:
            return compiled.search(value)
        except jmespath.exceptions.JMESPathError:
            return None

    return search


@dataclass(frozen=True)
class Expectation:
    """What makes an answer good: one of some statuses, and an expression on the body that is true."""

    statuses: tuple[int, ...]
    holds: Callable[[Any], Any]
    reads_body: bool

    @classmethod
    def parse(cls, wanted: Mapping[str, Any], where: str) -> Expectation:
        """Build from ``{"status": 200 | [200, 204], "expression": "…"}``; the default status is 200."""
        status = wanted.get("status", 200)
        statuses = tuple(int(code) for code in (status if isinstance(status, (list, tuple)) else [status]))
        text = wanted.get("expression")
        return cls(statuses, compile_expression(text, f"{where}.expression"), bool(text))

    def judge(self, reply: Reply, body: Any) -> str:
        """Return ``ok``, ``error`` or ``empty`` for an answer, its transport's word for none."""
        if reply.kind:
            return reply.kind
        good = reply.status in self.statuses
        if good and (not self.reads_body or self.holds(body) is True):
            return "ok"
        return "error" if reply.body.strip() else "empty"
