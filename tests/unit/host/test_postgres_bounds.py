# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that answers with malice, at each stage of a session: a sentence, in its own time, in little memory."""

from __future__ import annotations

import base64
import socket
import struct
import time
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import wire

from tests.unit.host.test_postgres_query import DONE, row
from tests.unit.host.test_postgres_wire import OK, READY, error, login, server
from tests.unit.hostile import Answer, ask_each, for_ever, serving

pytestmark = pytest.mark.slow

WITHIN_S = 0.8
PASSWORD = "s3cret"
SASL = wire.frame_message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
CLEAR = wire.frame_message(b"R", struct.pack("!I", 3))
MD5 = wire.frame_message(b"R", struct.pack("!I", 5) + b"salt")
SETTING = wire.frame_message(b"S", b"TimeZone\0UTC\0")
NOTICE = wire.frame_message(b"N", b"SNOTICE\0Mhear\0\0")
SALT = base64.b64encode(b"salt").decode()
COLUMN = b"price\0" + bytes(18)


def described(columns: int) -> bytes:
    return wire.frame_message(b"T", struct.pack("!H", columns) + COLUMN * columns)


def short_row(columns: int, length: int) -> bytes:
    return wire.frame_message(b"D", struct.pack("!Hi", columns, length) + b"x")


def starts(connection: socket.socket, tls: bytes = b"N") -> bytes:
    """Hear the question for TLS, answer it, and hear the start of the session."""
    connection.recv(8)
    connection.sendall(tls)
    return connection.recv(65536)


def opening(*parts: bytes, then: bytes = b"", pause: float = 0.05) -> Answer:
    """A server that is hostile before the session is open."""

    def answer(connection: socket.socket) -> None:
        starts(connection)
        connection.sendall(b"".join(parts))
        for_ever(connection, then, pause)

    return answer


def scram(challenge: str, *more: bytes, of_ours: bool = True) -> Answer:
    """A server that asks for SCRAM and goes on with a challenge of its own; {r} is the client's nonce and more."""

    def answer(connection: socket.socket) -> None:
        starts(connection)
        connection.sendall(SASL)
        nonce = connection.recv(65536).rpartition(b"r=")[2].decode() if of_ours else "theirs"
        said = challenge.format(r=f"{nonce}x", s=SALT).encode("utf-8", "surrogateescape")
        connection.sendall(wire.frame_message(b"R", struct.pack("!I", 11) + said) + b"".join(more))
        for_ever(connection, b"", 0.05)

    return answer


def rows(*parts: bytes, then: bytes = b"", pause: float = 0.0) -> Answer:
    """A server that is hostile once it is asked."""

    def answer(connection: socket.socket) -> None:
        starts(connection)
        connection.sendall(OK + READY)
        connection.recv(65536)
        connection.sendall(DONE + READY)
        connection.recv(65536)
        connection.sendall(b"".join(parts))
        for_ever(connection, then, pause or 0.05 * (not then))

    return answer


def tls_for_ever(piece: bytes, pause: float) -> Answer:
    def answer(connection: socket.socket) -> None:
        starts(connection, b"S")
        for_ever(connection, piece, pause)

    return answer


def silent_at_once(connection: socket.socket) -> None:
    for_ever(connection, b"", 0.05)


def silent_once_asked(connection: socket.socket) -> None:
    starts(connection)
    connection.sendall(OK + READY)
    for_ever(connection, b"", 0.05)


def ended(connection: socket.socket) -> None:
    starts(connection)


PROOF = wire.frame_message(b"R", struct.pack("!I", 12) + b"v=")
#: The server, and words of the sentence.
MALICE: dict[str, tuple[Answer, str]] = {
    "silence": (silent_at_once, "nobody answers"),
    "silence after the start": (opening(), "nobody answers"),
    "silence after a half message": (opening(SETTING[:7]), "nobody answers"),
    "silence in TLS": (tls_for_ever(b"", 0.05), "nobody answers"),
    "TLS, one byte each 0.3 s": (tls_for_ever(b"\x16", 0.3), "nobody answers"),
    "silence after SCRAM's first message": (opening(SASL), "nobody answers"),
    "silence after OK": (opening(OK), "nobody answers"),
    "silence after the question": (silent_once_asked, "did not come in time"),
    "silence after a half row": (rows(row("1")[:-1]), "did not come in time"),
    "it hangs up": (ended, "nobody answers"),
    "one byte each 0.3 s": (opening(wire.frame_message(b"S", b"x" * 100)[:5], then=b"x", pause=0.3), "nobody answers"),
    "settings for ever": (opening(OK, then=SETTING * 500, pause=0), "says more than any server"),
    "settings, one each 0.1 s": (opening(OK, then=SETTING, pause=0.1), "nobody answers"),
    "an error without end": (opening(b"E" + struct.pack("!I", 2**31 - 1), then=b"x" * 65536, pause=0),
                             "does not speak PostgreSQL's protocol"),
    "an error of a megabyte": (opening(error("28000", "x" * 1_000_000)), "xxx… (SQLSTATE 28000)"),
    "an error of a million fields": (opening(wire.frame_message(b"E", b"Mx\0" * 300_000)), "refused the session: x"),
    "an error with control characters": (opening(error("\x1b[2J", "a\x1b[2J\nb")),
                                         "refused the session: a\ufffd[2J b (SQLSTATE ?????)"),
    "a short request for a password": (opening(wire.frame_message(b"R", b"\0")), "does not speak"),
    "a length of nothing": (opening(b"R" + struct.pack("!I", 3)), "does not speak PostgreSQL's protocol"),
    "a password in clear": (opening(CLEAR), "asks for the password of role u in clear text"),
    "a password for ever": (opening(MD5 * 1000), "asks for the password again"),
    "MD5 and then in clear": (opening(MD5 + CLEAR), "asks for the password again"),
    "SCRAM and then in clear": (opening(SASL + CLEAR), "asks for the password again"),
    "two billion rounds": (scram("r={r},s={s},i=2000000000"), "asks for 2000000000 rounds"),
    "rounds of 400 digits": (scram("r={r},s={s},i=" + "9" * 400), "no salt and rounds"),
    "no rounds": (scram("r={r},s={s}"), "no salt and rounds"),
    "zero rounds": (scram("r={r},s={s},i=0"), "no salt and rounds"),
    "no salt": (scram("r={r},s=,i=4096"), "no salt and rounds"),
    "a salt that is none": (scram("r={r},s=%%%,i=4096"), "no salt and rounds"),
    "another's nonce": (scram("r={r},s={s},i=4096", of_ours=False), "is not to ours"),
    "no UTF-8": (scram("r={r},s={s},i=4096,x=\udcff", PROOF), "does not know the role's password"),
    "work without end": (scram("r={r},s={s},i=20000", *[wire.frame_message(b"R", struct.pack("!I", 11) + b"r=x")] * 9),
                         "is not to ours"),
    "no proof": (scram("r={r},s={s},i=4096", PROOF), "does not know the role's password"),
    "no proof, and open": (scram("r={r},s={s},i=4096", OK, READY), "does not know the role's password"),
    "a proof before the challenge": (opening(SASL + PROOF + OK + READY), "does not know the role's password"),
    "rows for ever": (rows(described(1), then=row("x" * 100_000)), "longer than 64 MiB"),
    "rows of many nulls": (rows(then=row(*[None] * 60_000)), "rows take more than 80 MiB"),
    "notices for ever": (rows(then=wire.frame_message(b"N", b"M" * 60_000)), "longer than 64 MiB"),
    "notices, one each 0.05 s": (rows(then=NOTICE, pause=0.05), "did not come in time"),
    "a row of a gigabyte": (rows(b"D" + struct.pack("!I", 1 << 30), then=b"x" * 65536), "does not speak"),
    "a short row": (rows(described(2), short_row(2, 1)), "shorter than it says"),
    "a value that is not there": (rows(short_row(1, 99)), "shorter than it says"),
    "a row without a count": (rows(wire.frame_message(b"D", b"")), "does not speak PostgreSQL's protocol"),
    "a description without a count": (rows(wire.frame_message(b"T", b"\0")), "does not speak PostgreSQL's protocol"),
    "fewer columns than announced": (rows(described(2), row("1")), "a row has 1 columns where 2 were announced"),
    "an error in the answer": (rows(error("42P01", "a\x1b\nb" + "x" * 10_000), READY), "a\ufffd bxxx"),
}  # fmt: skip


def within(name: str) -> float:
    """The time of the question: of those whose bytes are bounded, time enough for a busy machine to send them."""
    return 10.0 if MALICE[name][1].endswith("MiB") else WITHIN_S


@pytest.fixture(scope="module")
def malice() -> dict[str, dict[str, Any]]:
    """What came of each question, one after the other in one process."""
    body = f"""
def ask(address, within):
    port = int(address.rpartition(":")[2])
    login = wire.Login("127.0.0.1", port, "u", "d", "test", {PASSWORD!r}, {WITHIN_S}, encrypt=True)
    return str(query.run_query(login, "SELECT 1", within=float(within)))[:300]
"""
    with ExitStack() as stack:
        calls = {
            name: [stack.enter_context(serving(answer)), str(within(name))]
            for name, (answer, _words) in MALICE.items()
        }
        return ask_each(calls, module="host.postgres", imports="query, wire", body=body)


@pytest.mark.parametrize("name", MALICE)
def test_a_database_that_answers_with_malice_costs_a_sentence(
    malice: dict[str, dict[str, Any]], name: str
) -> None:
    found, words = malice[name], MALICE[name][1]
    assert words in found["answer"], found
    assert found["answer"].startswith(("ChaosError: ", "NotPostgres: ", "SessionRefused: ")), found
    assert "\n" not in found["answer"], found
    assert PASSWORD not in found["answer"], found
    assert found["seconds"] <= within(name) + 1.0, found
    assert found["mib"] <= 100, found


def test_a_password_in_clear_is_given_by_its_owners_word_alone() -> None:
    heard: list[bytes] = []

    def then(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(OK + READY)

    with server(CLEAR, then=then) as wanted:
        wire.Session.open(wire.Login(**{**vars(wanted), "password": "p", "clear_password": True})).close()
    assert heard == [wire.frame_message(b"p", b"p\0")]
    with (
        server(CLEAR) as wanted,
        pytest.raises(ChaosError, match=r"in clear text.*chaos_database\.clear_password"),
    ):
        wire.Session.open(wire.Login(**{**vars(wanted), "password": "p"}))


def test_an_open_session_that_is_told_without_end_is_given_up() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK + READY)
        for_ever(connection, NOTICE * 4000, most=10)

    with serving(answer) as address:
        session = wire.Session.open(login(int(address.rpartition(":")[2])))
        until = time.monotonic() + 5
        while not session.is_lost():
            assert time.monotonic() < until
        session.close()


@pytest.mark.full
def test_rows_of_nothing_cost_their_own_memory() -> None:
    """Seven bytes each as they cross the network, and ten times that in memory: it takes seconds to show."""
    with serving(rows(described(0), then=row() * 9000)) as address:
        body = """
def ask(address):
    login = wire.Login("127.0.0.1", int(address.rpartition(":")[2]), "u", "d", "test", encrypt=True)
    return query.run_query(login, "SELECT 1", within=30)
"""
        found = ask_each({"": [address]}, module="host.postgres", imports="query, wire", body=body)[""]
    assert "rows take more than 80 MiB" in found["answer"]
    assert found["mib"] <= 100, found
