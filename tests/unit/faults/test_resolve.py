# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as bytes: questions, refusals and packets, of strangers too; what is hit, and what the plan says."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import resolve
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms.resolver import process, wire
from ansible_collections.exchange.chaos.plugins.module_utils.host import nftables
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.containers import target

FAULT: dict[str, Any] = {"id": "names", "target": "postgres", "window_s": 20, "hold_s": 20}


def asked(name: str = "postgres", number: int = 7) -> wire.Message:
    found = wire.parse_message(wire.build_question(number, name))
    assert found is not None
    return found


def test_a_question_is_read_as_it_was_written() -> None:
    found = asked("Cache.example")
    assert (found.id, found.name, found.type, found.response) == (7, "cache.example", 1, False)
    assert not found.ours
    assert asked(number=wire.OURS << 8 | 3).ours


def test_a_refusal_answers_that_very_question() -> None:
    question = asked("postgres", 0xBEEF)
    answer = wire.parse_message(wire.build_refusal(question))
    assert answer is not None
    assert (answer.id, answer.response, answer.code_name, answer.answers) == (0xBEEF, True, "SERVFAIL", 0)
    assert answer.question == question.question, "a resolver throws away what answers another question"


def test_a_packet_carries_what_it_was_given_and_names_both_ends() -> None:
    sent = wire.Datagram(wire.RESOLVER, 35734, "127.0.0.1", 40000, b"data")
    assert wire.parse_packet(wire.build_packet(sent)) == sent


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x45" + bytes(18), bytes(28), b"\x60" + bytes(40), b"\x45" + bytes(8) + b"\x06" + bytes(30)],
)
def test_what_is_no_udp_over_ipv4_is_left_alone(packet: bytes) -> None:
    assert wire.parse_packet(packet) is None


def test_a_fragment_is_left_alone() -> None:
    packet = bytearray(wire.build_packet(wire.Datagram("127.0.0.1", 1, wire.RESOLVER, 53, bytes(20))))
    packet[6] = 0x20
    assert wire.parse_packet(bytes(packet)) is None


@given(st.binary(max_size=300))
def test_nothing_that_comes_in_breaks_the_reader(data: bytes) -> None:
    found = wire.parse_message(data)
    if found is not None:
        assert found.name.isprintable()
        wire.build_refusal(found)
    wire.parse_packet(data)


class Door:
    """A door that remembers: what was answered, and what was asked on."""

    def __init__(self) -> None:
        self.answered: list[tuple[wire.Datagram, bytes]] = []
        self.passed: list[tuple[int, wire.Datagram]] = []
        self.asking, self._resolver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.asking.setblocking(False)
        self.seeing, self._client = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.waiting: list[tuple[wire.Datagram, wire.Message]] = []

    def ask(self, name: str, number: int = 7) -> wire.Datagram:
        data = wire.build_question(number, name)
        message = wire.parse_message(data)
        assert message is not None
        datagram = wire.Datagram("127.0.0.1", 40000, wire.RESOLVER, 35734, data)
        self.waiting.append((datagram, message))
        self._client.send(b"!")
        return datagram

    def read_questions(self) -> list[tuple[wire.Datagram, wire.Message]]:
        self.seeing.recv(10)
        found, self.waiting = self.waiting, []
        return found

    def send_answer(self, asked: wire.Datagram, data: bytes) -> None:
        self.answered.append((asked, data))

    def ask_on(self, number: int, asked: wire.Datagram) -> None:
        self.passed.append((number, asked))
        self._resolver.send(number.to_bytes(2, "big") + b"the truth")


@pytest.fixture
def door() -> Door:
    return Door()


def turn(answers: process.Answering, door: Door, times: int = 3) -> None:
    for _turn in range(times):
        answers.turn([door], 0.02)  # type: ignore[list-item]


def test_every_name_is_refused_unless_one_is_named(door: Door) -> None:
    answers = process.Answering(process.SERVFAIL)
    datagram = door.ask("redis")
    turn(answers, door)
    ((back, data),) = door.answered
    answer = wire.parse_message(data)
    assert back == datagram
    assert answer is not None
    assert answer.code_name == "SERVFAIL"
    assert answers.counts == {"hit": 1}


def test_another_name_gets_the_truth_under_its_own_number(door: Door) -> None:
    answers = process.Answering(process.SERVFAIL, "Postgres.")
    door.ask("redis", 0x1234)
    turn(answers, door)
    ((_back, data),) = door.answered
    assert data == b"\x12\x34the truth"
    door.ask("postgres")
    turn(answers, door)
    assert answers.counts == {"passed": 1, "hit": 1}


def test_nothing_is_nothing(door: Door) -> None:
    answers = process.Answering(process.NOTHING)
    door.ask("redis")
    turn(answers, door)
    assert not door.answered
    assert not door.passed
    assert answers.counts == {"hit": 1}


def test_late_is_the_truth_but_late(door: Door) -> None:
    answers = process.Answering(process.LATE, delay_s=0.2)
    door.ask("redis")
    turn(answers, door)
    assert not door.answered
    turn(answers, door, times=15)
    assert [data for _asked, data in door.answered] == [b"\0\x07the truth"]


def test_the_table_spares_what_is_let_through_and_one_name_hits_udp_alone() -> None:
    for one_name, protocol in ((False, None), (True, socket.IPPROTO_UDP)):
        rules = process.build_rules("exchange-chaos-x", 20, one_name=one_name)
        (chain,) = rules.chains
        assert (chain.hook, chain.does, chain.spares, chain.protocol) == (
            "input",
            "drop",
            process.MARK,
            protocol,
        )
        assert rules.addresses == [wire.RESOLVER]
    (rule,) = [fields for kind, fields in nftables.build_messages(rules) if kind == "rule"]
    assert str(process.MARK.to_bytes(4, "little")) in repr(rule)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"answer": "maybe"},
            "The answer of fault names is 'maybe'; it must be one of servfail, nothing, late.",
        ),
        ({"name": "no spaces"}, "The name of fault names is 'no spaces'; it must be a host's name, or empty"),
        ({"name": "a..b"}, "The name of fault names is 'a..b'"),
        ({"delay_ms": 0}, "The delay_ms of fault names is 0; it must be 1 to 60000."),
        ({"delay_ms": "soon"}, "The delay_ms of fault names is 'soon'"),
    ],
)
def test_each_wrong_argument_has_its_sentence(changes: dict[str, Any], words: str) -> None:
    (problem,) = resolve.check({**FAULT, **changes})
    assert problem.startswith(words)


def test_good_arguments_as_text_are_good() -> None:
    assert resolve.check({**FAULT, "answer": "late", "name": "market-simulator", "delay_ms": "500"}) == []


def test_the_plan_says_which_answer_for_which_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "read_resolvers", lambda pid: [wire.RESOLVER])
    planned = resolve.from_spec({**FAULT, "answer": "late", "name": "Redis."}, [target()], Site([], True))
    (line,) = planned.lines()
    assert line.startswith("answer 3000 ms late to questions for redis that lab-postgres-1 (postgres) asks")
    assert planned.asked == "redis"
    assert planned.undo()["containers"] == [target().id]
    assert resolve.from_spec(FAULT, [target()], Site([], True)).asked == "postgres"


def test_another_resolver_than_the_engines_is_refused() -> None:
    mine = target(state={"Pid": os.getpid()})
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    own = [line.split()[1] for line in lines if line.startswith("nameserver")]
    assert resolve.read_resolvers(os.getpid()) == own
    with pytest.raises(Unsupported, match="which is what this fault stands in for"):
        resolve.from_spec(FAULT, [mine], Site([], True))


@pytest.mark.parametrize(
    ("seen", "answer", "delay_ms", "holds"),
    [
        ({"code": "SERVFAIL", "seconds": 0.01}, "servfail", 3000, True),
        ({"code": "NOERROR", "seconds": 0.01}, "servfail", 3000, False),
        ({"code": "", "seconds": 1.0}, "servfail", 3000, False),
        ({"code": "", "seconds": 1.0}, "nothing", 3000, True),
        ({"code": "SERVFAIL", "seconds": 0.01}, "nothing", 3000, False),
        ({"code": "", "seconds": 1.0}, "late", 3000, True),
        ({"code": "NOERROR", "seconds": 0.01}, "late", 200, False),
        ({"code": "NOERROR", "seconds": 0.25}, "late", 200, True),
    ],
)
def test_an_answer_proves_the_fault_or_not(
    seen: dict[str, Any], answer: str, delay_ms: int, holds: bool
) -> None:
    assert resolve._is_as_wanted(seen, answer, delay_ms) is holds
