# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a run: every change and its undo, as typed data on disk before the change is made.

An entry goes ``planned`` → ``applied`` → ``undone``. What is planned but not undone is open, whether or not it
was ever applied: who undoes it looks at the host, not at our belief. The undo is data, never a command:
its ``kind`` names the fault in :mod:`.faults` that knows how.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ..common import bounds, clock
from ..common.disk_room import give_room
from ..common.errors import ChaosError
from ..common.files import read_regular
from ..common.jsonl import Writer, parse_lines, read_lines
from ..common.shapes import Line, is_number, is_whole
from .folder import RunDir

#: What this process undid on a disk that refused to hear of it: by journal and by number of the entry.
_UNWRITTEN: dict[str, dict[int, dict[str, Any]]] = {}


@dataclass(frozen=True)
class Entry:
    """One fault as journaled. ``expires`` is the boottime at which the host undoes it, whatever happens."""

    seq: int
    fault: str
    kind: str
    target: str
    plan: Sequence[str]
    undo: dict[str, Any]
    expires: float
    planned_at: float
    applied_at: float | None = None
    undone_at: float | None = None
    undone_by: str | None = None
    how: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """True until the undo was seen to hold."""
        return self.undone_at is None


class Journal:
    """The journal file of one run."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._path = run.file("journal.jsonl")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the journal: one process plans, applies or undoes at a time (flock(2), freed by the kernel)."""
        fd = self._lock_file()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _lock_file(self) -> int:
        """Open what is locked: a file of its own, on a disk that refuses one the journal itself. Raises ChaosError."""
        try:
            # whatever lies there: a FIFO or a link keeps nobody from an undo
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(str(self._run.file("journal.lock")), flags, 0o600)
        except OSError as error:
            try:
                return os.open(str(self._path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                raise ChaosError(f"The journal {self._path} cannot be locked ({error.strerror}).") from error

    def entries(self) -> list[Entry]:
        """Return all entries in the order they were planned, without what is damaged: see :meth:`damaged`."""
        found: dict[int, dict[str, Any]] = {}
        for line in filter(_is_line, read_lines(self._path)):
            entry = found.setdefault(line["seq"], {"seq": line["seq"]})
            if line["entry"] == "planned":
                keys = ("fault", "kind", "target", "plan", "undo", "expires")
                entry.update({key: line[key] for key in keys}, planned_at=line["t"])
            elif line["entry"] == "applied":
                entry.update(applied_at=line["t"], facts=line.get("facts") or {})
            elif line["entry"] == "undone":
                entry.update(undone_at=line["t"], undone_by=line.get("by"), how=line.get("how"))
        gone = self._gone
        return [Entry(**{**entry, **gone.get(seq, {})}) for seq, entry in found.items() if "plan" in entry]

    def damaged(self) -> list[str]:
        """Return the lines of the journal that cannot be understood, cut to what a note shows."""
        try:
            data = read_regular(self._path, largest=bounds.DOCUMENT)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"all of it: {error.strerror}"]
        # a torn last line was never journaled: nothing was changed after it
        lines = data[: data.rfind(b"\n") + 1].split(b"\n")
        damaged = [line for line in lines if line.strip() and not any(map(_is_line, parse_lines(line)))]
        return [bounds.fit_line(line, 120) for line in damaged]

    def open_entries(self) -> list[Entry]:
        """Return what is not undone, newest first: the order in which to undo."""
        return [entry for entry in reversed(self.entries()) if entry.open]

    def write_planned(
        self, fault: str, kind: str, target: str, plan: Sequence[str], undo: dict[str, Any], ttl: float
    ) -> Entry:
        """Write a planned change; on disk when this returns. Raises ChaosError when the disk refuses: no fault then."""
        entries = self.entries()
        seq = entries[-1].seq + 1 if entries else 1
        at = clock.read()
        entry = Entry(seq, fault, kind, target, list(plan), undo, at + ttl, at)
        self._write(
            seq,
            "planned",
            at,
            fault=fault,
            kind=kind,
            target=target,
            plan=list(plan),
            undo=undo,
            expires=entry.expires,
        )
        return entry

    def write_applied(self, entry: Entry, at: float, **facts: Any) -> None:
        """Write that the change was made at boottime ``at``, with what is known of it now."""
        self._write(entry.seq, "applied", at, fault=entry.fault, facts=facts)

    def write_undone(self, entry: Entry, by: str, how: str, at: float | None = None) -> None:
        """Write that the change is gone: ``by`` whom (module, watchdog, halt, …) and ``how``.

        Raises ChaosError when the disk refuses; this process knows it all the same, and undoes nothing twice.
        """
        at = at or clock.read()
        self._gone[entry.seq] = {"undone_at": at, "undone_by": by, "how": how}
        self._write(entry.seq, "undone", at, fault=entry.fault, by=by, how=how)
        del self._gone[entry.seq]

    @property
    def _gone(self) -> dict[int, Line]:
        """What this process has undone and could not write, by number; kept with the run, not with this object."""
        return _UNWRITTEN.setdefault(str(self._path), {})

    def write_owed(self) -> None:
        """Write what was undone and could not be written then, as far as the disk lets us now."""
        for entry in self.entries():
            gone = self._gone.get(entry.seq)
            if gone:
                with suppress(ChaosError):
                    self.write_undone(
                        entry, str(gone["undone_by"]), str(gone["how"]), float(gone["undone_at"])
                    )

    def _append(self, line: Line) -> None:
        writer = Writer(self._path, sync=True)
        try:
            writer.write(line)
        finally:
            writer.close()

    def _write(self, seq: int, step: str, at: float, **fields: Any) -> None:
        line = {"t": at, "seq": seq, "entry": step, **fields}
        try:
            try:
                self._append(line)
            except OSError as error:
                # no fault is begun on the room that is kept for its undo
                if step == "planned" or not give_room(self._run.path, error):
                    raise
                self._append(line)
        except OSError as error:
            consequence = (
                "nothing was changed"
                if step == "planned"
                else f"it does not say yet that {fields['fault']} was {step}"
            )
            raise ChaosError(
                f"The journal {self._path} cannot be written ({error.strerror}), so {consequence}; free the disk first."
            ) from error


def _is_line(line: Line) -> bool:
    """Return whether a line of the journal can be understood."""
    if not (is_number(line.get("t")) and is_whole(line.get("seq"))):
        return False
    if line.get("entry") != "planned":
        return line.get("entry") in ("applied", "undone")
    texts = all(isinstance(line.get(key), str) for key in ("fault", "kind", "target"))
    shapes = isinstance(line.get("plan"), list) and isinstance(line.get("undo"), dict)
    return texts and shapes and is_number(line.get("expires"))
