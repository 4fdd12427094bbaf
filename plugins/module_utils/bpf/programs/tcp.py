# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of tcp.c: connections tried, made, failed, given up, reset, closed; segments sent again."""

from __future__ import annotations

import errno
import socket
import struct
from functools import lru_cache
from typing import Any

from ..program import HEAD, Head, Program

_BODY = struct.Struct("=QiHH16s16s")
_KNOWN, _PASSIVE, _SENT = 1, 2, 4
_MAPPED = b"\0" * 10 + b"\xff\xff"

KINDS = {
    1: "CONN_ATTEMPT",
    2: "CONN_OK",
    3: "CONN_FAILED",
    4: "CONN_GAVE_UP",
    5: "CONN_RESET",
    6: "CONN_CLOSED",
    7: "TCP_RETRANSMIT",
}


@lru_cache(maxsize=4096)
def decode_address(raw: bytes) -> tuple[int, str]:
    """Return (4 or 6, text) of an IPv6 address of 16 bytes; IPv4-mapped ones (RFC 4291, 2.5.5.2) are IPv4."""
    if raw[:12] == _MAPPED:
        return 4, socket.inet_ntop(socket.AF_INET, raw[12:])
    return 6, socket.inet_ntop(socket.AF_INET6, raw)


def decode(head: Head, data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the event's name and fields. ``lport`` is 0 at an attempt: the kernel chooses it afterwards.

    duration_ms: answer time (ok, failed), age (gave up), age of connection (reset has none, closed, retransmit).
    errno: None where there was none, or (without BTF) where the kernel did not tell.
    passive: the connection was accepted, not made; None for one older than the capture.
    direction (CONN_RESET): received or sent.
    """
    duration, error, lport, rport, local, remote = _BODY.unpack_from(data, HEAD.size)
    family, raddr = decode_address(remote)
    fields = {
        "family": family,
        "laddr": decode_address(local)[1],
        "lport": lport,
        "raddr": raddr,
        "rport": rport,
        "errno": error if error > 0 else None,
        "duration_ms": round(duration / 1e6, 3) if duration else None,
        "passive": bool(head.flags & _PASSIVE) if head.flags & _KNOWN else None,
    }
    name = KINDS[head.kind]
    if name == "CONN_RESET":
        fields["direction"] = "sent" if head.flags & _SENT else "received"
        fields["errno"] = errno.ECONNRESET
    return name, fields


PROGRAM = Program(
    name="tcp",
    needs=("sock:inet_sock_set_state",),
    uses=(
        "sock:inet_sk_error_report",
        "tcp:tcp_receive_reset",
        "tcp:tcp_send_reset",
        "tcp:tcp_retransmit_skb",
    ),
    decoders=dict.fromkeys(KINDS, decode),
    kinds=KINDS,
)
