# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a PostgreSQL, by the simple query protocol: one session, asked and closed, or one that is ours already.

:func:`run_query` asks in a transaction that may read only and ends, unless it is told to change something. Source:
PostgreSQL documentation, "Frontend/Backend Protocol", Simple Query, and its message formats.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
from dataclasses import dataclass, field

from ...common import bounds, clock
from ...common.errors import ChaosError
from ...common.peer_addresses import write_endpoint
from .wire import Login, Session, error_fields, frame_message

#: Bytes of a list of Python's and of a text, besides what they hold.
_ROW, _VALUE = 72, 60
#: The transaction's own bounds: it changes nothing, and the server ends a statement that takes longer (ms).
_STATEMENT_MS = 15000
_NO_POSTGRESQL = "what answers there does not speak PostgreSQL's protocol"
_BEGIN = f"BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = {_STATEMENT_MS}"


@dataclass
class _Answer:
    """What one query gave: rows of text, an empty one for a null, and the server's complaint if there was one."""

    rows: list[list[str]] = field(default_factory=list)
    error: str = ""
    columns: int | None = None
    weight: int = 0

    def hear(self, kind: bytes, body: bytes) -> None:
        """Take in one message. Raises ChaosError when it is none of PostgreSQL's, or too much."""
        if kind == b"T":
            self.columns = _count_columns(body)
        elif kind == b"D":
            row = _row(body)
            if self.columns is not None and len(row) != self.columns:
                raise ChaosError(f"a row has {len(row)} columns where {self.columns} were announced")
            self.weight += _ROW + _VALUE * len(row) + len(body)
            if self.weight > bounds.DATABASE_ROWS:
                raise ChaosError(
                    f"the answer's rows take more than {bounds.format_size(bounds.DATABASE_ROWS)}"
                )
            self.rows.append(row)
        elif kind == b"E":
            self.error = error_fields(body).get("M", "no reason given")


def run_query(
    login: Login, sql: str, *, within: float = 20.0, over: socket.socket | None = None, read_only: bool = True
) -> list[list[str]]:
    """Ask in a session of its own and return rows of text, as psql shows them: true is ``t``, a null is empty.

    ``over``: a connection that is there already, else one over TCP is made; it is closed either way. Raises
    SessionRefused when the server refuses the session, PasswordWanted when it asks for one that was not given,
    ChaosError when nobody answers, the query fails, or it takes longer than ``within`` seconds.
    """
    try:
        session = Session.open(login, over)
    except ssl.SSLError as error:
        raise ChaosError(
            f"{_where(login)} offers TLS and opens no session by it ({error.reason or error})"
        ) from error
    except OSError as error:
        raise ChaosError(f"nobody answers at {_where(login)} ({error.strerror or error})") from error
    try:
        until = clock.read() + within
        for query in (_BEGIN, sql) if read_only else (sql,):
            answer = _query(session.connection, query, until)
            if answer.error:
                raise ChaosError(answer.error)
        return answer.rows
    except OSError as error:
        raise ChaosError(f"{_where(login)} broke the session off ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            session.close()


def ask_session(session: Session, sql: str, *, within: float) -> list[list[str]]:
    """Ask in a session that is open already, and stays so; returns rows of text.

    Raises ChaosError with the server's complaint or when it takes longer than ``within`` seconds, OSError when the
    session ended.
    """
    answer = _query(session.connection, sql, clock.read() + within)
    if answer.error:
        raise ChaosError(answer.error)
    return answer.rows


def _where(login: Login) -> str:
    return write_endpoint(login.host, login.port)


def _query(connection: socket.socket, sql: str, until: float) -> _Answer:
    connection.settimeout(max(0.001, until - clock.read()))
    connection.sendall(frame_message(b"Q", sql.encode() + b"\0"))
    connection.setblocking(False)
    answer, data = _Answer(), bytearray()
    total = 0
    while True:
        kind, body = _message(data)
        while kind:
            if kind == b"Z":
                return answer
            answer.hear(kind, body)
            kind, body = _message(data)
        part = _receive(connection, until)
        total += len(part)
        if total > bounds.DATABASE_ANSWER:
            raise ChaosError(f"the answer is longer than {bounds.format_size(bounds.DATABASE_ANSWER)}")
        data += part


def _receive(connection: socket.socket, until: float) -> bytes:
    """Return the next bytes. Raises ChaosError when none come in time, OSError when the server has closed."""
    while True:
        if clock.read() >= until:  # however fast it comes
            raise ChaosError("the answer did not come in time")
        try:
            part = connection.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            if not select.select([connection], [], [], max(0.0, until - clock.read()))[0]:
                raise ChaosError("the answer did not come in time") from None
            continue
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part


def _message(data: bytearray) -> tuple[bytes, bytes]:
    """Take the next whole message off ``data`` and return (kind, body); (b"", b"") when there is none."""
    if len(data) < 5:
        return b"", b""
    size = struct.unpack_from("!I", data, 1)[0]
    if not 4 <= size <= bounds.DATABASE_MESSAGE:
        raise ChaosError(_NO_POSTGRESQL)
    if len(data) < size + 1:
        return b"", b""
    kind, body = bytes(data[:1]), bytes(data[5 : size + 1])
    del data[: size + 1]
    return kind, body


def _count_columns(body: bytes) -> int:
    """Return how many columns a RowDescription announces."""
    if len(body) < 2:
        raise ChaosError(_NO_POSTGRESQL)
    return int(struct.unpack_from("!H", body)[0])


def _row(body: bytes) -> list[str]:
    """Return the values of a DataRow: a count, then of each a length (-1 for a null) and its text."""
    count, at = _count_columns(body), 2
    values: list[str] = []
    for _value in range(count):
        if len(body) < at + 4:
            raise ChaosError("a row is shorter than it says")
        size = max(0, struct.unpack_from("!i", body, at)[0])
        at += 4
        if len(body) < at + size:
            raise ChaosError("a row is shorter than it says")
        values.append(bounds.clean(body[at : at + size]) if size else "")
        at += size
    return values
