# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rtt.c keeps: smoothed round trip times, by the port of the serving end."""

from __future__ import annotations

from typing import Any

from ..program import Program, Series

_SIDES = {1: "client", 2: "server"}


def decode_path(detail: int) -> dict[str, Any]:
    """Return the port of the serving end, and which end it was measured at."""
    return {"port": detail & 0xFFFF, "side": _SIDES.get(detail >> 16, "unknown")}


SERIES = {10: Series("smoothed RTT", "us", decode_path, scale=1000)}
_NETNS = {"OFF_sock_common_skc_net", "OFF_net_inum"}

PROGRAM = Program(
    name="rtt",
    needs=("tcp:tcp_probe",),
    uses=("tcp:tcp_rcv_space_adjust",),
    series=SERIES,
    either=(
        frozenset({"HAS_tcp_probe_skaddr"} | _NETNS),
        frozenset({"HAS_tcp_rcv_space_adjust", "OFF_tcp_sock_srtt_us"} | _NETNS),
    ),
)
