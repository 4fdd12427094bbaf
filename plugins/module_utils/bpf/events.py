# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a record of the kernel to an event: what it says, and whose it is.

The same for whoever follows live and for whoever reads, when the run is over, what came too fast to be followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Union

from .attribution import Owner, Unresolved
from .program import HEAD, Decoder, Head, Program, decode_name

#: Whose a record is: called with its pid, its namespace and its cgroup.
FindOwner = Callable[[int, int, int], Owner]
Event = Union[dict[str, Any], Unresolved, None]


@dataclass(frozen=True)
class OwnConnect:
    """The capture's own connect: who made it, and as whose it counts."""

    pid: int
    owner: Owner


class EventReader:
    """Turns records into events. programs: those that run; owner, victim: see :class:`.attribution.Scope`."""

    def __init__(
        self, programs: Iterable[Program], owner: FindOwner, victim: Callable[[int, int], Owner]
    ) -> None:
        self._owner, self._victim = owner, victim
        self._decoders: dict[int, Decoder] = {}
        self._by_others: frozenset[int] = frozenset()
        for program in programs:
            self._decoders.update(program.decoders)
            self._by_others |= program.by_others
        self.control: OwnConnect | None = None

    def read(self, record: bytes, offset: float) -> Event:
        """Return the event of a record, None if it is not the exchange's, Unresolved if that is not known yet.

        offset: what CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, in seconds.
        """
        head = Head._make(HEAD.unpack_from(record))
        decoder = self._decoders.get(head.kind)
        if decoder is None:
            return None
        control = self.control is not None and head.pid == self.control.pid
        owner = self._owner_of(head, control)
        if isinstance(owner, Unresolved):
            return owner
        decoded = decoder(head, record) if owner is not None else None
        if owner is None or decoded is None:
            return None
        name, fields = decoded
        return {
            "t": round(head.at / 1e9 + offset, 6),
            "event": name,
            "pid": head.pid,
            "comm": decode_name(head.comm),
            "service": owner.service,
            "container": owner.name,
            **fields,
            "control": control,
        }

    def _owner_of(self, head: Head, control: bool) -> Owner:
        if head.kind in self._by_others:
            return self._victim(head.pid, head.cgroup)
        if control and self.control is not None:
            return self.control.owner
        return self._owner(head.pid, head.netns, head.cgroup)
