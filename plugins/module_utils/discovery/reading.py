# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the facts of a compose project: the engine's description, processes and the kernel's tables of sockets.

Everything is read, nothing is entered, started or changed, and all of it has a bound.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..common import bounds, clock
from ..host.docker_engine import Container, DockerEngine
from ..host.netns import ESTABLISHED, LISTEN, TIME_WAIT, Socket, read_netns_number, read_sockets
from .environment import read_environment
from .facts import Connection, ContainerFacts, Listener, ProjectFacts, ServedSession

#: How often the tables of sockets are looked at, and how long apart (s): not every client stays connected.
LOOKS, APART_S = 4, 0.7
#: Containers of a project, processes of a container and open files of a process that are looked at.
_CONTAINERS, _PROCESSES, _FILES = 64, 256, 4096
_TITLE, _NAME = 512, 120
_SOCKET = re.compile(r"socket:\[(\d+)\]")
#: The engine's own resolver listens inside each container's network, and is no service of it.
_RESOLVER = "127.0.0.11"
#: ``postgres: [cluster:] user database address(port) state``.
#: Source: PostgreSQL's documentation, "Standard Unix Tools".
_SESSION = re.compile(r"postgres: (?:\S+: )?(\S+) (\S+) ([0-9a-fA-F.:]+)\(\d+\)")


def read_project(
    engine: DockerEngine, name: str, proc: Path = Path("/proc"), *, looks: int = LOOKS
) -> ProjectFacts:
    """Return the facts of a project; what connects to what is gathered over several looks."""
    containers = engine.containers(name)[:_CONTAINERS]
    seen = [_Seen(one) for one in containers]
    for look in range(looks):
        if look:
            clock.sleep(APART_S)
        children = _list_children(proc)
        for one in seen:
            if one.container.running and one.container.pid:
                one.look(children, proc, alone=_lives_alone(one.container, containers))
    facts = {one.container.id: one.describe() for one in seen}
    return ProjectFacts(name, [_in_network(one.container, facts) for one in seen])


@dataclass
class _Seen:
    """What was seen of one container so far; connections by own port, far address and far port."""

    container: Container
    listeners: dict[int, Listener] = field(default_factory=dict)
    connections: dict[tuple[int, str, int], Connection] = field(default_factory=dict)
    processes: dict[str, None] = field(default_factory=dict)
    sessions: dict[ServedSession, None] = field(default_factory=dict)

    def look(self, children: Mapping[int, Sequence[int]], proc: Path, *, alone: bool) -> None:
        """Look at its processes and sockets; ``alone``: nobody else lives in its network namespace."""
        pids = _list_processes(self.container.pid, children)
        names = {pid: _read_name(proc / str(pid) / "comm") for pid in pids}
        self.processes.update(dict.fromkeys(name for name in names.values() if name))
        # a parent goes before its children, who have what it opened
        owners = {
            inode: names[pid] for pid in reversed(pids) for inode in _list_sockets(proc / str(pid) / "fd")
        }
        self._sort_sockets(read_sockets(self.container.pid, proc), owners, alone=alone)
        for pid, name in names.items():
            if name == "postgres":
                found = _SESSION.match(_read_title(proc / str(pid) / "cmdline"))
                if found:
                    self.sessions[ServedSession(*found.groups())] = None

    def _sort_sockets(self, sockets: Sequence[Socket], owners: Mapping[int, str], *, alone: bool) -> None:
        """Tell listeners and connections of this container, and which of its connections others began."""
        listening = {socket.local[1] for socket in sockets if socket.state == LISTEN}
        unknown = alone and not owners  # whose sockets are whose takes root; who lives alone has all of them
        for socket in sockets:
            (own, port), (far, far_port) = socket.local, socket.remote
            if socket.state == LISTEN and own != _RESOLVER and (socket.inode in owners or unknown):
                self.listeners[port] = Listener(port, own, owners.get(socket.inode, ""))
            ended = socket.state == TIME_WAIT
            ours = socket.inode in owners or unknown or (alone and ended)
            if ours and (ended or socket.state == ESTABLISHED):
                incoming = port in listening
                self.connections[port, far, far_port] = Connection(
                    far, port if incoming else far_port, incoming, ended
                )

    def describe(self) -> ContainerFacts:
        """Return the facts: what the engine says, and what was seen."""
        one = self.container
        published = [
            (int(port), address, outside)
            for written, (address, outside) in one.ports.items()
            for port, _slash, protocol in [written.partition("/")]
            if protocol == "tcp" and port.isdigit()
        ]
        return ContainerFacts(
            service=bounds.fit_line(one.service, _NAME),
            name=bounds.fit_line(one.name, _NAME),
            image=bounds.fit_line(str(one.config.get("Image") or ""), 2 * _NAME),
            running=one.running,
            network=read_netns_number(one.pid) if one.pid else 0,
            addresses=[each for each in (*one.addresses.values(), *one.addresses6.values()) if each],
            gateways=one.gateways,
            published=published,
            processes=list(self.processes),
            listeners=[self.listeners[port] for port in sorted(self.listeners)],
            connections=list(self.connections.values()),
            sessions=list(self.sessions),
            environment=read_environment(one.config.get("Env") or []),
        )


def _lives_alone(one: Container, containers: Sequence[Container]) -> bool:
    """Return whether no other container of the project, nor the host, shares its network namespace."""
    sharing = one.network_mode == "host" or one.network_mode.startswith("container:")
    return not sharing and not any(other.network_mode == f"container:{one.id}" for other in containers)


def _in_network(container: Container, facts: Mapping[str, ContainerFacts]) -> ContainerFacts:
    """Return facts of a container; one that lives in another's network is reached by what that one has published."""
    own = facts[container.id]
    mode, _colon, identity = container.network_mode.partition(":")
    owner = facts.get(identity) if mode == "container" else None
    if owner is None:
        return own
    ports = {each.port for each in own.listeners}
    published = [each for each in owner.published if each[0] in ports]
    return replace(own, gateways=owner.gateways, published=published)


def _list_children(proc: Path) -> dict[int, list[int]]:
    """Return the children of every process of this host; source: proc_pid_stat(5), its fourth word."""
    children: dict[int, list[int]] = {}
    for path in proc.glob("[0-9]*/stat"):
        words = _read(path, bounds.KIB).rpartition(")")[2].split()
        if len(words) > 1 and words[1].isdigit():
            children.setdefault(int(words[1]), []).append(int(path.parent.name))
    return children


def _list_processes(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """Return a container's main process and all that descend from it, parents first."""
    found = [pid]
    for one in found:
        found += list(children.get(one, ()))[: _PROCESSES - len(found)]
    return found


def _list_sockets(folder: Path) -> Iterator[int]:
    """Yield the inodes of the sockets that a process has open; none where they may not be seen."""
    try:
        names = os.listdir(folder)[:_FILES]
    except OSError:
        return
    for name in names:
        try:
            found = _SOCKET.fullmatch(os.readlink(folder / name))
        except OSError:
            continue
        if found:
            yield int(found.group(1))


def _read_name(path: Path) -> str:
    return bounds.fit_line(_read(path, _NAME), _NAME)


def _read_title(path: Path) -> str:
    return bounds.fit_line(_read(path, _TITLE).replace("\0", " "), _TITLE)


def _read(path: Path, largest: int) -> str:
    """Return the first bytes of a file of the kernel's as text, "" of one that is gone."""
    try:
        with path.open("rb") as stream:
            return stream.read(largest).decode(errors="replace")
    except OSError:
        return ""
