# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a run on its host: lock, folder, runtime, specification, snapshot, watchdogs, in an order losing nothing."""

from __future__ import annotations

import getpass
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from ..common import bounds, clock
from ..common.errors import ChaosError
from ..common.json_files import write_json
from ..common.shapes import Arguments
from ..exchange import database
from ..run import claims, lease, processes, timeline
from ..run.folder import RunDir
from ..run.results import Lines
from ..run.specification import AnchorSpec, Specification
from ..run.state_dir import StateDir
from ..snapshot import snapshot


def create_run(
    state: StateDir,
    run_id: str,
    spec: Specification,
    runtime: Path,
    lines: Lines,
    secrets: Arguments | None = None,
) -> RunDir:
    """Make the run: everything is undone again when a step fails.

    ``spec`` is checked and resolved; ``runtime`` is the zipapp as carried to this host. Raises ChaosError when the
    project is taken, by whatever user and in whatever state folder. ``secrets``, its passwords, are kept apart.
    """
    with claims.claim_opening(spec.project):
        return _create(state, run_id, spec, runtime, lines, secrets or {})


def _create(
    state: StateDir, run_id: str, spec: Specification, runtime: Path, lines: Lines, secrets: Arguments
) -> RunDir:
    state.lock_project(spec.project, run_id, _owner())
    run = None
    try:
        run = state.create_run_dir(run_id)
        run.keep_room()
        shutil.copyfile(runtime, run.file("chaos.pyz"))
        if any(secrets.values()):
            write_json(run.file(database.SECRETS), secrets, sync=True)
        spec = replace(spec, anchor=AnchorSpec(**asdict(clock.take_anchor())), run_id=run_id)
        write_json(run.file("spec.json"), spec.to_data(), sync=True)
        run.write_event(timeline.OPENED, said=[line["text"] for line in lines.lines])
        lease.renew_lease(run, lease.LEASE_S, of="module run")
        taken = snapshot.take_snapshot(run)
        write_json(run.file("snapshot-before.json"), taken, sync=True)
        for what, reason in sorted(taken["unchecked"].items()):
            run.log("warn", f"{what} can't be compared after the run: {reason}", "preflight")
        run.log(
            "ok",
            f"Snapshot taken: {sum(len(part) for part in taken.values())} facts to find again",
            "preflight",
        )
        processes.start_processes(run, "watchdog", "events")
    except BaseException as error:
        if run is not None:
            processes.stop_watchdogs(run)
            processes.stop_observers(run)
            state.discard_run(run)
        state.unlock_project(spec.project, run_id)
        state.tidy_up()
        if isinstance(error, OSError):
            raise ChaosError(
                f"The run's folder under {state.root} cannot be written ({error.strerror})."
            ) from error
        raise
    return run


def _owner() -> str:
    """Return who runs this, as the environment and the host's users have it; a number where neither knows a name."""
    try:
        login = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError, ImportError):
        login = ""
    return bounds.fit_line(login, 64) or f"user {os.geteuid()}"
