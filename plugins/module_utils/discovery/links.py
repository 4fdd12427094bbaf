# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connects to whom: the kernel's connections as lines between services. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import Connection, ContainerFacts, ProjectFacts

#: What a connection's far end is where it is no container of the project.
HOST, OUTSIDE = "this host", "elsewhere"


@dataclass(frozen=True)
class ServiceLink:
    """``client`` connects to ``server`` at a port; ``seen``: how many connections, also those that had ended."""

    client: str
    server: str
    port: int
    seen: int
    address: str = ""


def draw_links(project: ProjectFacts) -> list[ServiceLink]:
    """Return the links between services, and those with the host and what lies beyond, by client and server.

    Each connection between two containers is in both their tables; the client's counts, for it knows both ends. One
    that has ended is kept by who closed it alone, which may be the server.
    """
    counts: dict[tuple[str, str, int, str], int] = {}
    for one in project.containers:
        for connection in one.connections:
            key = _place(project, one, connection)
            if key:
                counts[key] = counts.get(key, 0) + 1
    return [
        ServiceLink(client, server, port, count, address)
        for (client, server, port, address), count in sorted(counts.items())
    ]


def find_clients(links: Sequence[ServiceLink], server: str, port: int = 0) -> dict[str, int]:
    """Return how many connections each client has to a service (and port), the most first."""
    counts: dict[str, int] = {}
    for link in links:
        if link.server == server and port in (0, link.port):
            counts[link.client] = counts.get(link.client, 0) + link.seen
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _place(
    project: ProjectFacts, one: ContainerFacts, connection: Connection
) -> tuple[str, str, int, str] | None:
    """Return client, server, port and (of a server elsewhere) address of a connection; None where it is not told."""
    far = _owner(project, one, connection)
    if far == one.service:
        return None
    if connection.incoming:
        # one of a container of the project is told by that container, as long as it has it
        told = connection.ended or far in (HOST, OUTSIDE)
        return (far, one.service, connection.port, "") if told else None
    return one.service, far, connection.port, connection.address if far == OUTSIDE else ""


def _owner(project: ProjectFacts, one: ContainerFacts, connection: Connection) -> str:
    """Return whose a connection's far end is: a service's, this host's, or somebody's elsewhere."""
    address, port = connection.address, connection.port
    local = address.startswith("127.") or address == "::1"
    for other in project.containers:
        if address in other.addresses and not (connection.incoming and other is one):
            return other.service
        beside = local and other.network == one.network and not connection.incoming
        if beside and any(each.port == port for each in other.listeners):
            return other.service
    if not connection.incoming and address in (*one.gateways, *_hosts(project)):
        for other in project.containers:
            if any(outside == port for _inside, _address, outside in other.published):
                return other.service
    if local:
        return one.service
    return HOST if address in _hosts(project) else OUTSIDE


def _hosts(project: ProjectFacts) -> set[str]:
    return {address for one in project.containers for address in one.gateways}
