# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where runs live on a host, and who may run: the state folder, the lock on a project, finished records.

Everything of ours on a host lies under one root: ``runs/`` (under way), ``locks/``, ``records/`` (finished,
not yet collected).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ..common import archive, clock
from ..common.errors import ChaosError
from ..common.files import refuse_folder
from ..common.json_files import read_object, write_json
from . import lease
from .folder import RunDir

#: A finished record waits at most this long, and all of them take at most this much room.
RECORD_DAYS = 7
RECORD_BYTES = 64 * 1024 * 1024
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")


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


class StateDir:
    """The state folder; nothing is created before the first run needs it."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root else archive.default_root()

    def require_ours(self) -> None:
        """Raise ChaosError unless this folder, and every one above it, is ours or root's and writable by no other.

        What lies in it is believed, and run: whoever else could write there would be us. Folders that are not there
        yet are ours once made.
        """
        why = refuse_folder(self.root)
        if why:
            raise ChaosError(
                f"The state folder {self.root} is not safe for user {os.geteuid()}: {why}; "
                "set chaos_state_dir to a folder that only this user and root can write to."
            )

    def run_dir(self, run_id: str) -> RunDir:
        """Return the folder of a run, whether it exists or not. Raises ChaosError on a name that is none of ours."""
        return RunDir(self.root / "runs" / self._named(run_id))

    def record_dir(self, run_id: str) -> RunDir:
        """Return the folder of a finished run."""
        return RunDir(self.root / "records" / self._named(run_id))

    def list_runs(self) -> list[RunDir]:
        """Return all runs that have not ended, oldest first."""
        return [RunDir(path) for path in _folders(self.root / "runs")]

    def list_records(self) -> list[RunDir]:
        """Return all finished runs that nobody has collected, oldest first."""
        return [RunDir(path) for path in _folders(self.root / "records")]

    def knows_run(self, run_id: str) -> bool:
        """Return whether there is anything of a run, under way or ended; of a name that is none there is nothing."""
        named = _RUN_ID.fullmatch(run_id) is not None
        return named and any((self.root / kind / run_id).exists() for kind in ("runs", "records"))

    def create_run_dir(self, run_id: str) -> RunDir:
        """Make the folder of a new run (0700). Raises ChaosError when it exists or the disk refuses."""
        self.require_ours()
        run = self.run_dir(run_id)
        if self.record_dir(run_id).path.exists():
            raise ChaosError(
                f"A finished run {run_id} still waits on this host; collect it, or take another run id."
            )
        try:
            self._folder("runs")
            run.path.mkdir(mode=0o700)
        except OSError as error:
            raise ChaosError(
                f"The run's folder {run.path} cannot be made on the host ({error.strerror}); free or allow it first."
            ) from error
        return run

    def lock_project(self, project: str, run_id: str, owner: str) -> None:
        """Take the project for a run. Raises ChaosError naming the holder, or when the disk refuses."""
        claim = self.root / "locks" / f".{self._named(run_id)}"
        self.require_ours()
        try:
            self._folder("locks")
            write_json(claim, {"project": project, "run_id": run_id, "owner": owner, "since": time.time()})
            os.link(claim, claim.with_name(f"{project}.json"))
        except FileExistsError:
            held = self.lock_holder(project)
            who = held.describe() if held else "another run"
            raise ChaosError(
                f"Project {project} on this host is taken by {who}; wait for it, or end it with playbooks/halt.yml."
            ) from None
        except OSError as error:
            raise ChaosError(
                f"The lock of project {project} cannot be made under {self.root} ({error.strerror})."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                claim.unlink()

    def lock_holder(self, project: str) -> Lock | None:
        """Return who holds the project, None when nobody does."""
        value = read_object(self.root / "locks" / f"{project}.json")
        try:
            run_id, since = self._named(str(value["run_id"])), float(value["since"])
            return Lock(str(value["project"]), run_id, str(value["owner"]), since)
        except (KeyError, TypeError, ValueError, ChaosError):
            return None

    def left_locks(self) -> list[Lock]:
        """Return the locks whose run is not there: its opening died half-way, or it may still come."""
        found = []
        for path in (self.root / "locks").glob("*.json"):
            held = self.lock_holder(path.stem) or Lock(path.stem, "unknown", "somebody", path.stat().st_mtime)
            there = held.run_id != "unknown" and self.run_dir(held.run_id).path.exists()
            if not there:
                found.append(held)
        return found

    def half_locks(self) -> list[Path]:
        """Return the locks that were not written to their end: by who died, or by who is at it."""
        return [path for path in (self.root / "locks").glob(".*") if path.is_file()]

    def unlock_project(self, project: str, run_id: str) -> None:
        """Give the project free if this run holds it, or nobody that could be named."""
        held = self.lock_holder(project)
        if held is None or held.run_id == run_id:
            (self.root / "locks" / f"{project}.json").unlink(missing_ok=True)

    def keep_record(self, run: RunDir) -> RunDir:
        """Move an ended run to the records and give its project free; working files are dropped."""
        target = self.record_dir(run.path.name)
        try:
            self._folder("records")
            run.path.rename(target.path)
        except OSError as error:
            raise ChaosError(
                f"Every fault of run {run.path.name} is undone, but it cannot be moved to {target.path.parent} "
                f"({error.strerror})."
            ) from error
        target.drop_working_files()
        self._unlock_all(target.path.name)
        with contextlib.suppress(OSError):
            self.tidy_up()
        return target

    def _unlock_all(self, run_id: str) -> None:
        """Give free whatever an ended run holds, though its own specification may be damaged."""
        for path in (self.root / "locks").glob("*.json"):
            if read_object(path).get("run_id") == run_id:
                with contextlib.suppress(OSError):
                    path.unlink()

    def discard_run(self, run: RunDir) -> None:
        """Remove a run or record for good."""
        _remove(run.path)
        self.tidy_up()

    def tidy_up(self) -> None:
        """Drop records past their time or room, and empty folders; an unused state folder vanishes.

        The newest stays whatever its size: it is about to be collected.
        """
        kept = 0
        for place, record in enumerate(reversed(self.list_records())):
            kept += sum(path.stat().st_size for path in record.path.rglob("*") if path.is_file())
            crowded = place > 0 and kept > RECORD_BYTES
            if crowded or time.time() - record.path.stat().st_mtime > RECORD_DAYS * 86400:
                _remove(record.path)
        for folder in (self.root / "runs", self.root / "locks", self.root / "records", self.root):
            try:
                folder.rmdir()
            except OSError:
                continue

    def _folder(self, name: str) -> None:
        """Make a folder of the state folder, and that one; root's own."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root / name).mkdir(mode=0o700, exist_ok=True)

    @staticmethod
    def _named(run_id: str) -> str:
        if not _RUN_ID.fullmatch(run_id):
            raise ChaosError(
                f"{run_id!r} is no run id: small letters, digits and dashes are, such as exp-01-20261123-180000."
            )
        return run_id


def attach_run(run_id: str, state_dir: str | Path | None = None, *, of: str = "a module") -> RunDir:
    """Return a run that is under way and renew it: somebody still works on it, ``of`` says who.

    Raises ChaosError when this host has none of that id.
    """
    state = StateDir(state_dir)
    run = state.run_dir(run_id)
    state.require_ours()
    if not run.file("spec.json").exists():
        raise ChaosError(f"No run {run_id} is under way on this host (looked in {run.path}).")
    archive.complete_from(run.file("chaos.pyz"))
    clock.resume_count(run.anchor)
    lease.renew_on_contact(run, of)
    return run


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(
            (path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()),
            key=lambda path: path.stat().st_mtime,
        )
    except OSError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
