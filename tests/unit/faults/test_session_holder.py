# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The holder of sessions against a server of this test's own, on real sockets: full, freed, silent, gone."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import session_holder
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.wire import Login, frame_message

WELCOME = frame_message(b"R", struct.pack("!I", 0)) + frame_message(b"Z", b"I")


class Slots:
    """A server with so many slots; ``silent``: it lets connect, and says nothing."""

    def __init__(self, slots: int) -> None:
        self.slots, self.silent = slots, False
        self.sqlstate = "53300"
        self.open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                connection.recv(65536)
                if self.silent:
                    self.open.append(connection)
                elif len(self.open) < self.slots:
                    self.open.append(connection)
                    connection.sendall(WELCOME)
                else:
                    connection.sendall(frame_message(b"E", f"C{self.sqlstate}\0Mno more\0\0".encode()))
                    connection.close()
        except OSError:
            return

    def end_one(self) -> None:
        """End a session and give its slot free."""
        self.open.pop(0).close()

    def close(self) -> None:
        self._listening.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def server() -> Iterator[Slots]:
    made = Slots(3)
    yield made
    made.close()


@pytest.fixture
def holder(server: Slots, monkeypatch: pytest.MonkeyPatch) -> session_holder.Holder:
    monkeypatch.setattr(session_holder, "_PATIENT_S", 0.3)
    monkeypatch.setattr(session_holder, "_BRIEF_S", 0.2)
    return session_holder.Holder(Login("127.0.0.1", server.port, "u", "d", "test"))


def test_it_takes_all_there_are_and_again_what_becomes_free(
    holder: session_holder.Holder, server: Slots
) -> None:
    holder.take()
    assert (len(holder.sessions), holder.full, holder.refusal) == (
        3,
        True,
        {"sqlstate": "53300", "message": "no more"},
    )
    server.end_one()
    server.slots = 4
    holder.take()
    assert (len(holder.sessions), holder.full) == (4, True)
    holder.release()
    assert holder.sessions == []


def test_no_answer_keeps_what_the_last_answer_said_while_all_sessions_live(
    holder: session_holder.Holder, server: Slots
) -> None:
    holder.take()
    server.silent = True
    holder.take()
    assert (len(holder.sessions), holder.full) == (3, True)
    server.end_one()
    holder.take()
    assert (len(holder.sessions), holder.full) == (2, False), "a slot is free for all that we know"


def test_no_answer_before_it_was_full_is_tried_again(holder: session_holder.Holder, server: Slots) -> None:
    server.silent = True
    holder.take()
    assert (holder.sessions, holder.full, holder.refusal) == ([], False, {})
    assert holder.problem


def test_a_refusal_for_another_reason_is_told_before_and_borne_after(
    holder: session_holder.Holder, server: Slots
) -> None:
    server.sqlstate = "28000"
    with pytest.raises(ChaosError, match="SQLSTATE 28000"):
        holder.take()
    server.sqlstate = "53300"
    holder.take()
    assert holder.full is True
    server.sqlstate = "57P03"
    holder.take()
    assert (holder.full, len(holder.sessions)) == (False, 3)
    assert "57P03" in holder.problem


def test_a_server_without_a_single_slot_is_not_exhausted_by_us(
    holder: session_holder.Holder, server: Slots
) -> None:
    server.slots = 0
    holder.take()
    assert (holder.full, holder.refusal["sqlstate"]) == (False, "53300")


def test_nobody_there_is_one_sentence(holder: session_holder.Holder, server: Slots) -> None:
    server.close()
    with pytest.raises(ChaosError, match=r"Nothing answers at 127\.0\.0\.1"):
        holder.take()
