# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a PostgreSQL session on the wire; what is asked in one is :mod:`.postgres_query`'s.

Source: PostgreSQL documentation, "Frontend/Backend Protocol" (message formats, SSL session encryption, SASL
authentication, error fields) and appendix A (SQLSTATE).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...common import clock
from ...common.errors import ChaosError

#: SQLSTATE too_many_connections: of the server, of a database, or of a role.
TOO_MANY = "53300"
_PROTOCOL_3, _SSL_REQUEST = 196608, 80877103
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_SCRAM = b"SCRAM-SHA-256"
_MESSAGE_MAX = 1 << 20


class SessionRefused(ChaosError):
    """The server answered, and opened no session: ``sqlstate`` says why."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"PostgreSQL refused the session: {message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate
        self.message = message


@dataclass(frozen=True)
class Login:
    """Where and as whom to open a session. ``name`` is shown as application_name in pg_stat_activity.

    ``encrypt``: by TLS where the server offers it, as libpq's sslmode=prefer does; whose certificate it is, is not
    looked at.
    """

    host: str
    port: int
    user: str
    database: str
    name: str
    password: str = ""
    timeout: float = 2.0
    encrypt: bool = False


def startup_message(parameters: Mapping[str, str]) -> bytes:
    """Return a StartupMessage of protocol 3.0."""
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, _PROTOCOL_3) + body


def frame_message(kind: bytes, body: bytes) -> bytes:
    """Return a message of a kind (one byte); its length counts itself and the body."""
    return kind + struct.pack("!I", len(body) + 4) + body


def split_messages(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the whole messages in ``data`` as (kind, body), and what is left of one that is not complete.

    Raises ChaosError when no PostgreSQL speaks there: a length that no start of a session has.
    """
    found = []
    while len(data) >= 5:
        size = struct.unpack_from("!I", data, 1)[0]
        if not 4 <= size <= _MESSAGE_MAX:
            raise ChaosError("What answers on the database's port does not speak PostgreSQL's protocol.")
        if len(data) < size + 1:
            break
        found.append((data[:1], data[5 : size + 1]))
        data = data[size + 1 :]
    return found, data


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their one-letter codes (C: SQLSTATE, M: message)."""
    parts = [part.decode(errors="replace") for part in body.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


class Scram:
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), the client's side."""

    def __init__(self, password: str, *, user: str = "", nonce: str = "") -> None:
        """``user`` is empty for PostgreSQL, which takes the one of the start-up message."""
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self._bare = f"n={user},r={self._nonce}"
        self._signature = b""

    def first_message(self) -> bytes:
        """Return the client's first message."""
        return f"n,,{self._bare}".encode()

    def final_message(self, challenge: bytes) -> bytes:
        """Answer the server's first message. Raises ChaosError when it did not take up our nonce."""
        said = _attributes(challenge)
        if not said.get("r", "").startswith(self._nonce):
            raise ChaosError("PostgreSQL's answer to the password's first message is not to ours.")
        salt, rounds = base64.b64decode(said["s"]), int(said["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        without = f"c=biws,r={said['r']}"
        both = f"{self._bare},{challenge.decode()},{without}".encode()
        key = _hmac(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(key, _hmac(hashlib.sha256(key).digest(), both)))
        self._signature = _hmac(_hmac(salted, b"Server Key"), both)
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, outcome: bytes) -> None:
        """Raise ChaosError unless the server has shown that it knows the password, too."""
        said = base64.b64decode(_attributes(outcome).get("v", ""))
        if not hmac.compare_digest(said, self._signature):
            raise ChaosError("What answers on the database's port does not know the role's password.")


def _attributes(text: bytes) -> dict[str, str]:
    return {part[:1]: part[2:] for part in text.decode(errors="replace").split(",")}


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def answer_md5(user: str, password: str, salt: bytes) -> bytes:
    """Return the answer to an AuthenticationMD5Password request."""
    inner = hashlib.md5(f"{password}{user}".encode()).hexdigest().encode()
    return b"md5" + hashlib.md5(inner + salt).hexdigest().encode() + b"\0"


class Session:
    """One open session. Closing it, or the end of this process, frees its slot in the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)

    @classmethod
    def open(cls, login: Login) -> Session:
        """Open a session and return it once the server is ready for queries.

        Raises Refused when the server says no, ChaosError when it wants a password that was not given, OSError when
        the network or the server's end came in between.
        """
        connection = socket.create_connection((login.host, login.port), login.timeout)
        try:
            if login.encrypt:
                connection = _encrypted(connection)
            _Opening(connection, login).finish()
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    @property
    def connection(self) -> socket.socket:
        """Return the connection, which does not block; for who asks something in the session."""
        return self._socket

    def is_lost(self) -> bool:
        """Return whether the server has ended it; what it merely tells (notices, settings) is read and dropped."""
        try:
            while True:
                data = self._socket.recv(65536)
                if not data or data[:1] == b"E":
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Say goodbye and close."""
        with contextlib.suppress(OSError):
            self._socket.send(frame_message(b"X", b""))
        self._socket.close()


def _encrypted(connection: socket.socket) -> socket.socket:
    """Ask for TLS and return the connection in it, or as it was where the server has none.

    Raises ChaosError when what answers is no PostgreSQL.
    """
    connection.sendall(struct.pack("!II", 8, _SSL_REQUEST))
    answer = connection.recv(1)
    if answer == b"N":
        return connection
    if answer != b"S":
        raise ChaosError("What answers on the database's port does not speak PostgreSQL's protocol.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


class _Opening:
    """A session on its way: what the server asks is answered until it is ready."""

    def __init__(self, connection: socket.socket, login: Login) -> None:
        self._socket, self._login = connection, login
        self._until = clock.read() + login.timeout
        self._scram: Scram | None = None
        self._ready = False

    def finish(self) -> None:
        self._socket.sendall(
            startup_message(
                {
                    "user": self._login.user,
                    "database": self._login.database,
                    "application_name": self._login.name,
                }
            )
        )
        data = b""
        while not self._ready:
            self._socket.settimeout(max(0.001, self._until - clock.read()))
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionResetError("the server closed the connection before the session was open")
            heard, data = split_messages(data + part)
            for kind, body in heard:
                self._hear(kind, body)

    def _hear(self, kind: bytes, body: bytes) -> None:
        if kind == b"E":
            told = error_fields(body)
            raise SessionRefused(told.get("C", "?????"), told.get("M", "no reason given"))
        if kind == b"R":
            answer = self._authenticate(struct.unpack_from("!I", body)[0], body[4:])
            if answer:
                self._socket.sendall(frame_message(b"p", answer))
        self._ready = self._ready or kind == b"Z"

    def _authenticate(self, wanted: int, data: bytes) -> bytes:
        if wanted == _OK:
            return b""
        if wanted == _SASL_FINAL and self._scram:
            self._scram.verify(data)
            return b""
        if not self._login.password:
            raise ChaosError(
                f"PostgreSQL asks for the password of role {self._login.user} at {self._login.host}; "
                "set chaos_database.password."
            )
        if wanted == _CLEARTEXT:
            return self._login.password.encode() + b"\0"
        if wanted == _MD5:
            return answer_md5(self._login.user, self._login.password, data[:4])
        if wanted == _SASL and _SCRAM in data.split(b"\0"):
            self._scram = Scram(self._login.password)
            first = self._scram.first_message()
            return _SCRAM + b"\0" + struct.pack("!I", len(first)) + first
        if wanted == _SASL_CONTINUE and self._scram:
            return self._scram.final_message(data)
        raise ChaosError(
            f"PostgreSQL authenticates role {self._login.user} in a way that is not known here (request {wanted}); "
            "trust, password, md5 and scram-sha-256 are."
        )


def hear_first_byte(host: str, port: int, patience: float) -> dict[str, Any]:
    """Connect, ask whether TLS is spoken, and return {connected, answer, seconds}.

    ``answer`` is what came back within ``patience`` seconds: S or N of a server that lives, ``closed`` of one that hung
    up, empty for nothing. Where no connection came about, it says why.
    """
    began, connected = clock.read(), False
    try:
        with socket.create_connection((host, port), patience) as connection:
            connected = True
            connection.sendall(struct.pack("!II", 8, _SSL_REQUEST))
            answer = connection.recv(1).decode("latin-1") or "closed"
    except socket.timeout:
        answer = ""
    except OSError as error:
        answer = error.strerror or str(error)
    return {"connected": connected, "answer": answer, "seconds": round(clock.read() - began, 3)}


def attempt_login(login: Mapping[str, Any]) -> dict[str, str]:
    """Open one session, close it at once, and return {sqlstate, message}, both empty when it was opened.

    Raises ChaosError when nobody answers there.
    """
    wanted = Login(**login)
    try:
        Session.open(wanted).close()
    except SessionRefused as refused:
        return {"sqlstate": refused.sqlstate, "message": refused.message}
    except OSError as error:
        raise ChaosError(
            f"Nothing answers at {wanted.host}:{wanted.port} inside the database's container "
            f"({error.strerror or error}); chaos_ports.database must be the port it listens on there."
        ) from error
    return {"sqlstate": "", "message": ""}
