# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question to a PostgreSQL over TCP: rows as psql has them, refusals in words, and TLS where the server offers it."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import database
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import query
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import wire as wire

from tests.unit.host.test_postgres_wire import OK, READY, error

DONE = wire.frame_message(b"C", b"SELECT 1\0")


def row(*values: str | None) -> bytes:
    parts = [
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
        for value in values
    ]
    return wire.frame_message(b"D", struct.pack("!H", len(values)) + b"".join(parts))


class Server:
    """A server on a real socket that answers each query in turn and keeps what it was asked."""

    def __init__(self, answers: list[bytes], context: ssl.SSLContext | None = None) -> None:
        self._answers, self._context = answers, context
        self.asked: list[bytes] = []
        self.encrypted = False
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        if connection.recv(8) != struct.pack("!II", 8, 80877103):
            raise AssertionError("TLS was not asked for first")
        connection.sendall(b"S" if self._context else b"N")
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
            self.encrypted = True
        with connection:
            connection.recv(65536)
            connection.sendall(OK + READY)
            for answer in self._answers:
                self.asked.append(connection.recv(65536))
                for at in range(0, len(answer), 7):  # as an unkind network would cut it
                    connection.sendall(answer[at : at + 7])
            self.asked.append(connection.recv(65536))


@contextmanager
def server(*answers: bytes, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    made = Server(list(answers), context)
    try:
        yield made
    finally:
        made.thread.join(5)
        made.listening.close()


def login(port: int) -> wire.Login:
    return wire.Login("127.0.0.1", port, "u", "d", "test", encrypt=True)


def test_rows_come_as_text_and_the_question_may_only_read() -> None:
    answer = row("100.00000001", "t") + row("ä|\n", None) + DONE + READY
    with server(DONE + DONE + READY, answer) as there:
        assert query.run_query(login(there.port), "SELECT 1") == [["100.00000001", "t"], ["ä|\n", ""]]
    begin, question, goodbye = there.asked
    assert begin[:1] == b"Q"
    assert b"BEGIN TRANSACTION READ ONLY" in begin
    assert b"statement_timeout" in begin
    assert question == wire.frame_message(b"Q", b"SELECT 1\0")
    assert goodbye == wire.frame_message(b"X", b"")


def test_a_failed_query_is_told_in_the_servers_words() -> None:
    with (
        server(DONE + READY, error("42P01", 'relation "trading.orders" does not exist') + READY) as there,
        pytest.raises(ChaosError, match=r'^relation "trading\.orders" does not exist$'),
    ):
        query.run_query(login(there.port), "SELECT")


def test_an_answer_that_does_not_come_and_a_server_that_goes() -> None:
    with server(DONE + READY, b"") as there, pytest.raises(ChaosError, match="not come in time"):
        query.run_query(login(there.port), "SELECT pg_sleep(60)", within=0.5)
    with server(DONE + READY) as there, pytest.raises(ChaosError, match="broke the session off"):
        query.run_query(login(there.port), "SELECT 1")
    with pytest.raises(ChaosError, match=f"nobody answers at 127.0.0.1:{there.port}"):
        query.run_query(login(there.port), "SELECT 1")


def test_a_session_is_encrypted_where_the_server_can(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=nobody.example",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with server(DONE + READY, row("1") + DONE + READY, context=context) as there:
        assert query.run_query(login(there.port), "SELECT 1") == [["1"]]
    assert there.encrypted


def test_a_server_that_answers_and_opens_no_session_by_tls_is_not_called_silent() -> None:
    """As one that wants a client's certificate; this one offers TLS and speaks none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(8)
                connection.sendall(b"S")
                connection.recv(65536)
                connection.sendall(b"no TLS at all")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ChaosError, match="offers TLS and opens no session by it") as told:
            query.run_query(login(listening.getsockname()[1]), "SELECT 1")
        thread.join(5)
    assert "nobody answers" not in str(told.value)


def test_a_database_on_another_host_is_never_looked_for_in_a_container() -> None:
    with server(DONE + READY, row("100.00000007") + DONE + READY) as there:
        where = {"service": "postgres", "name": "d", "user": "u", "address": "127.0.0.1", "port": there.port}
        assert database.query_rows(None, "lab", where, "SELECT price") == [["100.00000007"]]  # type: ignore[arg-type]
    with pytest.raises(
        ChaosError, match=r"The look-up in database d on another host failed: nobody answers at 127"
    ) as told:
        database.query_rows(None, "lab", {**where, "password": "s3cret"}, "SELECT price")  # type: ignore[arg-type]
    assert "s3cret" not in str(told.value)
