# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a project on this host, seen by everybody, whatever state folder and whatever user a run has.

A lock file is seen by who looks into that state folder. A name in the kernel's abstract namespace of unix sockets is
seen by every user of the host, and gone with the process that bound it (unix(7)): each watchdog of a run binds one
that names project, run and process, and who opens a run binds the project's own while it does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import ChaosError
from .folder import process_start

_PREFIX = "exchange-chaos"
_SOCKETS = Path("/proc/net/unix")


@dataclass(frozen=True)
class Claim:
    """A run that is looked after: by which process, of which user, in which folder."""

    run_id: str
    pid: int
    user: int
    folder: Path

    def describe(self) -> str:
        """Return who holds the project, in words."""
        return f"run {self.run_id} of user {self.user} in {self.folder.parent.parent}"


def hold_claim(project: str, run_id: str) -> socket.socket | None:
    """Bind a watchdog's name for its run; it is held as long as the socket is open. None where that can't be had."""
    try:
        return _bind(f"{_PREFIX}/{_short(project)}/{run_id}/{os.getpid()}")
    except OSError:
        return None


@contextlib.contextmanager
def claim_opening(project: str) -> Iterator[None]:
    """Be the only one on this host who opens a run of a project. Raises ChaosError when somebody else does or has."""
    try:
        held = _bind(f"{_PREFIX}/{_short(project)}")
    except OSError:
        raise ChaosError(
            f"Another run of project {project} is being opened on this host just now; wait for it, or end it with "
            "playbooks/halt.yml."
        ) from None
    with contextlib.closing(held):
        for claim in find_claims(project):
            raise ChaosError(
                f"Project {project} on this host is taken by {claim.describe()}; wait for it, or end it with "
                "playbooks/halt.yml."
            )
        yield


def is_any_being_opened() -> bool:
    """Return whether somebody opens a run on this host just now, of whatever project; True where that can't be seen."""
    names = _names()
    return names is None or any(name.count("/") == 1 for name in names)


def find_claims(project: str | None = None) -> list[Claim]:
    """Return the runs that are looked after on this host, of one project or of all, each once.

    Anybody may bind a name: only a process that runs a run's own runtime, and as the owner of the run's folder, counts.
    """
    wanted = f"@{_PREFIX}/{_short(project)}/" if project else f"@{_PREFIX}/"
    found: dict[Path, Claim] = {}
    for name in _names() or ():
        parts = name.split("/")
        if name.startswith(wanted) and len(parts) == 4 and parts[3].isascii() and parts[3].isdigit():
            claim = _verified(parts[2], int(parts[3][:9]))
            if claim is not None:
                found.setdefault(claim.folder, claim)
    return list(found.values())


def _verified(run_id: str, pid: int) -> Claim | None:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        user = Path(f"/proc/{pid}").stat().st_uid
        folder = Path(argv[3])
        whole = argv[1] == f"{folder}/chaos.pyz" and argv[2] == "watchdog" and folder.name == run_id
        # another user's folder may not be ours to look into; then the process's owner has to do
        with contextlib.suppress(PermissionError):
            whole = whole and folder.is_absolute() and folder.lstat().st_uid == user
    except (OSError, IndexError, ValueError):
        return None
    return Claim(run_id, pid, user, folder) if whole and process_start(pid) is not None else None


def _names() -> list[str] | None:
    """Return the names of ours that are bound on this host, None where they can't be read."""
    try:
        lines = _SOCKETS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    return [line.split()[-1] for line in lines if f"@{_PREFIX}/" in line]


def _short(project: str) -> str:
    """Return a project as part of a name, which is short and has no slash."""
    return hashlib.sha256(project.encode("utf-8", "replace")).hexdigest()[:16]


def _bind(name: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.bind(f"\0{name}")
    except OSError:
        made.close()
        raise
    return made
