# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of a compose project before anything is guessed: containers, what listens, who is connected. Pure.

Of an environment only what names a database or its user is kept, and of secrets the names of the variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Listener:
    """A TCP port that a container listens on; ``process``: the kernel's name of who does, empty where unknown."""

    port: int
    address: str = ""
    process: str = ""

    @property
    def on_loopback(self) -> bool:
        """Return whether nobody but the container itself can reach it."""
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True)
class Connection:
    """A TCP connection of a container to or from (``incoming``) a far address and port, as its kernel table has it.

    ``port``: the far end's port, of an incoming one the own port. ``ended``: closed within the last minute (TIME_WAIT).
    """

    address: str
    port: int
    incoming: bool = False
    ended: bool = False


@dataclass(frozen=True)
class ServedSession:
    """A session as PostgreSQL names it in the title of the process that serves it."""

    user: str
    database: str
    address: str


@dataclass(frozen=True)
class Named:
    """A value that a variable of a container's environment names."""

    variable: str
    value: str


@dataclass(frozen=True)
class Environment:
    """What an environment tells of the database; ``secrets`` are names of variables, never what they hold."""

    databases: Sequence[Named] = ()
    users: Sequence[Named] = ()
    secrets: Sequence[str] = ()


@dataclass(frozen=True)
class ContainerFacts:
    """One container. ``network``: the number of its network namespace; ``published``: port inside → where outside."""

    service: str
    name: str
    image: str = ""
    running: bool = True
    network: int = 0
    addresses: Sequence[str] = ()
    gateways: Sequence[str] = ()
    published: Sequence[tuple[int, str, int]] = ()
    processes: Sequence[str] = ()
    listeners: Sequence[Listener] = ()
    connections: Sequence[Connection] = ()
    sessions: Sequence[ServedSession] = ()
    environment: Environment = field(default_factory=Environment)


@dataclass(frozen=True)
class ProjectFacts:
    """A compose project of this host."""

    name: str
    containers: Sequence[ContainerFacts] = ()

    @property
    def services(self) -> list[str]:
        """Return the names of all services, sorted."""
        return sorted({one.service for one in self.containers})

    def list_of(self, service: str) -> list[ContainerFacts]:
        """Return the containers of a service, those that run first."""
        return sorted(
            (one for one in self.containers if one.service == service), key=lambda one: not one.running
        )

    def listeners_of(self, service: str) -> list[Listener]:
        """Return what the containers of a service listen on, each port once."""
        found = {each.port: each for one in self.list_of(service) for each in one.listeners}
        return [found[port] for port in sorted(found)]

    def published_of(self, service: str, port: int) -> str:
        """Return where a port of a service is published, as ``127.0.0.1:8080``, empty where it is not."""
        return next(
            (
                f"{address or '0.0.0.0'}:{outside}"  # noqa: S104 - as the engine writes it; nothing is bound
                for one in self.list_of(service)
                for inside, address, outside in one.published
                if inside == port
            ),
            "",
        )
