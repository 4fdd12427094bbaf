# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All programs the capture knows, by name."""

from __future__ import annotations

from ..program import Program
from . import block, fsync, oom, process_exit, rtt, sched, tcp, tcp_bytes

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        tcp.PROGRAM,
        process_exit.PROGRAM,
        sched.PROGRAM,
        block.PROGRAM,
        fsync.PROGRAM,
        oom.PROGRAM,
        rtt.PROGRAM,
        tcp_bytes.PROGRAM,
    )
}
