# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bytes.c keeps: bytes sent and received, by the port of the serving end."""

from __future__ import annotations

from typing import Any

from ..program import Program, Series
from .rtt import decode_path


def _direction(name: str) -> Series:
    def key(detail: int) -> dict[str, Any]:
        return {**decode_path(detail), "direction": name}

    return Series("bytes", "bytes", key, histogram=False)


SERIES = {11: _direction("sent"), 12: _direction("received")}

PROGRAM = Program(
    name="bytes",
    needs=("tcp:tcp_rcv_space_adjust",),
    uses=("sock:sock_send_length", "sock:sock_recv_length", "tcp:tcp_destroy_sock"),
    series=SERIES,
    either=(
        frozenset(
            {
                "HAS_sock_send_length",
                "HAS_sock_recv_length",
                "OFF_sock_common_skc_dport",
                "OFF_sock_common_skc_num",
            }
        ),
        frozenset(
            {
                "OFF_tcp_sock_bytes_received",
                "OFF_tcp_sock_bytes_acked",
                "OFF_sock_common_skc_net",
                "OFF_net_inum",
            }
        ),
    ),
)
