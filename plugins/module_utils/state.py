# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where runs live on a host, and who may run: the state folder, the lock on a project, finished records.

Everything of ours on a host lies under one root: ``runs/`` (under way), ``locks/``, ``records/`` (finished,
not yet collected).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import clock
from .errors import ChaosError
from .rundir import RunDir, process_start, read_json, write_json

#: A run that no module call renews for so long is ended on the host.
LEASE_S = 20.0
#: A finished record waits at most this long, and all of them take at most this much room.
RECORD_DAYS = 7
RECORD_BYTES = 64 * 1024 * 1024
_RUN_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,80}$")


def default_root() -> Path:
    """Return the state folder of the present user: root's is the host's."""
    if os.geteuid() == 0:
        return Path("/var/lib/exchange-chaos")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "exchange-chaos"


@dataclass(frozen=True)
class Lock:
    """Who holds a project: the run, its owner and the second (epoch) it began."""

    project: str
    run_id: str
    owner: str
    since: float

    def describe(self) -> str:
        """Return owner and age in words."""
        return f"run {self.run_id} of {self.owner}, {time.time() - self.since:.0f} s old"


class State:
    """The state folder; nothing is created before the first run needs it."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root else default_root()

    def run(self, run_id: str) -> RunDir:
        """Return the folder of a run, whether it exists or not. Raises ChaosError on a name that is none of ours."""
        return RunDir(self.root / "runs" / self._named(run_id))

    def record(self, run_id: str) -> RunDir:
        """Return the folder of a finished run."""
        return RunDir(self.root / "records" / self._named(run_id))

    def runs(self) -> list[RunDir]:
        """Return all runs that have not ended, oldest first."""
        return [RunDir(path) for path in _folders(self.root / "runs")]

    def records(self) -> list[RunDir]:
        """Return all finished runs that nobody has collected, oldest first."""
        return [RunDir(path) for path in _folders(self.root / "records")]

    def create(self, run_id: str) -> RunDir:
        """Make the folder of a new run (0700). Raises ChaosError when it exists or the disk refuses."""
        run = self.run(run_id)
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "runs").mkdir(mode=0o700, exist_ok=True)
            run.path.mkdir(mode=0o700)
        except OSError as error:
            raise ChaosError(
                f"The run's folder {run.path} cannot be made on the host ({error.strerror}); free or allow it first."
            ) from error
        return run

    def lock(self, project: str, run_id: str, owner: str) -> None:
        """Take the project for a run. Raises ChaosError naming the holder when it is taken."""
        folder = self.root / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = folder / f".{run_id}"
        write_json(claim, {"project": project, "run_id": run_id, "owner": owner, "since": time.time()})
        try:
            os.link(claim, folder / f"{project}.json")
        except FileExistsError:
            held = self.holder(project)
            who = held.describe() if held else "another run"
            raise ChaosError(
                f"Project {project} on this host is taken by {who}; wait for it, or end it with playbooks/halt.yml."
            ) from None
        finally:
            claim.unlink()

    def holder(self, project: str) -> Lock | None:
        """Return who holds the project, None when nobody does."""
        value = read_json(self.root / "locks" / f"{project}.json")
        return Lock(**value) if value else None

    def unlock(self, project: str, run_id: str) -> None:
        """Give the project free if this run holds it."""
        held = self.holder(project)
        if held and held.run_id == run_id:
            (self.root / "locks" / f"{project}.json").unlink(missing_ok=True)

    def finish(self, run: RunDir) -> RunDir:
        """Move an ended run to the records and give its project free; working files are dropped."""
        target = self.record(run.path.name)
        target.path.parent.mkdir(mode=0o700, exist_ok=True)
        project = str(run.spec["project"])
        for name in ("chaos.pyz", "deadline.json", "watchdog.lock", "journal.lock", "processes", "headers"):
            _remove(run.file(name))
        run.path.rename(target.path)
        self.unlock(project, target.path.name)
        self.tidy()
        return target

    def discard(self, run: RunDir) -> None:
        """Remove a run or record for good."""
        _remove(run.path)
        self.tidy()

    def tidy(self) -> None:
        """Drop records past their time or room, and empty folders; an unused state folder vanishes."""
        kept = 0
        for record in reversed(self.records()):
            size = sum(path.stat().st_size for path in record.path.rglob("*") if path.is_file())
            kept += size
            if kept > RECORD_BYTES or time.time() - record.path.stat().st_mtime > RECORD_DAYS * 86400:
                _remove(record.path)
        for folder in (self.root / "runs", self.root / "locks", self.root / "records", self.root):
            try:
                folder.rmdir()
            except OSError:
                continue

    @staticmethod
    def _named(run_id: str) -> str:
        if not _RUN_ID.match(run_id):
            raise ChaosError(
                f"{run_id!r} is no run id: small letters, digits and dashes are, such as exp-01-20261123-180000."
            )
        return run_id


def open_run(run_id: str, state_dir: str | Path | None = None) -> RunDir:
    """Return a run that is under way and renew it: somebody still works on it.

    Raises ChaosError when this host has none of that id.
    """
    run = State(state_dir).run(run_id)
    if not run.file("spec.json").exists():
        raise ChaosError(f"No run {run_id} is under way on this host (looked in {run.path}).")
    run.renew(LEASE_S)
    return run


def processes(run: RunDir) -> dict[str, dict[str, Any]]:
    """Return what each process of the run told of itself, by command, with ``alive`` looked up now."""
    found = {}
    for path in sorted(run.file("processes").glob("*.json")):
        entry = read_json(path)
        if entry:
            found[path.stem] = {**entry, "alive": process_start(int(entry["pid"])) == entry["start"]}
    return found


def abandoned(run: RunDir) -> bool:
    """True when nobody looks after a run any more: another boot, or its watchdogs are dead."""
    if run.anchor.boot_id != clock.boot_id():
        return True
    alive = processes(run)
    return not any(alive[name]["alive"] for name in ("watchdog", "standby") if name in alive)


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(
            (path for path in parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
    except OSError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
