# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and end the run's own long-lived processes; each is known by pid *and* start time, so none else is hit."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from ..common import clock
from ..common.errors import ChaosError
from . import timeline
from .folder import RunDir, process_start, read_registration

#: The observers of a run, by the command that starts each, in the order in which they are ended: the load first, so
#: that what it brings about is still seen, and the engine's events last.
OBSERVERS = ("load", "probes", "capture", "interference", "events")
#: The two that keep a run, by the names they register under; both are started by the command ``watchdog``.
WATCHDOGS = ("watchdog", "standby")
#: A process that says nothing for so long after its start will not (s).
_READY_S = 15.0


def start_process(
    run: RunDir,
    command: str,
    *,
    python: str | None = None,
    timeout: float = _READY_S,
    name: str | None = None,
) -> dict[str, Any]:
    """Start ``python chaos.pyz <command> <run>`` detached and wait until it says it is ready.

    The process has its own session and no descriptor of ours. ``name`` is the name it registers under when
    that differs from the command. Returns its registration; if one is alive already, that one's.
    Raises ChaosError with the process's own last words when it ends or stays silent for ``timeout`` seconds
    (on a slow host so many times longer).
    """
    known = living_process(run, name or command)
    if known:
        return known
    return _await_ready(run, command, launch_process(run, command, python=python), timeout, name or command)


def start_processes(run: RunDir, *commands: str) -> None:
    """Start those commands that are not alive, side by side, and wait until all are ready; raises as the one above."""
    begun = [(name, launch_process(run, name)) for name in commands if not living_process(run, name)]
    for name, child in begun:
        _await_ready(run, name, child, _READY_S, name)


def _await_ready(
    run: RunDir, command: str, child: subprocess.Popen[bytes], timeout: float, name: str
) -> dict[str, Any]:
    timeout *= run.slow
    until = clock.read() + timeout
    while clock.read() < until:
        entry = read_registration(run.file("processes") / f"{name}.json")
        if entry and entry["pid"] == child.pid:
            return dict(entry)
        if child.poll() is not None:
            break
        time.sleep(0.02)
    words = _last_words(run, command)
    if child.poll() is None:
        child.kill()
        child.wait()
        raise ChaosError(f"The {command} process was not ready after {timeout:.0f} s and was ended: {words}")
    raise ChaosError(f"The {command} process ended at once with code {child.returncode}: {words}")


def launch_process(run: RunDir, command: str, *, python: str | None = None) -> subprocess.Popen[bytes]:
    """Start a command of the runtime detached, without waiting for it; its stderr goes to ``<command>.err``."""
    log = os.open(
        str(run.file(f"{command}.err")), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        return subprocess.Popen(
            [python or sys.executable, str(run.file("chaos.pyz")), command, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            # whatever it starts in its turn is known by the mark
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "EXCHANGE_CHAOS_RUN": str(run.path)},
            start_new_session=True,
        )
    finally:
        os.close(log)


def living_process(run: RunDir, name: str) -> dict[str, Any] | None:
    """Return the registration of a living process of the run, None when there is none."""
    entry = read_registration(run.file("processes") / f"{name}.json")
    if entry and process_start(int(entry["pid"])) == entry["start"]:
        return dict(entry)
    return None


def stop_process(run: RunDir, name: str, timeout: float = 10.0) -> bool:
    """End one process of the run: SIGTERM, and SIGKILL after ``timeout`` seconds. Returns whether one was alive."""
    return bool(_stop_together(run, [name], timeout))


def stop_observers(run: RunDir) -> None:
    """End every observer that lives: the load first, those that see what it brings about together, the events last."""
    first, *between, last = OBSERVERS
    for group in ([first], between, [last]):
        _stop_together(run, group)


def stop_watchdogs(run: RunDir) -> None:
    """End both watchdogs together, and again should one have started the other meanwhile; never the caller itself."""
    run.note(timeline.WATCHDOGS_STOPPED)
    for _ in WATCHDOGS:
        _stop_together(run, WATCHDOGS)


def _stop_together(run: RunDir, names: Iterable[str], timeout: float = 10.0) -> int:
    """End those processes of the run that live and are not the caller; returns how many there were.

    All hear of it before one is waited for: SIGTERM, and SIGKILL after ``timeout`` seconds.
    """
    entries = {name: living_process(run, name) for name in names}
    alive = {
        name: int(entry["pid"]) for name, entry in entries.items() if entry and entry["pid"] != os.getpid()
    }
    for name in alive:
        # said before it is done: whoever watches the processes must not take this end for a death; a full disk, which
        # cannot be told anything, must not keep alive what holds a fault
        run.note(timeline.OBSERVER_STOPPED, command=name)
    with contextlib.ExitStack() as opened:
        ends = [end for pid in alive.values() for end in [_signal_process(pid, opened)] if end is not None]
        until = clock.read() + timeout
        for end in ends:
            if not select.select([end], [], [], max(0.0, until - clock.read()))[0]:
                signal.pidfd_send_signal(end, signal.SIGKILL)
                select.select([end], [], [], 5.0)
    return len(alive)


def _signal_process(pid: int, opened: contextlib.ExitStack) -> int | None:
    """Send SIGTERM through a pidfd (pidfd_open(2)), so that a recycled pid cannot be hit; None when it has ended."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    opened.callback(os.close, end)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(end, signal.SIGTERM)
    return end


def _last_words(run: RunDir, command: str) -> str:
    try:
        lines = run.file(f"{command}.err").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
