# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a run looked after? What its processes told of themselves, and whether they still live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from . import claims
from .folder import RunDir, process_start, read_registration
from .processes import WATCHDOGS

#: A run being opened has its folder, its specification and its watchdogs within this time (s).
BEGINNING_S = 60.0


def registered_processes(run: RunDir) -> dict[str, dict[str, Any]]:
    """Return what each process of the run told of itself, by command, with ``alive`` looked up now."""
    found = {}
    for path in sorted(run.file("processes").glob("*.json")):
        entry = read_registration(path)
        if entry:
            found[path.stem] = {**entry, "alive": process_start(int(entry["pid"])) == entry["start"]}
    return found


def lost_watchdogs(run: RunDir) -> bool:
    """True when a run has lost its watchdogs: another boot, or both are dead. One being opened has none to lose yet."""
    keepers = _keepers(run)
    return run.of_earlier_boot or (bool(keepers) and not any(keepers))


def is_abandoned(run: RunDir) -> bool:
    """True when nobody looks after a run any more: it lost its watchdogs, or its opening died before it had any."""
    keepers = _keepers(run)
    return run.of_earlier_boot or (
        not any(keepers) if keepers else not may_be_beginning(_age(run.file("spec.json")))
    )


def may_be_beginning(age: float) -> bool:
    """Return whether something of this age (s) may belong to a run that is being opened.

    Who opens a run holds a name meanwhile, which goes with the process: without one nobody does. One that anybody
    bound and kept is believed no longer than an opening takes.
    """
    return age < BEGINNING_S and claims.is_any_being_opened()


def _keepers(run: RunDir) -> list[bool]:
    """Whether each watchdog that a run has had is alive; empty while it has none yet."""
    return [entry["alive"] for name, entry in registered_processes(run).items() if name in WATCHDOGS]


def _age(path: Path) -> float:
    """Return the age of a file, s; what is not there is old."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")
