# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's folder on the host: where every file of the run lies, and the few things all processes do with it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.disk_room import RESERVE, give_room, keep_room, set_aside
from ..common.errors import ChaosError
from ..common.json_files import read_json, read_object, write_json
from ..common.jsonl import Writer, read_lines
from ..common.schema import Wrong, as_number
from ..common.shapes import Line, is_instant, is_whole
from . import timeline
from .specification import AnchorSpec, Specification
from .timeline import Timeline

#: What a run's timeline and journal have set aside, so that nobody else can take it.
TIMELINE_BYTES, JOURNAL_BYTES = 512 * 1024, 256 * 1024
#: The key under which a run's snapshots seal what may be secret.
SEALING = "sealing.json"
#: What a run needs and its record does not; the parameters of a helper may hold a password. The runtime stays until the
#: record is collected: by the modules that do so.
WORKING_FILES = (
    "deadline.json", "watchdog.lock", "journal.lock", "finish.lock", "processes", "headers",
    "secrets.json", "sessions.json", SEALING, RESERVE,
)  # fmt: skip
LEVELS = ("ok", "warn", "fail", "info")
#: What stands for the word of a kernel capture (``capture.json``) where there is none.
NO_CAPTURE: dict[str, Any] = {
    "status": "absent", "reason": None, "programs": [], "events": 0, "lost": 0, "positive_control": None, "cpu_s": None,
}  # fmt: skip


def process_start(pid: int) -> int | None:
    """Return the start time of ``pid`` in clock ticks since boot (proc(5), stat field 22), None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat[stat.rfind(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def read_registration(path: Path) -> dict[str, Any]:
    """Return what a process of the run told of itself ({command, pid, start}), empty where there is nothing whole."""
    entry = read_object(path)
    whole = all(is_whole(entry.get(key)) and entry[key] > 0 for key in ("pid", "start"))
    return entry if whole else {}


class RunDir:
    """One run's folder ``<state>/runs/<run_id>``; the spec in it is written once, at the start of the run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._spec: Specification | None = None
        self._anchor: clock.Anchor | None = None
        self._timeline: Writer | None = None
        #: Lines of the timeline that the disk has refused so far, oldest first.
        self._owed: list[dict[str, Any]] = []

    def file(self, name: str) -> Path:
        """Return the path of a file of the run."""
        return self.path / name

    @property
    def spec(self) -> Specification:
        """Return the run's specification. Raises ChaosError when the folder holds none, or a damaged one."""
        if self._spec is None:
            value = read_json(self.file("spec.json"))
            if not isinstance(value, dict):
                what = "damaged" if self.file("spec.json").exists() else "missing"
                raise ChaosError(
                    f"{self.path} holds no run: spec.json is {what}; was the run already collected?"
                )
            self._spec = Specification.read(value)
        return self._spec

    @property
    def known(self) -> dict[str, Any]:
        """Return the specification as far as there is one: empty where it is missing or damaged."""
        return read_object(self.file("spec.json"))

    @property
    def of_earlier_boot(self) -> bool:
        """Return whether the host was rebooted since the run was opened; False while that has no specification."""
        anchor = self.known.get("anchor")
        return isinstance(anchor, dict) and anchor.get("boot_id") != clock.boot_id()

    @property
    def slow(self) -> float:
        """Return by how much this run's host is slower than most; 1 while the folder holds no specification."""
        try:
            return max(1.0, as_number(self.known.get("slow_host") or 1, "slow_host"))
        except Wrong:
            return 1.0

    @property
    def anchor(self) -> clock.Anchor:
        """Return the pair of clock readings taken when the run was opened. Raises ChaosError when it is damaged."""
        if self._anchor is None:
            try:
                self._anchor = AnchorSpec.from_data(self.known.get("anchor"), "anchor").as_anchor()
            except Wrong as error:
                raise ChaosError(
                    f"{self.path} holds no run, or a damaged one: the clock readings in its spec.json are none."
                ) from error
        return self._anchor

    def keep_room(self) -> None:
        """Have room for what must be written though the disk fills up. Raises OSError when there is none."""
        keep_room(self.path)
        set_aside(self.file("timeline.jsonl"), TIMELINE_BYTES)
        set_aside(self.file("journal.jsonl"), JOURNAL_BYTES)

    def drop_working_files(self, *more: str) -> None:
        """Remove what only a run under way needs, and ``more`` files of it, as far as the disk lets us."""
        for name in (*WORKING_FILES, *more):
            path = self.file(name)
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def write_event(self, event: str, **fields: Any) -> Line:
        """Append one event to the timeline and return it as written. Raises ChaosError when the disk refuses."""
        line = {"t": fields.pop("t", None) or clock.read(), "event": event, **fields}
        try:
            self._append(line)
        except OSError as error:
            raise self._unwritable(error) from error
        return line

    def note(self, event: str, **fields: Any) -> None:
        """Append one event to the timeline as soon as the disk lets us: on the way to an undo nothing is refused.

        What could not be written is kept in memory and comes first when this process writes next; see :attr:`owed`.
        """
        line = {"t": fields.pop("t", None) or clock.read(), "event": event, **fields}
        try:
            self._append(line)
        except OSError:
            self._owed.append(line)

    def say(self, level: str, text: str, step: str = "") -> None:
        """Append a line for people as soon as the disk lets us; see :meth:`note`."""
        self.note(timeline.LOG, level=level, text=text, step=step)

    @property
    def owed(self) -> int:
        """Return how many lines of the timeline this process could not write so far."""
        return len(self._owed)

    def _append(self, line: Line) -> None:
        """Write what is owed, then the line; a full disk is given the room that was kept for that. Raises OSError."""
        lines = [*self._owed, line]
        try:
            self._write(lines)
        except OSError as error:
            if not give_room(self.path, error):
                raise
            self._write(lines)
        self._owed.clear()

    def _write(self, lines: list[Line]) -> None:
        if self._timeline is None:
            self._timeline = Writer(self.file("timeline.jsonl"))
        self._timeline.write(*lines)

    def log(self, level: str, text: str, step: str = "") -> Line:
        """Append a line for people (level: ok, warn, fail or info) to the timeline and return it."""
        if level not in LEVELS:
            raise ValueError(f"unknown level {level!r}")
        return self.write_event(timeline.LOG, level=level, text=text, step=step)

    def read_timeline(self) -> Timeline:
        """Return what has happened in the run so far."""
        return Timeline(timeline.well_formed(read_lines(self.file("timeline.jsonl"))))

    def read_capture(self) -> dict[str, Any]:
        """Return what the kernel capture said of itself; where there is no word of one, that there was none."""
        return {**NO_CAPTURE, **read_object(self.file("capture.json"))}

    def read_deadline(self) -> float:
        """Return the boottime at which the run ends by itself unless somebody renews it (0 if none was set)."""
        value = read_object(self.file("deadline.json")).get("t")
        return float(value) if is_instant(value) else 0.0

    def last_contact(self) -> dict[str, Any]:
        """Return which module of the controller's was the last here, and when: {of, at}; empty where nobody knows."""
        value = read_object(self.file("deadline.json")).get("contact")
        return value if isinstance(value, dict) and is_instant(value.get("at")) else {}

    def extend_deadline(self, seconds: float, *, latest: float | None = None, of: str = "") -> None:
        """Move the deadline to ``seconds`` from now, never nearer than it is, but not beyond boottime ``latest``.

        ``of``: which of the controller's modules came by; the last one's name and time are kept.
        """
        wanted = max(self.read_deadline(), clock.read() + seconds)
        contact = {"of": of, "at": clock.read()} if of else self.last_contact()
        try:
            until = wanted if latest is None else min(wanted, latest)
            write_json(self.file("deadline.json"), {"t": until, "contact": contact})
        except OSError as error:
            raise self._unwritable(error) from error

    def shorten_deadline(self, seconds: float, *, earliest: float) -> None:
        """Bring the deadline back to ``seconds`` from now, but not before boottime ``earliest``."""
        try:
            until = max(earliest, clock.read() + seconds)
            write_json(self.file("deadline.json"), {"t": until, "contact": self.last_contact()})
        except OSError as error:
            raise self._unwritable(error) from error

    def register_process(self, command: str, **fields: Any) -> None:
        """Tell who waits that this process does its work now; its pid and start time identify it for ever."""
        folder = self.file("processes")
        folder.mkdir(mode=0o700, exist_ok=True)
        pid = os.getpid()
        write_json(
            folder / f"{command}.json",
            {"command": command, "pid": pid, "start": process_start(pid), "ready_at": clock.read(), **fields},
        )

    def _unwritable(self, error: OSError) -> ChaosError:
        return ChaosError(
            f"The run's folder {self.path} cannot be written ({error.strerror}); free the disk first."
        )
