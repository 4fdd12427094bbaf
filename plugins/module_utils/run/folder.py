# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's folder on the host: where every file of the run lies, and the few things all processes do with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.files import read_regular
from ..common.jsonl import Writer, read
from . import slow_host

LEVELS = ("ok", "warn", "fail", "info")


def write_json(path: Path, value: Any, *, sync: bool = False) -> None:
    """Replace ``path`` by ``value`` as JSON in one step: a reader sees the old or the new file, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as stream:
            json.dump(value, stream, separators=(",", ":"), default=str)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the JSON in ``path``, or None when there is no such file, it is damaged or no regular file."""
    try:
        return json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None


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

    def timeline(self, event: str, **fields: Any) -> dict[str, Any]:
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
        return self.timeline("log", level=level, text=text, step=step)

    def events(self) -> list[dict[str, Any]]:
        """Return the whole timeline, oldest first."""
        return read(self.file("timeline.jsonl"))

    def saw(self, event: str, **fields: Any) -> bool:
        """Return whether the timeline holds an event of that name with those fields."""
        return any(
            line["event"] == event and all(line.get(key) == value for key, value in fields.items())
            for line in self.events()
        )

    def deadline(self) -> float:
        """Return the boottime at which the run ends by itself unless somebody renews it (0 if none was set)."""
        value = read_json(self.file("deadline.json"))
        return float(value["t"]) if value else 0.0

    def renew(self, seconds: float, *, latest: float | None = None) -> None:
        """Move the deadline to ``seconds`` from now, never nearer than it is, but not beyond boottime ``latest``."""
        wanted = max(self.deadline(), clock.now() + seconds)
        try:
            write_json(self.file("deadline.json"), {"t": wanted if latest is None else min(wanted, latest)})
        except OSError as error:
            raise self._unwritable(error) from error

    def shorten(self, seconds: float, *, earliest: float) -> None:
        """Bring the deadline back to ``seconds`` from now, but not before boottime ``earliest``."""
        try:
            write_json(self.file("deadline.json"), {"t": max(earliest, clock.now() + seconds)})
        except OSError as error:
            raise self._unwritable(error) from error

    def ready(self, command: str, **fields: Any) -> None:
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
