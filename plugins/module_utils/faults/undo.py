# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoing what the journal holds, by whoever comes first: a module, the watchdog, halt, the next preflight."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from ..common import clock
from ..common.errors import ChaosError
from ..host.docker_engine import DockerEngine
from ..run import timeline
from ..run.folder import RunDir, process_start
from ..run.journal import Entry, Journal
from .contract import Fault, Proof, Scene
from .proving import note_proof, with_untried
from .registry import by_kind

_TRIES, _PAUSE_S = 5, 0.2


def undo(
    run: RunDir, *, by: str, wanted: Callable[[Entry], bool] = lambda entry: True, step: str = "fault"
) -> list[str]:
    """Undo the open entries that are ``wanted``, newest first; each is closed only once its undo was seen to hold.

    Returns a line per entry. Raises ChaosError from the first that cannot be undone, after trying the rest.
    """
    journal = Journal(run)
    lines: list[str] = []
    failure: Exception | None = None
    with journal.lock():
        journal.write_owed()
        entries = [entry for entry in journal.open_entries() if wanted(entry)]
        if not entries:
            return []
        scene = Scene(run, DockerEngine.connect_for(run))
        for entry in entries:
            try:
                fault = by_kind(entry.kind)
                # a reboot ended it, when nobody looked; what the kernel counts now began after that
                read = [] if run.of_earlier_boot else _in_force(fault, entry, scene)
                proofs = with_untried(read, fault.KIND, clock.read(), at_end=True) if _held(entry) else read
                at = clock.read()
                how = _undo_entry(fault, entry, scene)
            except Exception as error:
                failure = failure or error
                continue
            # only now is anything written, and what the disk refuses is kept in mind: the fault is gone all the same
            with contextlib.suppress(ChaosError):
                journal.write_undone(entry, by, how, at)
            for proof in proofs:
                note_proof(run, entry.fault, proof, fault.KIND, end_of_window=True)
            run.note(timeline.FAULT_UNDONE, fault=entry.fault, t=at, by=by, how=how)
            if not run.read_timeline().recovered(entry.fault):
                run.note(timeline.PHASE, id=f"{entry.fault}_recovery", fault=entry.fault, t=at)
            lines.append(f"Fault {entry.fault} undone by {by}: {how}")
    for line in lines:
        run.say("ok", line, step)
    if failure is not None:
        raise failure
    return lines


def _undo_entry(fault: Fault, entry: Entry, scene: Scene) -> str:
    """Undo one entry and say how. A target that goes meanwhile is looked up again: then it is undone by replacement.

    Raises ChaosError when the fault resists though all its targets run.
    """
    for _attempt in range(_TRIES - 1):
        try:
            return fault.undo(entry, scene)
        except ChaosError:
            clock.sleep(_PAUSE_S)
            if not _is_changing(entry, scene):
                raise
    return fault.undo(entry, scene)


def _is_changing(entry: Entry, scene: Scene) -> bool:
    """Return whether a container of an entry is gone, ended, or another one than it was when the fault was planned."""
    named = [*(entry.undo.get("containers") or []), entry.undo.get("target"), entry.undo.get("id")]
    known = [one if isinstance(one, dict) else {"id": one} for one in named if one]
    with contextlib.suppress(Exception):
        for one in known:
            container = scene.engine.inspect(str(one.get("id")))
            if container is None or process_start(container.pid) is None:
                return True
            if container.pid != one.get("pid", container.pid):
                return True
    return False


def _in_force(fault: Fault, entry: Entry, scene: Scene) -> Sequence[Proof]:
    """Read the proof at the end of the window; a fault that can't be read is undone all the same."""
    try:
        return fault.in_force(entry, scene)
    except Exception:
        return []


def _held(entry: Entry) -> bool:
    """True for a fault that was applied and meant to stay until its undo: there is something to prove at its end."""
    return bool(entry.undo.get("held")) and entry.applied_at is not None


def is_overdue(entry: Entry) -> bool:
    """True when an entry's time to live is over."""
    return clock.read() >= entry.expires
