# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that are registries, also where Ansible carried only a part of this library to a host.

Ansible packs a module with what it finds by reading imports, so a folder whose modules are looked up by name comes
empty. The host runtime (``chaos.pyz``) holds every file: what is missing beside a module is taken from there.
"""

from __future__ import annotations

import hashlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from . import bounds, files

_LIBRARY = __name__.rsplit(".", 2)[0]
#: Where who has no home keeps runs; whoever was there first with that name is found out by its owner.
_TEMPORARY = "/var/tmp"  # noqa: S108  # nosec B108
#: The library's name inside the runtime.
_PACKAGE = "exchange_chaos"
#: Where each package of the collection that a host may need lies in there.
_ROOMS = {_LIBRARY: _PACKAGE, f"{_LIBRARY.rpartition('.')[0]}.modules": f"{_PACKAGE}/modules"}


class _Completion:
    """Finds modules of this library in the runtime; asked last, so that what came with a module goes before."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of this collection lies in the runtime, None for any other (importlib's protocol)."""
        package = fullname.rpartition(".")[0]
        if not any(f"{package}.".startswith(f"{room}.") for room in _ROOMS):
            return None
        return PathFinder.find_spec(fullname, [self.folder(package)])

    def folder(self, package: str) -> str:
        """Return the path of a package's folder in the runtime, as zipimport understands it."""
        room = next(each for each in _ROOMS if f"{package}.".startswith(f"{each}."))
        return "/".join([str(self._archive), _ROOMS[room], *package[len(room) + 1 :].split(".")]).rstrip("/")


_completions: dict[str, _Completion] = {}


def complete_from(archive: Path) -> None:
    """Find what is missing of this library in a host runtime from now on; a file that cannot be read gives nothing."""
    if _LIBRARY == _PACKAGE or str(archive) in _completions or not os.access(archive, os.R_OK):
        return
    _completions[str(archive)] = _Completion(archive)
    sys.meta_path.append(_completions[str(archive)])


def modules_in(package: ModuleType) -> list[str]:
    """Return the names of the modules of a package that is a registry, sorted: beside it and in the runtime."""
    folders = [one.folder(package.__name__) for one in _completions.values()]
    return sorted({found.name for found in pkgutil.iter_modules([*package.__path__, *folders])})


def default_root() -> Path:
    """Return the state folder of the present user: root's is the host's; one of their number's for who has no home."""
    if os.geteuid() == 0:
        return Path("/var/lib/exchange-chaos")
    base = files.find_base("XDG_STATE_HOME", ".local", "state")
    return base / "exchange-chaos" if base else Path(_TEMPORARY) / f"exchange-chaos-{os.geteuid()}"


def run_archive(run_id: str, state_dir: str | Path | None = None) -> Path:
    """Return the path of the runtime of a run, or of its record; of one that is there, if any is."""
    root, name = Path(state_dir or default_root()), Path(run_id).name
    under_way, ended = (root / kind / name / "chaos.pyz" for kind in ("runs", "records"))
    return ended if ended.exists() and not under_way.exists() else under_way


def refuse_archive(archive: Path, sha256: str) -> str:
    """Return why a host runtime is not the one whose SHA-256 is given, in words; "" when it is."""
    try:
        found = hashlib.sha256(files.read_regular(archive, largest=bounds.RUNTIME)).hexdigest()
    except OSError as error:
        return f"{archive} cannot be read ({error.strerror})"
    return "" if found == sha256 else f"{archive} is another runtime"
