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
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from ..common.jsonl import Writer, read_lines
from .folder import RunDir


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
        try:
            fd = os.open(str(self._run.file("journal.lock")), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ChaosError(f"The journal {self._path} cannot be locked ({error.strerror}).") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def entries(self) -> list[Entry]:
        """Return all entries in the order they were planned."""
        found: dict[int, dict[str, Any]] = {}
        for line in read_lines(self._path):
            entry = found.setdefault(line["seq"], {"seq": line["seq"]})
            if line["entry"] == "planned":
                keys = ("fault", "kind", "target", "plan", "undo", "expires")
                entry.update({key: line[key] for key in keys}, planned_at=line["t"])
            elif line["entry"] == "applied":
                entry.update(applied_at=line["t"], facts=line.get("facts", {}))
            elif line["entry"] == "undone":
                entry.update(undone_at=line["t"], undone_by=line["by"], how=line["how"])
        return [Entry(**entry) for entry in found.values() if "plan" in entry]

    def open_entries(self) -> list[Entry]:
        """Return what is not undone, newest first: the order in which to undo."""
        return [entry for entry in reversed(self.entries()) if entry.open]

    def write_planned(
        self, fault: str, kind: str, target: str, plan: Sequence[str], undo: dict[str, Any], ttl: float
    ) -> Entry:
        """Write a planned change; on disk when this returns. Raises ChaosError when the disk refuses: no fault then."""
        entries = self.entries()
        seq = entries[-1].seq + 1 if entries else 1
        at = clock.now()
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
        """Write that the change is gone: ``by`` whom (module, watchdog, halt, …) and ``how``."""
        self._write(entry.seq, "undone", at or clock.now(), fault=entry.fault, by=by, how=how)

    def _write(self, seq: int, step: str, at: float, **fields: Any) -> None:
        try:
            writer = Writer(self._path, sync=True)
            try:
                writer.write({"t": at, "seq": seq, "entry": step, **fields})
            finally:
                writer.close()
        except OSError as error:
            consequence = (
                "nothing was changed"
                if step == "planned"
                else f"it does not say yet that {fields['fault']} was {step}"
            )
            raise ChaosError(
                f"The journal {self._path} cannot be written ({error.strerror}), so {consequence}; free the disk first."
            ) from error
