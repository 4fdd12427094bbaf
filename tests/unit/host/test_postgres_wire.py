# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a PostgreSQL session: messages byte by byte, passwords by their RFCs, refusals in words."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import wire as wire

OK = wire.frame_message(b"R", struct.pack("!I", 0))
READY = wire.frame_message(b"Z", b"I")


def error(sqlstate: str, text: str) -> bytes:
    return wire.frame_message(b"E", f"SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0".encode())


def test_the_startup_message_counts_itself_and_ends_with_a_zero() -> None:
    data = wire.startup_message({"user": "u", "database": "d"})
    assert data == b"\0\0\0\x1b\0\x03\0\0user\0u\0database\0d\0\0"
    assert struct.unpack_from("!I", data)[0] == len(data)


def test_messages_are_split_wherever_the_network_cut_them() -> None:
    whole = OK + wire.frame_message(b"S", b"a\0b\0") + READY
    for cut in range(len(whole)):
        first, rest = wire.split_messages(whole[:cut])
        second, left = wire.split_messages(rest + whole[cut:])
        assert [kind for kind, _ in first + second] == [b"R", b"S", b"Z"]
        assert left == b""


def test_what_speaks_another_protocol_is_told_apart() -> None:
    with pytest.raises(ChaosError, match="does not speak PostgreSQL"):
        wire.split_messages(b"HTTP/1.1 400 Bad Request\r\n")


def test_error_fields() -> None:
    ((_, body),) = wire.split_messages(error("53300", "sorry, too many clients already"))[0]
    assert wire.error_fields(body) == {
        "S": "FATAL", "V": "FATAL", "C": "53300", "M": "sorry, too many clients already",
    }  # fmt: skip


def test_scram_is_that_of_rfc_7677() -> None:
    """The example of RFC 7677, section 3."""
    scram = wire.Scram("pencil", user="user", nonce="rOprNGfwEbeRWgbNEkqO")
    assert scram.first_message() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert scram.final_message(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()) == (
        f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    )
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ChaosError, match="does not know"):
        scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=")


def test_a_challenge_for_another_nonce_is_refused() -> None:
    with pytest.raises(ChaosError, match="not to ours"):
        wire.Scram("p", nonce="mine").final_message(b"r=theirs,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")


def test_md5_is_that_of_the_documentation() -> None:
    # concat('md5', md5(concat(md5(concat(password, username)), salt))), computed by md5sum
    assert (
        wire.answer_md5("md5_user", "password", b"*\x3d\x8f\xe0") == b"md562af4dd09bbb41884907a838a3233294\0"
    )


@contextmanager
def server(*answers: bytes, then: Callable[[socket.socket], None] = lambda s: None) -> Iterator[wire.Login]:
    """A server that sends one answer after each message it gets, on a real socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)
                then(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield login(listening.getsockname()[1])
        thread.join(5)


def login(port: int, password: str = "", timeout: float = 2.0) -> wire.Login:
    return wire.Login("127.0.0.1", port, "u", "d", "exchange.chaos test", password, timeout)


def test_a_session_is_open_once_the_server_is_ready_and_lost_once_it_ends_it() -> None:
    ended, noticed = threading.Event(), threading.Event()

    def then(connection: socket.socket) -> None:
        connection.sendall(wire.frame_message(b"S", b"TimeZone\0UTC\0"))
        noticed.set()
        ended.wait(5)

    with server(OK + READY, then=then) as wanted:
        session = wire.Session.open(wanted)
        assert noticed.wait(5)
        assert session.is_lost() is False, "a setting that is told is no end"
        ended.set()
        for _ in range(500):
            if session.is_lost():
                break
            threading.Event().wait(0.01)
        assert session.is_lost() is True
        session.close()


def test_who_is_not_let_in_by_tls_comes_without_as_libpq_does() -> None:
    """The server offers it and has ``hostnossl`` lines alone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked = []

        def serve() -> None:
            for answers in ([b"N", error("28000", "no pg_hba.conf entry")], [OK + READY]):
                connection, _ = listening.accept()
                with connection:
                    for answer in answers:
                        asked.append(connection.recv(65536)[4:8])
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        known = vars(login(listening.getsockname()[1]))
        wire.Session.open(wire.Login(**{**known, "encrypt": True})).close()
    encryption, protocol = struct.pack("!I", 80877103), struct.pack("!I", 196608)
    assert asked == [encryption, protocol, protocol]


def test_a_session_in_tls_is_not_lost_for_saying_nothing(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.pem"], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            connection.recv(8)
            connection.sendall(b"S")
            with context.wrap_socket(connection, server_side=True) as encrypted:
                encrypted.recv(65536)
                encrypted.sendall(OK + READY)
                ended.wait(5)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        known = vars(login(listening.getsockname()[1]))
        session = wire.Session.open(wire.Login(**{**known, "encrypt": True}))
        assert session.is_lost() is False
        ended.set()
        thread.join(5)
        assert session.is_lost() is True
        session.close()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([error("53300", "sorry, too many clients already")], r"too many clients already \(SQLSTATE 53300\)"),
        ([error("3D000", 'database "d" does not exist')], r"does not exist \(SQLSTATE 3D000\)"),
        (
            [wire.frame_message(b"R", struct.pack("!I", 3))],
            "asks for the password of role u .* chaos_database.password",
        ),
        ([wire.frame_message(b"R", struct.pack("!I", 9))], "asks for the password"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence(answers: Sequence[bytes], words: str) -> None:
    with server(*answers) as wanted, pytest.raises(ChaosError, match=words) as raised:
        wire.Session.open(wanted)
    assert "\n" not in str(raised.value)


def test_a_way_to_authenticate_that_is_not_known_is_named() -> None:
    with server(wire.frame_message(b"R", struct.pack("!I", 9))) as wanted:
        known = wire.Login(**{**vars(wanted), "password": "p"})
        with pytest.raises(ChaosError, match=r"not known here \(request 9\)"):
            wire.Session.open(known)


def test_a_server_that_says_nothing_is_not_waited_for_longer_than_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(socket.timeout):
        wire.Session.open(login(listening.getsockname()[1], timeout=0.2))


def test_an_attempt_tells_a_refusal_from_nobody_there() -> None:
    with server(error("53300", "full")) as wanted:
        assert wire.attempt_login(vars(wanted)) == {"sqlstate": "53300", "message": "full"}
    with server(OK + READY) as wanted:
        assert wire.attempt_login(vars(wanted)) == {"sqlstate": "", "message": ""}
    with pytest.raises(ChaosError, match=r"Nothing answers at 127\.0\.0\.1.*chaos_ports\.database"):
        wire.attempt_login(vars(wanted))
