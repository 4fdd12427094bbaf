# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All programs the capture knows, by name."""

from __future__ import annotations

from . import bpf_block, bpf_bytes, bpf_exit, bpf_fsync, bpf_oom, bpf_rtt, bpf_sched, bpf_tcp
from .bpf_programs import Program

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        bpf_tcp.PROGRAM,
        bpf_exit.PROGRAM,
        bpf_sched.PROGRAM,
        bpf_block.PROGRAM,
        bpf_fsync.PROGRAM,
        bpf_oom.PROGRAM,
        bpf_rtt.PROGRAM,
        bpf_bytes.PROGRAM,
    )
}
