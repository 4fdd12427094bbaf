# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler in a process of its own: what it loaded is handed over by descriptors, and its memory is given back.

bcc brings a whole C compiler into the process that uses it, some 130 MB. A child loads and attaches the programs,
sends the descriptors of the maps and of what keeps the programs attached over a socket (unix(7), SCM_RIGHTS), and
ends. The programs live as long as somebody holds those descriptors.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: A message of descriptors holds so many (SCM_MAX_FD, include/net/scm.h, is 253).
_MOST = 200
_BYTES = 1 << 20


@dataclass(frozen=True)
class Loaded:
    """What a loader gives away: its maps by name, what keeps the programs attached, and facts about them (JSON)."""

    maps: Mapping[str, int]
    attached: tuple[int, ...]
    facts: Mapping[str, Any]

    def close(self) -> None:
        """Let go: the programs are detached, and their maps vanish."""
        for fd in (*self.attached, *self.maps.values()):
            os.close(fd)


def load_in_child(load: Callable[[], Loaded]) -> Loaded:
    """Have a child call ``load`` and return what it loaded, with descriptors of this process.

    Raises OSError when the child died without a word. What ``load`` has to say against itself is among the facts.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BYTES)
    child = os.fork()
    if child == 0:
        # Without an orderly exit: bcc would detach what it attached, and it is no longer alone with it.
        try:
            ours.close()
            _send(theirs, load())
        finally:
            os._exit(0)
    theirs.close()
    try:
        return _receive(ours)
    finally:
        ours.close()
        os.waitpid(child, 0)


def _send(peer: socket.socket, loaded: Loaded) -> None:
    fds = [*loaded.maps.values(), *loaded.attached]
    told = {"maps": list(loaded.maps), "facts": dict(loaded.facts), "fds": len(fds)}
    peer.sendall(json.dumps(told).encode())
    for begin in range(0, len(fds), _MOST):
        socket.send_fds(peer, [b"fds"], fds[begin : begin + _MOST])


def _receive(peer: socket.socket) -> Loaded:
    data = peer.recv(_BYTES)
    if not data:
        raise OSError("the process that loads the programs ended without a word")
    told = json.loads(data)
    fds: list[int] = []
    while len(fds) < told["fds"]:
        data, more, _flags, _address = socket.recv_fds(peer, 16, _MOST)
        if not data:
            raise OSError("the process that loads the programs ended before it handed them over")
        fds += more
    for fd in fds:
        os.set_inheritable(fd, False)
    names = told["maps"]
    return Loaded(dict(zip(names, fds)), tuple(fds[len(names) :]), told["facts"])
