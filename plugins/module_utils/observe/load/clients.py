# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients of an exchange, each with connections of its own: some come through its proxy, the others directly."""

from __future__ import annotations

import select
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...exchange.rush import Rush
from ...host.http_client import OPEN, Access, Reply
from .connections import Connections

Token = TypeVar("Token")

#: All of them together have no more requests under way than this.
_MOST = 1000
#: Between two looks for requests that have waited too long, seconds.
_LOOK_S = 0.02
PROXY, DIRECT = "proxy", "direct"


@dataclass(frozen=True)
class RushClient:
    """Which of them sent an order, and by which way it came."""

    number: int
    way: str


def _is_one_of(number: int, some: int, all_of_them: int) -> bool:
    """Return whether a number is among some that are spread evenly over all: ways take turns, none in a row."""
    return (number + 1) * some // all_of_them > number * some // all_of_them


class Clients(Generic[Token]):
    """The clients of a rush: orders go round among them, whatever becomes of the last one's."""

    def __init__(self, rush: Rush, url: str, *, timeout: float, access: Access = OPEN) -> None:
        """url: where the API answers; timeout: seconds for a request in all. Raises ChaosError."""
        most = max(2, _MOST // rush.clients)
        self._known: list[tuple[RushClient, Connections[Token]]] = []
        for number in range(rush.clients):
            way = PROXY if rush.proxy and _is_one_of(number, rush.proxy_clients, rush.clients) else DIRECT
            where = rush.proxy if way == PROXY else url
            connections: Connections[Token] = Connections(where, timeout=timeout, most=most, access=access)
            self._known.append((RushClient(number, way), connections))
        self._next = 0
        #: No order comes any more; once the last is answered they leave.
        self.leaving = False

    def move(self, url: str) -> None:
        """Have those who go to the API itself go on at another address."""
        for client, connections in self._known:
            if client.way == DIRECT:
                connections.move(url)

    def take_turn(self) -> tuple[RushClient, Connections[Token]]:
        """Return whose turn it is, and its connections.

        Each round begins with the next one, so that a limit which lets the first through does not always meet the same.
        """
        turn, self._next = self._next, self._next + 1
        return self._known[(turn + turn // len(self._known)) % len(self._known)]

    @property
    def connections(self) -> list[Connections[Token]]:
        """Return the connections of all."""
        return [connections for _client, connections in self._known]

    @property
    def under_way(self) -> int:
        """Return how many requests have not ended."""
        return sum(connections.under_way for connections in self.connections)

    def poll(self, main: Connections[Token], seconds: float) -> Iterator[tuple[Token, Reply]]:
        """Wait for at most so many seconds, on the load's own connections as well, and yield what ended on any."""
        everyone = [main, *self.connections]
        ready = select.select(everyone, [], [], max(0.0, min(seconds, _LOOK_S)))[0]
        # where nothing came, something may have waited too long
        for connections in ready or everyone:
            yield from connections.poll(0)

    def close(self) -> None:
        """Close every connection."""
        for connections in self.connections:
            connections.close()
