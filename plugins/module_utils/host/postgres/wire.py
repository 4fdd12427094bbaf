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
import re
import socket
import ssl
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...common import bounds, clock, cut_off
from ...common.errors import ChaosError, PasswordWanted

#: SQLSTATE too_many_connections: of the server, of a database, or of a role.
TOO_MANY = "53300"
#: SQLSTATE invalid_authorization_specification: no line of pg_hba.conf lets in whoever comes this way.
_NOT_LET_IN = "28000"
_PROTOCOL_3, _SSL_REQUEST = 196608, 80877103
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_SCRAM = b"SCRAM-SHA-256"
#: How long a server's words, and how many bytes of it between two looks at a session, may be.
_WORDS, _TOLD = 300, 1 << 20
#: More fields than an error has (18, in PostgreSQL 17).
_FIELDS = 32
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_NO_POSTGRESQL = "What answers on the database's port does not speak PostgreSQL's protocol"


class NotPostgres(ChaosError):
    """Something answers there, and it speaks another protocol."""


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
    looked at. ``clear_password``: the owner lets a server that asks for it have the password as it is.
    """

    host: str
    port: int
    user: str
    database: str
    name: str
    password: str = ""
    timeout: float = 2.0
    encrypt: bool = False
    clear_password: bool = False


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
    found, at = [], 0
    while len(data) >= at + 5:
        size = struct.unpack_from("!I", data, at + 1)[0]
        if not 4 <= size <= bounds.DATABASE_MESSAGE:
            raise NotPostgres(f"{_NO_POSTGRESQL}.")
        if len(data) < at + size + 1:
            break
        found.append((data[at : at + 1], data[at + 5 : at + size + 1]))
        at += size + 1
    return found, data[at:]


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their one-letter codes (C: SQLSTATE, M: message), each on one line."""
    parts = (bounds.clean(part[: 4 * _WORDS]) for part in body.split(b"\0", _FIELDS)[:_FIELDS] if part)
    found = {part[0]: bounds.fit_line(part[1:], _WORDS) for part in parts}
    if not _SQLSTATE.fullmatch(found.get("C", "")):
        found["C"] = "?????"
    return found


class Scram:
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), the client's side."""

    def __init__(self, password: str, *, user: str = "", nonce: str = "") -> None:
        """``user`` is empty for PostgreSQL, which takes the one of the start-up message."""
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self._bare = f"n={user},r={self._nonce}"
        self._signature = b""
        #: Whether the server has shown that it knows the password, too.
        self.proven = False

    def first_message(self) -> bytes:
        """Return the client's first message."""
        return f"n,,{self._bare}".encode()

    def final_message(self, challenge: bytes) -> bytes:
        """Answer the server's first message, once.

        Raises ChaosError when it did not take up our nonce, or asks for more work than any server needs.
        """
        said = _attributes(challenge)
        if self._signature or not said.get("r", "").startswith(self._nonce):
            raise ChaosError("PostgreSQL's answer to the password's first message is not to ours.")
        salt, asked = _read_base64(said.get("s", "")), said.get("i", "")
        if not salt or not asked.isascii() or not asked.isdigit() or len(asked) > 10 or not int(asked):
            raise ChaosError("PostgreSQL's answer to the password's first message has no salt and rounds.")
        rounds = int(asked)
        if rounds > bounds.SCRAM_ROUNDS:
            raise ChaosError(
                f"PostgreSQL asks for {rounds} rounds of the password's hash; no more than {bounds.SCRAM_ROUNDS} are "
                "done: look at the role's scram_iterations."
            )
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        without = f"c=biws,r={said['r']}"
        both = f"{self._bare},".encode() + challenge + f",{without}".encode()
        key = _hmac(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(key, _hmac(hashlib.sha256(key).digest(), both)))
        self._signature = _hmac(_hmac(salted, b"Server Key"), both)
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, outcome: bytes) -> None:
        """Raise ChaosError unless the server has shown that it knows the password, too."""
        said = _read_base64(_attributes(outcome).get("v", ""))
        self.proven = bool(self._signature) and hmac.compare_digest(said, self._signature)
        if not self.proven:
            raise ChaosError("What answers on the database's port does not know the role's password.")


def _attributes(text: bytes) -> dict[str, str]:
    return {part[:1]: part[2:] for part in text.decode(errors="replace").split(",")}


def _read_base64(text: str) -> bytes:
    """Return what a text of base64 holds, nothing for what is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


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
    def open(cls, login: Login, over: socket.socket | None = None) -> Session:
        """Open a session and return it once the server is ready for queries; ``over`` a connection that is there.

        Where the server offers TLS and its pg_hba.conf lets nobody in by it, it is tried without, as libpq does.
        Raises SessionRefused when the server says no, PasswordWanted when it wants a password that was not given,
        OSError when the network or the server's end came in between, or it is not ready within the login's time.
        """
        try:
            return cls._open(login, over)
        except SessionRefused as refused:
            if not login.encrypt or over is not None or refused.sqlstate != _NOT_LET_IN:
                raise
            try:
                return cls._open(replace(login, encrypt=False), None)
            except PasswordWanted:
                raise
            except (ChaosError, OSError):
                raise refused from None

    @classmethod
    def _open(cls, login: Login, over: socket.socket | None) -> Session:
        deadline = bounds.Deadline(login.timeout)
        connection = over or socket.create_connection((login.host, login.port), login.timeout)
        with cut_off.limit_time(deadline.seconds_left, connection) as cut:
            try:
                if login.encrypt:
                    connection = _encrypt(connection, cut)
                _Opening(connection, login, deadline).finish()
            except BaseException as error:
                connection.close()
                if cut.over and isinstance(error, Exception):  # what was cut off may look like another end
                    raise socket.timeout("timed out") from error
                raise
        return cls(connection)

    @property
    def connection(self) -> socket.socket:
        """Return the connection, which does not block; for who asks something in the session."""
        return self._socket

    def is_lost(self) -> bool:
        """Return whether the server has ended it; what it merely tells (notices, settings) is read and dropped."""
        told = 0
        try:
            while True:
                data = self._socket.recv(65536)
                told += len(data)
                if (
                    not data or data[:1] == b"E" or told > _TOLD
                ):  # no server has so much to tell who asked nothing
                    return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Say goodbye and close."""
        with contextlib.suppress(OSError):
            self._socket.send(frame_message(b"X", b""))
        self._socket.close()


def _encrypt(connection: socket.socket, cut: cut_off.Cut) -> socket.socket:
    """Ask for TLS and return the connection in it, or as it was where the server has none; ``cut`` bounds it.

    Raises ChaosError when what answers is no PostgreSQL.
    """
    connection.sendall(struct.pack("!II", 8, _SSL_REQUEST))
    answer = connection.recv(1)
    if answer == b"N":
        return connection
    if answer != b"S":
        raise NotPostgres(f"{_NO_POSTGRESQL}.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    encrypted = context.wrap_socket(connection, do_handshake_on_connect=False)
    cut.watch(encrypted)
    try:
        encrypted.do_handshake()
    except BaseException:
        encrypted.close()
        raise
    return encrypted


class _Opening:
    """A session on its way: what the server asks is answered until it is ready."""

    def __init__(self, connection: socket.socket, login: Login, deadline: bounds.Deadline) -> None:
        self._socket, self._login, self._deadline = connection, login, deadline
        self._scram: Scram | None = None
        self._answered = False  # a password was asked for, and given: once is enough for any server
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
        data, told = b"", 0
        while not self._ready:
            if self._deadline.passed:  # however much it has to say
                raise socket.timeout("timed out")
            self._socket.settimeout(max(0.001, self._deadline.seconds_left))
            part = self._socket.recv(65536)
            told += len(part)
            if not part:
                raise ConnectionResetError("the server closed the connection before the session was open")
            if told > bounds.DATABASE_OPENING:
                raise NotPostgres(f"{_NO_POSTGRESQL}: it says more than any server before a session is open.")
            heard, data = split_messages(data + part)
            for kind, body in heard:
                self._hear(kind, body)

    def _hear(self, kind: bytes, body: bytes) -> None:
        if kind == b"E":
            told = error_fields(body)
            raise SessionRefused(told["C"], told.get("M", "no reason given"))
        if kind == b"R":
            if len(body) < 4:
                raise NotPostgres(f"{_NO_POSTGRESQL}.")
            answer = self._authenticate(struct.unpack_from("!I", body)[0], body[4:])
            if answer:
                self._socket.sendall(frame_message(b"p", answer))
        self._ready = self._ready or kind == b"Z"

    def _authenticate(self, wanted: int, data: bytes) -> bytes:
        if wanted == _OK:
            if self._scram and not self._scram.proven:
                raise ChaosError("What answers on the database's port does not know the role's password.")
            return b""
        if wanted == _SASL_FINAL and self._scram:
            self._scram.verify(data)
            return b""
        if not self._login.password:
            raise PasswordWanted(
                f"PostgreSQL asks for the password of role {self._login.user} at {self._login.host}; "
                "set chaos_database.password."
            )
        if wanted == _SASL_CONTINUE and self._scram:
            return self._scram.final_message(data)
        if self._answered:
            raise NotPostgres(f"{_NO_POSTGRESQL}: it asks for the password again.")
        self._answered = True
        return self._give_password(wanted, data)

    def _give_password(self, wanted: int, data: bytes) -> bytes:
        login = self._login
        if wanted == _CLEARTEXT and not login.clear_password:
            raise ChaosError(
                f"What answers at {login.host}:{login.port} asks for the password of role {login.user} in clear text, "
                "which would give it to whoever that is: let pg_hba.conf say scram-sha-256 there, or set "
                "chaos_database.clear_password."
            )
        if wanted == _CLEARTEXT:
            return login.password.encode() + b"\0"
        if wanted == _MD5:
            return answer_md5(login.user, login.password, data[:4])
        if wanted == _SASL and _SCRAM in data.split(b"\0"):
            self._scram = Scram(login.password)
            first = self._scram.first_message()
            return _SCRAM + b"\0" + struct.pack("!I", len(first)) + first
        raise ChaosError(
            f"PostgreSQL authenticates role {login.user} in a way that is not known here (request {wanted}); "
            "trust, password, md5 and scram-sha-256 are."
        )


def hear_first_byte(host: str, port: int, patience: float) -> dict[str, Any]:
    """Connect, ask whether TLS is spoken, and return {connected, answer, seconds}.

    ``answer`` is what came back within ``patience`` seconds: S or N of a server that lives, ``closed`` of one that hung
    up, empty for nothing. Where no connection came about, it says why.
    """
    began, connected, deadline = clock.read(), False, bounds.Deadline(patience)
    try:
        with socket.create_connection((host, port), patience) as connection:
            connected = True
            connection.settimeout(max(0.001, deadline.seconds_left))
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
