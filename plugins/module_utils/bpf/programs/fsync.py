# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fsync.c keeps: how long fsync and fdatasync take."""

from __future__ import annotations

from typing import Any

from ..program import Program, Series

_CALLS = {0: "fsync", 1: "fdatasync"}


def _call(detail: int) -> dict[str, Any]:
    return {"call": _CALLS.get(detail, str(detail))}


SERIES = {7: Series("fsync latency", "us", _call, scale=1000)}

PROGRAM = Program(
    name="fsync",
    needs=("syscalls:sys_enter_fsync", "syscalls:sys_exit_fsync"),
    uses=("syscalls:sys_enter_fdatasync", "syscalls:sys_exit_fdatasync"),
    series=SERIES,
)
