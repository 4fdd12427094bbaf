# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's folder on the host: where every file of the run lies, and the few things all processes do with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.json_files import read_json, write_json
from ..common.jsonl import Writer, read_lines
from . import slow_host, timeline
from .timeline import Timeline

LEVELS = ("ok", "warn", "fail", "info")


def process_start(pid: int) -> int | None:
    """Return the start time of ``pid`` in clock ticks since boot (proc(5), stat field 22), None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rfind(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


class RunDir:
    """One run's folder ``<state>/runs/<run_id>``; the spec in it is written once, at the start of the run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._spec: dict[str, Any] | None = None
        self._timeline: Writer | None = None

    def file(self, name: str) -> Path:
        """Return the path of a file of the run."""
        return self.path / name

    @property
    def spec(self) -> dict[str, Any]:
        """Return the run's specification. Raises ChaosError when the folder holds none."""
        if self._spec is None:
            self._spec = read_json(self.file("spec.json"))
        if self._spec is None:
            raise ChaosError(
                f"{self.path} holds no run: spec.json is missing; was the run already collected?"
            )
        return self._spec

    @property
    def of_earlier_boot(self) -> bool:
        """Return whether the host was rebooted since the run was opened; False while that has no specification."""
        anchor = (self._spec or read_json(self.file("spec.json")) or {}).get("anchor")
        return anchor is not None and anchor["boot_id"] != clock.boot_id()

    @property
    def slow(self) -> float:
        """Return by how much this run's host is slower than most; 1 while the folder holds no specification."""
        return slow_host.of(self._spec or read_json(self.file("spec.json")) or {})

    @property
    def anchor(self) -> clock.Anchor:
        """Return the pair of clock readings taken when the run was opened."""
        return clock.Anchor(**self.spec["anchor"])

    def write_event(self, event: str, **fields: Any) -> dict[str, Any]:
        """Append one event to the timeline and return it as written. Raises ChaosError when the disk refuses."""
        line = {"t": fields.pop("t", None) or clock.now(), "event": event, **fields}
        try:
            if self._timeline is None:
                self._timeline = Writer(self.file("timeline.jsonl"))
            self._timeline.write(line)
        except OSError as error:
            raise self._unwritable(error) from error
        return line

    def log(self, level: str, text: str, step: str = "") -> dict[str, Any]:
        """Append a line for people (level: ok, warn, fail or info) to the timeline and return it."""
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}")
        return self.write_event(timeline.LOG, level=level, text=text, step=step)

    def read_timeline(self) -> Timeline:
        """Return what has happened in the run so far."""
        return Timeline(timeline.well_formed(read_lines(self.file("timeline.jsonl"))))

    def read_deadline(self) -> float:
        """Return the boottime at which the run ends by itself unless somebody renews it (0 if none was set)."""
        value = read_json(self.file("deadline.json"))
        return float(value["t"]) if value else 0.0

    def extend_deadline(self, seconds: float, *, latest: float | None = None) -> None:
        """Move the deadline to ``seconds`` from now, never nearer than it is, but not beyond boottime ``latest``."""
        wanted = max(self.read_deadline(), clock.now() + seconds)
        try:
            write_json(self.file("deadline.json"), {"t": wanted if latest is None else min(wanted, latest)})
        except OSError as error:
            raise self._unwritable(error) from error

    def shorten_deadline(self, seconds: float, *, earliest: float) -> None:
        """Bring the deadline back to ``seconds`` from now, but not before boottime ``earliest``."""
        try:
            write_json(self.file("deadline.json"), {"t": max(earliest, clock.now() + seconds)})
        except OSError as error:
            raise self._unwritable(error) from error

    def register_process(self, command: str, **fields: Any) -> None:
        """Tell who waits that this process does its work now; its pid and start time identify it for ever."""
        folder = self.file("processes")
        folder.mkdir(mode=0o700, exist_ok=True)
        pid = os.getpid()
        write_json(
            folder / f"{command}.json",
            {"command": command, "pid": pid, "start": process_start(pid), "ready_at": clock.now(), **fields},
        )

    def _unwritable(self, error: OSError) -> ChaosError:
        return ChaosError(
            f"The run's folder {self.path} cannot be written ({error.strerror}); free the disk first."
        )
