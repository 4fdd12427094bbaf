# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that answers for a container's resolver: ``chaos.pyz resolver <run folder>``, from ``resolve.json``.

Questions reach the engine's resolver inside the namespace at an address of its own, where a table of nftables drops
them at its door. They are seen all the same by a packet socket on the loopback device, and answered from here by a raw
socket, as coming from the resolver: connections of old sockets included, which a redirection would miss. What is let
through is asked again with a mark that the table spares. Should this process die, questions stay unanswered until
the table goes: by the undo, or by the kernel at the fault's time to live.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

from ....common import clock
from ....common.json_files import read_json, write_json
from ....host import netns, nftables
from ....host.priority import raise_priority
from ....run.folder import RunDir
from ....run.instant import Instant
from ....run.lifespan import Lifespan
from . import wire
from .wire import Datagram, Message

COMMAND = "resolver"
PARAMETERS, STATISTICS = "resolve.json", "resolve-statistics.json"
#: What becomes of a question: an error at once, nothing at all, the true answer late.
SERVFAIL, NOTHING, LATE = "servfail", "nothing", "late"
ANSWERS = (SERVFAIL, NOTHING, LATE)
#: The mark of what is let through.
MARK = 0x7C44
_LOOPBACK, _ALL_IPV4 = "lo", 0x0800
_TICK_S, _TOLD_S = 0.2, 0.5
_PACKET = 65536
#: Questions that wait for a late or a true answer at most; more get none, as with any resolver that is full.
_WAITING_MAX = 200
#: The kind of a packet that has come in on the device, not gone out (linux/if_packet.h).
_HOST = 0


def build_rules(table: str, ttl_s: float, *, one_name: bool) -> nftables.Ruleset:
    """Return the table that keeps questions from the engine's resolver: at its door, unless they carry our mark.

    Of all names both ways of asking are hit, of one name UDP alone, since what is in a TCP connection is not read.
    """
    chain = nftables.Chain(
        "questions", "input", True, "drop", protocol=socket.IPPROTO_UDP if one_name else None, spares=MARK
    )
    return nftables.Ruleset(table, [wire.RESOLVER], None, ttl_s, [chain])


def main(run: RunDir) -> int:
    """Keep questions from the resolvers, answer as asked until the end, let them through again."""
    wanted = read_json(run.file(PARAMETERS))
    life = Lifespan(run)
    raise_priority()
    name, expires = str(wanted["name"] or ""), float(wanted["expires"])
    answers = Answering(str(wanted["answer"]), name, float(wanted["delay_ms"]) / 1000)
    made: list[int] = []
    at = wanted.get("at")
    try:
        doors = []
        for pid in map(int, wanted["pids"]):
            netns.enter_netns(pid)
            doors.append(Door())
            made.append(pid)
        moment = (
            contextlib.nullcontext() if at is None else Instant(run, str(wanted["fault"]), float(at)).moment()
        )
        with moment:
            began = clock.read()
            for pid in made:
                netns.enter_netns(pid)
                rules = build_rules(str(wanted["table"]), expires - clock.read(), one_name=bool(name))
                nftables.install_table(rules)
        run.register_process(COMMAND, began=began)
        told = 0.0
        while doors and not life.stopping and clock.read() < expires:
            answers.turn(doors, _TICK_S)
            if clock.read() >= told + _TOLD_S:
                told = clock.read()
                with contextlib.suppress(OSError):
                    write_json(run.file(STATISTICS), {"t": told, **answers.counts})
    finally:
        for pid in made:
            with contextlib.suppress(OSError):
                netns.enter_netns(pid)
                nftables.remove_table(str(wanted["table"]))
    return 0


class Door:
    """The sockets at a resolver's door, made in its namespace: one that sees, one that answers, one that asks on."""

    def __init__(self) -> None:
        self.seeing = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IPV4))
        self.seeing.bind((_LOOPBACK, _ALL_IPV4))
        self.seeing.setblocking(False)
        self._answering = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asking.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        self.asking.connect((wire.RESOLVER, wire.PORT))
        self.asking.setblocking(False)
        self._own_port = int(self.asking.getsockname()[1])

    def read_questions(self) -> list[tuple[Datagram, Message]]:
        """Return the questions that have come to the resolver since the last call, ours to ask on left out."""
        found = []
        for _packet in range(_WAITING_MAX):
            try:
                packet, where = self.seeing.recvfrom(_PACKET)
            except OSError:
                break
            datagram = wire.parse_packet(packet) if where[2] == _HOST else None
            if (
                datagram is None
                or datagram.destination != wire.RESOLVER
                or datagram.source_port == self._own_port
            ):
                continue
            asked = wire.parse_message(datagram.data)
            if asked is not None and not asked.response:
                found.append((datagram, asked))
        return found

    def send_answer(self, asked: Datagram, data: bytes) -> None:
        """Answer a question as its resolver does; what the kernel refuses is lost, as any datagram may be."""
        back = Datagram(asked.destination, asked.destination_port, asked.source, asked.source_port, data)
        with contextlib.suppress(OSError):
            self._answering.sendto(wire.build_packet(back), (asked.source, 0))

    def ask_on(self, number: int, asked: Datagram) -> None:
        """Ask the resolver itself, past the table, under a number of ours."""
        with contextlib.suppress(OSError):
            self.asking.send(struct.pack("!H", number) + asked.data[2:])


@dataclass
class Answering:
    """What becomes of questions: ``name`` alone is hit, all names if it is empty. ``delay_s``: of a late answer."""

    answer: str
    name: str = ""
    delay_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    _due: list[tuple[float, int, Door, Datagram]] = field(default_factory=list)
    _asked_on: dict[int, tuple[Door, Datagram]] = field(default_factory=dict)
    _number: int = 0

    def turn(self, doors: list[Door], patience: float) -> None:
        """Wait for questions and answers, ``patience`` seconds at most, and see to them."""
        if self._due:
            patience = max(0.0, min(patience, self._due[0][0] - clock.read()))
        sockets = {one: door for door in doors for one in (door.seeing, door.asking)}
        for one in select.select(list(sockets), [], [], patience)[0]:
            door = sockets[one]
            if one is door.seeing:
                for datagram, asked in door.read_questions():
                    self._take(door, datagram, asked)
            else:
                self._pass_back(door)
        while self._due and self._due[0][0] <= clock.read():
            _when, _number, door, datagram = heapq.heappop(self._due)
            self._pass_on(door, datagram)

    def hits(self, asked: Message) -> bool:
        """Return whether a question is hit: its name, or any."""
        return not self.name or asked.name == self.name.rstrip(".").lower()

    def _take(self, door: Door, datagram: Datagram, asked: Message) -> None:
        if not self.hits(asked):
            self.counts["passed"] += 1
            self._pass_on(door, datagram)
            return
        self.counts["hit"] += 1
        if self.answer == SERVFAIL:
            door.send_answer(datagram, wire.build_refusal(asked))
        elif self.answer == LATE and len(self._due) < _WAITING_MAX:
            self._number += 1
            heapq.heappush(self._due, (clock.read() + self.delay_s, self._number, door, datagram))

    def _pass_on(self, door: Door, datagram: Datagram) -> None:
        self._number += 1
        number = wire.OURS << 8 | self._number & 0xFF
        self._asked_on[number] = (door, datagram)
        door.ask_on(number, datagram)

    def _pass_back(self, door: Door) -> None:
        """Give a true answer to who asked, under the number of the question."""
        with contextlib.suppress(OSError):
            while True:
                data = door.asking.recv(_PACKET)
                known = self._asked_on.pop(int.from_bytes(data[:2], "big"), None)
                if known is not None:
                    known[0].send_answer(known[1], known[1].data[:2] + data[2:])
