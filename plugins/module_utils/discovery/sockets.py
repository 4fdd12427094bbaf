# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own tables of TCP sockets (proc_net_tcp.txt of the kernel's documentation). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

ESTABLISHED, TIME_WAIT, LISTEN = 1, 6, 10
#: Columns of a line: local address, remote address, state, inode.
_LOCAL, _REMOTE, _STATE, _INODE = 1, 2, 3, 9


@dataclass(frozen=True)
class Socket:
    """One line of a table; ``inode`` is 0 of a socket that belongs to nobody any more."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    inode: int


def parse_table(text: str) -> Iterator[Socket]:
    """Yield the sockets of ``/proc/<pid>/net/tcp`` or ``tcp6``; a line that is none is passed over."""
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            yield Socket(
                parse_endpoint(words[_LOCAL]),
                parse_endpoint(words[_REMOTE]),
                int(words[_STATE], 16),
                int(words[_INODE]),
            )
        except (IndexError, ValueError):
            continue


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return (address, port) of ``0100007F:1F90``: words of 32 bits in the host's (little) byte order, then the port.

    An IPv4 address in IPv6 clothes is that IPv4 address. Raises ValueError.
    """
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    packed = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    found = ipaddress.ip_address(packed)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), int(port, 16)
