# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where somebody listens in a network namespace, as the kernel's tables of sockets say."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns

PID, PORT = 4242, 5432


def listen(proc: Path, *addresses: str, port: int = PORT) -> None:
    """Write tables in which somebody listens at these addresses, and a client is connected."""
    folder = proc / str(PID) / "net"
    folder.mkdir(parents=True, exist_ok=True)
    for table in ("tcp", "tcp6"):
        own = [one for one in map(ipaddress.ip_address, addresses) if (one.version == 6) == (table == "tcp6")]
        lines = [f"0: {write(one)}:{port:04X} {write(one)}:0000 0A 0:0 0:0 0 0 0 77" for one in own]
        lines += [
            f"1: {write(one)}:{port + 1:04X} {write(one)}:{port:04X} 01 0:0 0:0 0 0 0 78" for one in own
        ]
        (folder / table).write_text("\n".join(["header", *lines, "not a socket"]))


def write(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as the kernel does: words of 32 bits, each the wrong way round."""
    packed = address.packed
    return "".join(packed[at : at + 4][::-1].hex() for at in range(0, len(packed), 4)).upper()


@pytest.mark.parametrize(
    ("at", "reached"),
    [
        (["0.0.0.0"], ["127.0.0.1"]),
        (["::"], ["127.0.0.1", "::1"]),
        (["172.18.0.5"], ["172.18.0.5"]),
        (["172.18.0.5", "0.0.0.0"], ["127.0.0.1", "172.18.0.5"]),
        (["fd00::5", "::1"], ["::1", "fd00::5"]),
        ([], []),
    ],
)
def test_it_is_reached_from_within_at_the_loopback_or_where_it_listens(
    tmp_path: Path, at: list[str], reached: list[str]
) -> None:
    listen(tmp_path, *at)
    assert netns.list_listening(PID, PORT, tmp_path) == reached
    assert netns.list_listening(PID, PORT + 1, tmp_path) == []
    assert netns.list_listening(PID + 1, PORT, tmp_path) == []
