# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of oom.c (who the OOM killer chose) and what it keeps (stalls to reclaim memory)."""

from __future__ import annotations

import struct
from typing import Any

from ..program import HEAD, Head, Program, Series, decode_name

_BODY = struct.Struct("=QQQQiI16s")
_SIZES_KNOWN, _BY_ITSELF = 1, 2

KINDS = {17: "OOM_KILL"}


def decode(head: Head, data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the event's name and fields; sizes are None before kernel 6.8.

    by_pid, by_comm: who asked for the memory that was not there. by_itself: the victim did.
    """
    total, anon, file, shmem, score, by_pid, by_comm = _BODY.unpack_from(data, HEAD.size)
    known = bool(head.flags & _SIZES_KNOWN)
    sizes = {"total_kb": total, "anon_kb": anon, "file_kb": file, "shmem_kb": shmem, "score_adj": score}
    return "OOM_KILL", {
        **{name: size if known else None for name, size in sizes.items()},
        "by_pid": by_pid or None,
        "by_comm": decode_name(by_comm) or None,
        "by_itself": bool(head.flags & _BY_ITSELF),
    }


SERIES = {
    8: Series("direct reclaim", "us", lambda _detail: {}, scale=1000),
    9: Series("memcg reclaim", "us", lambda _detail: {}, scale=1000),
}

PROGRAM = Program(
    name="oom",
    needs=("oom:mark_victim",),
    uses=(
        "vmscan:mm_vmscan_direct_reclaim_begin",
        "vmscan:mm_vmscan_direct_reclaim_end",
        "vmscan:mm_vmscan_memcg_reclaim_begin",
        "vmscan:mm_vmscan_memcg_reclaim_end",
    ),
    decoders={17: decode},
    kinds=KINDS,
    series=SERIES,
    by_others=frozenset(KINDS),
)
