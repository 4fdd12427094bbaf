# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose socket, whose process: from what a record carries to a container of the exchange.

Never by address: engines inside one another use the same addresses. A record tells the process's cgroup where the
kernel has BTF; its name holds the container's id. Else the pid leads there through /proc/<pid>/cgroup, read again
and again so that the dead are known, too. A record that knows no process (a segment for a socket older than the
capture) tells its network namespace, which one container has for itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from ..common import clock
from ..host.docker_socket import ListedContainer
from ..run.specification import Specification

#: A process or a namespace that is gone is still known for so long: its last records are on their way.
_REMEMBERED_S = 3.0
#: The engine is not asked more often.
_ASK_EVERY_S = 0.2
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class Unresolved:
    """The engine did not answer yet; ask again."""


UNRESOLVED = Unresolved()
Owner = Union[ListedContainer, Unresolved, None]


def container_id(text: str) -> str:
    """Return the innermost container id in a cgroup's path or name; "" if it is no container's.

    Handles the forms of cgroup v1 and v2, cgroupfs and systemd drivers, and engines inside one another.
    """
    found = _ID.findall(text)
    return found[-1] if found else ""


class Book:
    """Whose cgroup, process and namespace was whose, as far as a run came to know it, for who asks afterwards."""

    def __init__(
        self,
        containers: Mapping[str, ListedContainer],
        cgroups: Mapping[int, str],
        pids: Mapping[int, str],
        namespaces: Mapping[int, str],
    ) -> None:
        self._containers = containers
        self._cgroups, self._pids, self._namespaces = cgroups, pids, namespaces

    def owner(self, pid: int, netns: int, cgroup: int) -> Owner:
        """Return the container of the exchange a record belongs to, None for anybody else's."""
        if cgroup:
            return self._containers.get(self._cgroups.get(cgroup, ""))
        if pid:
            return self._containers.get(self._pids.get(pid, ""))
        return self._containers.get(self._namespaces.get(netns, ""))

    def victim(self, pid: int, cgroup: int) -> Owner:
        """Return the container of a process to which another one, of that cgroup, did something."""
        return self._containers.get(self._pids[pid]) if pid in self._pids else self.owner(0, 0, cgroup)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "containers": [[one.id, one.name, one.service] for one in self._containers.values()],
            "cgroups": list(self._cgroups.items()),
            "pids": list(self._pids.items()),
            "namespaces": list(self._namespaces.items()),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Book:
        """Return what ``to_data`` gave; what is missing is nobody's."""
        containers = {one[0]: ListedContainer(*one) for one in data.get("containers") or []}
        names = ("cgroups", "pids", "namespaces")
        return cls(containers, *(dict(map(tuple, data.get(name) or [])) for name in names))


class ContainerScope:
    """The containers of one run, kept up to date.

    services: the compose services that count; ask: returns all containers of the project, None if the engine
    is silent; name_of: returns the name of a cgroup by the number a record carries.
    """

    def __init__(
        self,
        known: Iterable[ListedContainer],
        services: Iterable[str],
        ask: Callable[[], list[ListedContainer] | None],
        name_of: Callable[[int], str | None],
        proc: Path = Path("/proc"),
    ) -> None:
        self._services = set(services)
        self._ask = ask
        self._name_of = name_of
        self._proc = proc
        self._asked = 0.0
        self._containers: dict[str, ListedContainer | None] = {each.id: each for each in known}
        self._cgroups: dict[int, str] = {}
        self._pids: dict[int, str] = {}
        self._gone: dict[int, float] = {}
        self._namespaces: dict[int, tuple[str, float]] = {}
        #: all that were ever known, for the book
        self._all_pids: dict[int, str] = {}
        self._all_namespaces: dict[int, str] = {}

    def owner(self, pid: int, netns: int, cgroup: int) -> Owner:
        """Return the container of the exchange a record belongs to, None for anybody else's."""
        if cgroup:
            identity = self._of_cgroup(cgroup)
            found = self._by_id(identity)
            if netns and isinstance(found, ListedContainer):
                self._namespaces[netns] = (identity, clock.read())
                self._all_namespaces[netns] = identity
            return found
        if pid:
            return self._by_id(self._of_pid(pid))
        return self._by_id(self._namespaces[netns][0]) if netns in self._namespaces else None

    def victim(self, pid: int, cgroup: int) -> Owner:
        """Return the container of a process to which another one, of that cgroup, did something.

        The process's own; where it was gone before anybody could look, that of the other, which is the same or above.
        """
        identity = self._of_pid(pid) if pid else ""
        return self._by_id(identity) if pid in self._pids else self.owner(0, 0, cgroup)

    def is_named(self, cgroup: int) -> bool:
        """Return whether the kernel has told the name of a cgroup, so that None as its owner is the last word."""
        return cgroup in self._cgroups

    def scan(self) -> None:
        """Read which processes and network namespaces belong to which container now. Call twice a second."""
        now = clock.read()
        alive = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        for pid in alive:
            if pid not in self._pids or pid in self._gone:
                self._gone.pop(pid, None)
                self._pids[pid] = self._read(pid) or ""
                self._remember(pid)
        for pid in self._pids.keys() - alive:
            if now - self._gone.setdefault(pid, now) > _REMEMBERED_S:
                del self._pids[pid], self._gone[pid]
        for identity in {identity for pid, identity in self._pids.items() if identity and pid in alive}:
            if isinstance(self._containers.get(identity), ListedContainer):
                for netns in filter(None, (self._netns(pid) for pid in self._some_pids(identity, alive))):
                    self._namespaces[netns] = (identity, now)
                    self._all_namespaces[netns] = identity
                    break
        self._namespaces = {
            netns: entry for netns, entry in self._namespaces.items() if now - entry[1] <= _REMEMBERED_S
        }

    def book(self, cgroups: Iterable[int] = ()) -> Book:
        """Return what is known now of who was whose, of these cgroups, too; the engine is asked once more."""
        for cgroup in cgroups:
            self._by_id(self._of_cgroup(cgroup))
        ours = {
            identity: one
            for identity, one in self._containers.items()
            if one is not None and one.service in self._services
        }
        return Book(
            ours,
            {number: identity for number, identity in self._cgroups.items() if identity in ours},
            {pid: identity for pid, identity in self._all_pids.items() if identity in ours},
            {netns: identity for netns, identity in self._all_namespaces.items() if identity in ours},
        )

    def living_pids(self, service: str) -> list[int]:
        """Return the living processes of a service as of the last scan, oldest first."""
        wanted = {each.id for each in self._containers.values() if each and each.service == service}
        return sorted(
            pid for pid, identity in self._pids.items() if identity in wanted and pid not in self._gone
        )

    def first_container(self, service: str) -> ListedContainer | None:
        """Return a container of a service."""
        return next((each for each in self._containers.values() if each and each.service == service), None)

    def _by_id(self, identity: str) -> Owner:
        if not identity:
            return None
        if identity not in self._containers:
            now = clock.read()
            if now - self._asked < _ASK_EVERY_S:
                return UNRESOLVED
            self._asked = now
            answer = self._ask()
            if answer is None:
                return UNRESOLVED
            self._containers.update({each.id: each for each in answer})
            self._containers.setdefault(identity, None)
        found = self._containers[identity]
        return found if found is not None and found.service in self._services else None

    def _of_cgroup(self, cgroup: int) -> str:
        if cgroup not in self._cgroups:
            name = self._name_of(cgroup)
            if name is None:
                return ""
            self._cgroups[cgroup] = container_id(name)
        return self._cgroups[cgroup]

    def _of_pid(self, pid: int) -> str:
        if pid not in self._pids:
            found = self._read(pid)
            if found is None:
                return ""
            self._pids[pid] = found
            self._remember(pid)
        return self._pids[pid]

    def _remember(self, pid: int) -> None:
        if self._pids[pid]:
            self._all_pids[pid] = self._pids[pid]

    def _read(self, pid: int) -> str | None:
        try:
            return container_id((self._proc / str(pid) / "cgroup").read_text(errors="replace"))
        except OSError:
            return None

    def _some_pids(self, identity: str, alive: set[int]) -> list[int]:
        return [pid for pid, each in self._pids.items() if each == identity and pid in alive][:3]

    def _netns(self, pid: int) -> int:
        try:
            return os.stat(self._proc / str(pid) / "ns" / "net").st_ino
        except OSError:
            return 0


def make_scope(
    spec: Specification,
    known: Iterable[ListedContainer],
    ask: Callable[[], list[ListedContainer] | None],
    name_of: Callable[[int], str | None],
) -> ContainerScope:
    """Return the scope of a run: ``capture.services`` of its specification, else all its services."""
    return ContainerScope(known, spec.capture.services or tuple(spec.containers), ask, name_of)


def list_known(spec: Specification) -> list[ListedContainer]:
    """Return the containers a run began with, as its specification lists them."""
    return [
        ListedContainer(item.id, item.name or service, service)
        for service, items in spec.containers.items()
        for item in items
    ]
