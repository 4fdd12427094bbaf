# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many requests under way at once in one thread: kept connections to one address, driven by epoll(7).

A thread per request costs a thousand threads under one lock when an exchange stops answering, and measures the lock.
Here a request on a kept connection is one send and one recv. As with :class:`http_client.Client`: no retry, and each
way to end has its word.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from ...common import bounds, clock
from ...common.errors import ChaosError
from ...common.peer_addresses import write_host
from ...host.http_answer import Answer
from ...host.http_client import OPEN, Access, Reply, kind_of, say_why, shorten, unpack

Token = TypeVar("Token")

_READ_BYTES = 64 * 1024
#: A kept connection that nothing was sent on for so long is closed (s): a surge leaves many that nobody needs.
IDLE_S = 15.0
#: A name is looked up again when connecting failed, not more often than this (s).
_LOOK_UP_S = 1.0
_IN_PROGRESS = (errno.EINPROGRESS, errno.EAGAIN)
_CONNECTING, _GREETING, _SENDING, _READING, _IDLE, _CLOSED = range(6)


class HostAddresses:
    """Where a host name leads: looked up once, and by a thread of its own again when nobody answers there."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._looked_up = 0.0
        self._busy = False
        self.found: list[tuple[int, Any]] = []
        self.failure: OSError | None = None
        self._look_up()
        #: An address needs no second look.
        self._fixed = [address[1][0] for address in self.found] == [host]

    def lost(self) -> None:
        """Nobody was reached: look the name up again, without waiting for it."""
        if self._fixed or self._busy or clock.read() - self._looked_up < _LOOK_UP_S:
            return
        self._busy = True
        threading.Thread(target=self._look_up, name="look-up", daemon=True).start()

    def prefer(self, index: int) -> None:
        """An address answered: it is tried first from now on."""
        if 0 < index < len(self.found):
            self.found = [self.found[index], *self.found[:index], *self.found[index + 1 :]]

    def _look_up(self) -> None:
        try:
            infos = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self.found = list(dict.fromkeys((info[0].value, info[4]) for info in infos))
        except (OSError, UnicodeError) as error:
            self.failure = error if isinstance(error, OSError) else OSError(str(error))
        self._looked_up = clock.read()
        self._busy = False


@dataclass(eq=False)
class _Task(Generic[Token]):
    """One request: its bytes, who asked, when it was sent, and whether it has ended."""

    token: Token
    data: bytes
    sent: float
    connection: _Connection | None = None
    ended: bool = False


@dataclass(eq=False)
class _Connection:
    """A socket and what it is at; ``address`` is the index of the one it connects to."""

    state: int = _IDLE
    sock: socket.socket | None = None
    address: int = 0
    task: _Task[Any] | None = None
    answer: Answer = field(default_factory=Answer)
    unsent: bytes = b""
    idle_since: float = 0.0

    @property
    def wire(self) -> socket.socket:
        """The socket. Raises ConnectionResetError when it was closed."""
        if self.sock is None:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        return self.sock

    @property
    def asked(self) -> _Task[Any]:
        """The request it is busy with. Raises LookupError while it has none, which no state but idle and closed has."""
        if self.task is None:
            raise LookupError("a connection without a request")
        return self.task


class Connections(Generic[Token]):
    """Requests to one base address, any number at once up to ``most``; nothing here waits but :meth:`poll`."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        most: int,
        largest: int = bounds.ORDER_BODY,
        access: Access = OPEN,
    ) -> None:
        """url: of the API; timeout: seconds for a request in all, connecting included; largest: bytes of a body.

        Raises ChaosError on an address that is none.
        """
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port:
            raise ChaosError(f"{url!r} is no address of an API; give one such as http://127.0.0.1:8080.")
        self._host = parts.hostname
        self._tls = access.trust() if parts.scheme == "https" else None
        self._timeout, self._most, self._largest = timeout, most, largest
        self._port = port
        self._where = f"{write_host(self._host)}:{port}"
        self._prefix = parts.path.rstrip("/")
        self._headers = "".join(
            f"{name}: {value}\r\n"
            for name, value in {
                "Host": parts.netloc.rpartition("@")[2],
                "Accept-Encoding": "identity",
                **access.write_headers(),
            }.items()
        )
        self._addresses = HostAddresses(self._host, port)
        self._epoll = select.epoll()
        self._known: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._deadlines: deque[tuple[float, _Task[Token]]] = deque()
        self._ended: list[tuple[Token, Reply]] = []
        self.under_way = 0

    def move(self, url: str) -> None:
        """Go on at another base address; what is under way ends where it was sent."""
        parts = urlsplit(url)
        host, port = parts.hostname or self._host, parts.port or self._port
        if (host, port) == (self._host, self._port):
            return
        self._host, self._port = host, port
        self._where = f"{write_host(host)}:{port}"
        self._addresses = HostAddresses(host, port)
        while self._idle:
            self._drop(self._idle.pop())

    def request(self, method: str, path: str, body: bytes | None, token: Token) -> bool:
        """Send a request; False when ``most`` are under way and nothing was done. Its end comes out of poll."""
        if self.under_way >= self._most:
            return False
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}{length}\r\n"
        task = _Task(token, head.encode() + (body or b""), clock.read())
        self.under_way += 1
        self._deadlines.append((task.sent + self._timeout, task))
        kept = self._take_idle()
        if kept is not None:
            self._send(kept, task)
        else:
            task.connection = _Connection(task=task)
            self._connect(task.connection, OSError("it has no address"))
        return True

    def fileno(self) -> int:
        """Return a descriptor that select(2) takes: it is readable when something came on one of the connections."""
        return self._epoll.fileno()

    @property
    def waiting_since(self) -> float | None:
        """When the oldest request under way was sent, None while none is."""
        while self._deadlines and self._deadlines[0][1].ended:
            self._deadlines.popleft()
        return self._deadlines[0][1].sent if self._deadlines else None

    def poll(self, seconds: float) -> list[tuple[Token, Reply]]:
        """Wait for at most so many seconds and return what ended: (token, how).

        Every answer is read and stamped before any is handed out, so that judging one does not make the next late.
        """
        if self.waiting_since is not None:
            seconds = min(seconds, self._deadlines[0][0] - clock.read())
        if not self._ended:
            # epoll_wait(2) counts in milliseconds, which is late for a dense surge; select(2) in microseconds.
            select.select([self._epoll], [], [], max(0.0, seconds))
        for descriptor, _events in self._epoll.poll(0):
            connection = self._known.get(descriptor)
            if connection is not None:
                self._advance(connection)
        self._expire(clock.read())
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Close every connection; what is under way is heard of no more."""
        for connection in list(self._known.values()):
            self._drop(connection)
        self._epoll.close()

    def _take_idle(self) -> _Connection | None:
        """The kept connection that was used last, unless its peer has closed it meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection.sock):
                return connection
            self._drop(connection)
        return None

    def _connect(self, connection: _Connection, failure: OSError) -> None:
        """Connect to the next address that lets one begin; without any, the request ends with the last failure."""
        for index in range(connection.address, len(self._addresses.found)):
            connection.address = index
            family, address = self._addresses.found[index]
            try:
                sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            except OSError as error:
                failure = error
                continue
            code = sock.connect_ex(address)
            if code and code not in _IN_PROGRESS:
                failure = OSError(code, os.strerror(code))
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock, connection.state = sock, _CONNECTING
            self._known[sock.fileno()] = connection
            self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
            return
        self._addresses.lost()
        if not self._addresses.found and self._addresses.failure is not None:
            failure = self._addresses.failure
        self._fail(connection, failure)

    def _advance(self, connection: _Connection) -> None:
        """Do what can be done now on a connection whose socket is ready."""
        try:
            if connection.state == _CONNECTING:
                self._connected(connection)
            if connection.state == _GREETING:
                self._greet(connection)
            if connection.state == _SENDING:
                self._flush(connection)
                self._watch(connection, select.EPOLLIN)
            if connection.state == _READING:
                self._read(connection)
            elif connection.state == _IDLE:
                # nobody asked: the peer closes it, or says why it will (408)
                self._idle.remove(connection)
                self._drop(connection)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError) as wanted:
            self._wait_for(connection, wanted)
        except (OSError, ValueError) as error:
            self._fail(connection, error)

    def _connected(self, connection: _Connection) -> None:
        sock = connection.wire
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._drop(connection)
            connection.address += 1
            # OSError makes the fitting subclass of the number, which kind_of tells apart
            self._connect(connection, OSError(code, os.strerror(code)))
            return
        self._addresses.prefer(connection.address)
        connection.address = 0
        if self._tls is not None:
            connection.sock = self._tls.wrap_socket(
                sock, server_hostname=self._host, do_handshake_on_connect=False
            )
            connection.state = _GREETING
            return
        self._watch(connection, select.EPOLLIN)
        self._send(connection, connection.asked)

    def _greet(self, connection: _Connection) -> None:
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        self._watch(connection, select.EPOLLIN)
        self._send(connection, connection.asked)

    def _send(self, connection: _Connection, task: _Task[Token]) -> None:
        connection.task, task.connection = task, connection
        connection.answer, connection.unsent = Answer(self._largest), task.data
        connection.state = _SENDING
        try:
            self._flush(connection)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError) as wanted:
            self._wait_for(connection, wanted)
        except OSError as error:
            self._fail(connection, error)

    def _flush(self, connection: _Connection) -> None:
        while connection.unsent:
            connection.unsent = connection.unsent[connection.wire.send(connection.unsent) :]
        if connection.state == _SENDING:
            connection.state = _READING

    def _read(self, connection: _Connection) -> None:
        while True:
            data = connection.wire.recv(_READ_BYTES)
            if connection.answer.feed(data) if data else connection.answer.close():
                self._succeed(connection)
                return
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")
            if len(data) < _READ_BYTES and self._tls is None:
                return  # all there was: the next word comes with the next event

    def _succeed(self, connection: _Connection) -> None:
        now, answer, task = clock.read(), connection.answer, connection.asked
        body = unpack(answer.body, answer.coding)
        self._end(task, Reply(task.sent, now, answer.status, body, "", ""))
        connection.task = None
        if answer.keeps and not connection.unsent:
            connection.state, connection.idle_since = _IDLE, now
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _fail(self, connection: _Connection, error: Exception) -> None:
        kind = kind_of(error)
        said = say_why(kind, self._where, self._timeout) or shorten(f"{self._where}: {error}")
        task = connection.task
        self._drop(connection)
        if task is not None:
            self._end(task, Reply(task.sent, clock.read(), 0, b"", kind, said))

    def _end(self, task: _Task[Token], reply: Reply) -> None:
        task.ended = True
        self.under_way -= 1
        self._ended.append((task.token, reply))

    def _expire(self, now: float) -> None:
        while self.waiting_since is not None and self._deadlines[0][0] <= now:
            task = self._deadlines.popleft()[1]
            if task.connection is not None:
                self._fail(task.connection, TimeoutError(errno.ETIMEDOUT, "timed out"))
        while self._idle and self._idle[0].idle_since < now - IDLE_S:
            self._drop(self._idle.pop(0))

    def _wait_for(self, connection: _Connection, wanted: OSError) -> None:
        """Wait until the socket can do what it could not: take more of a request, or give more of an answer."""
        writes = connection.state == _SENDING and not isinstance(wanted, ssl.SSLWantReadError)
        writes = writes or isinstance(wanted, ssl.SSLWantWriteError)
        self._watch(connection, select.EPOLLIN | (select.EPOLLOUT if writes else 0))

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.sock is not None:
            self._epoll.modify(connection.sock.fileno(), events)

    def _drop(self, connection: _Connection) -> None:
        sock, connection.sock, connection.state = connection.sock, None, _CLOSED
        if sock is None:
            return
        self._known.pop(sock.fileno(), None)
        with suppress(OSError):
            self._epoll.unregister(sock.fileno())
        sock.close()


def _is_open(sock: socket.socket | None) -> bool:
    """Whether a kept connection has neither been closed nor said anything since its last answer."""
    if sock is None:
        return False
    if isinstance(sock, ssl.SSLSocket):
        return True  # its records cannot be peeked into; poll() drops it at its next look
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
