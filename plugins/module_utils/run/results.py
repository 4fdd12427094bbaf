# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules hand back to the controller: lines for people, captured events, never more than a result may carry."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from ..common.clock import format_utc
from ..common.json_files import read_object, write_json
from ..common.jsonl import Tail
from ..common.shapes import Result, is_whole
from . import timeline
from .folder import RunDir

#: Bytes of raw captured events one result carries; the rest comes with the next, or with the raw data.
_BPF_BYTES = 24 * 1024
_CURSOR = "shown.json"


class Lines:
    """Collects lines while there is no run to log them to; each is {at, level, text} with ``at`` in UTC."""

    def __init__(self) -> None:
        self.lines: list[dict[str, str]] = []

    def say(self, level: str, text: str) -> None:
        """Add a line of a level (ok, warn, fail, info)."""
        self.lines.append({"at": format_utc(time.time()), "level": level, "text": text})


def deliver_result(
    run: RunDir, *, changed: bool, before: list[dict[str, str]] | None = None, **fields: Any
) -> Result:
    """Return a module result with what the run logged and captured since the last result.

    A cursor in the run's folder remembers what was shown, so that no line is lost or shown twice, whoever asks.
    """
    cursor = read_object(run.file(_CURSOR))
    log, events = (
        Tail(run.file(name), offset=_place(cursor.get(name))) for name in ("timeline.jsonl", "bpf.jsonl")
    )
    anchor = run.anchor
    lines = [
        {"at": anchor.iso(line["t"]), "level": line["level"], "text": line["text"]}
        for line in log.poll()
        if line.get("event") == timeline.LOG
    ]
    captured = [
        {**event, "at": anchor.iso(event["t"])}
        for event in events.poll(limit=_BPF_BYTES)
        if not event.get("control")
    ]
    # on a full disk the same lines come again with the next result; better than none
    with contextlib.suppress(OSError):
        write_json(run.file(_CURSOR), {"timeline.jsonl": log.offset, "bpf.jsonl": events.offset})
    return {"changed": changed, "chaos_lines": [*(before or []), *lines], "chaos_bpf": captured, **fields}


def _place(noted: object) -> int:
    """Return a place in a file from a cursor, its beginning from one that is damaged."""
    return noted if is_whole(noted) and 0 <= noted < 2**62 else 0
