# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sched.c keeps: waits for a processor, and how threads leave one."""

from __future__ import annotations

from typing import Any

from ..program import Program, Series

_KINDS = {0: "voluntary", 1: "involuntary"}


def _switch(detail: int) -> dict[str, Any]:
    return {"kind": _KINDS.get(detail, str(detail))}


SERIES = {
    1: Series("run queue latency", "us", lambda _detail: {}, scale=1000),
    2: Series("context switches", "switches", _switch, histogram=False),
}

PROGRAM = Program(
    name="sched",
    needs=("sched:sched_switch", "sched:sched_wakeup"),
    uses=("sched:sched_wakeup_new",),
    series=SERIES,
)
