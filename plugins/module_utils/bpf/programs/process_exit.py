# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of exit.c: processes that ended, by which signal, and who sent it."""

from __future__ import annotations

import struct
from typing import Any

from ..program import HEAD, Head, Program, decode_name

_BODY = struct.Struct("=IIII16s")
_STATUS_KNOWN, _FIRST_KNOWN, _FIRST = 1, 2, 4

KINDS = {16: "PROC_EXIT"}


def decode(head: Head, data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the event's name and fields.

    exit_signal: number of the signal that ended it, None if none did or (without BTF) none was seen.
    exit_status: None where the kernel does not tell. main: was it its container's first process (PID 1 in there)?
    by_pid, by_comm: who sent the SIGKILL; None if there was none, or it came from the kernel before the capture.
    """
    signal, status, by_pid, _reserved, by_comm = _BODY.unpack_from(data, HEAD.size)
    return "PROC_EXIT", {
        "exit_signal": signal or None,
        "exit_status": status if head.flags & _STATUS_KNOWN and not signal else None,
        "main": bool(head.flags & _FIRST) if head.flags & _FIRST_KNOWN else None,
        "by_pid": by_pid or None,
        "by_comm": decode_name(by_comm) or None,
    }


PROGRAM = Program(
    name="exit",
    needs=("sched:sched_process_exit",),
    uses=("signal:signal_generate",),
    decoders={16: decode},
    kinds=KINDS,
)
