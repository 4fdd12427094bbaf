# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that are registries, also where Ansible carried only a part of this library to a host.

Ansible packs a module with what it finds by reading imports, so a folder whose modules are looked up by name comes
empty. The host runtime (``chaos.pyz``) holds every file: what is missing beside a module is taken from there.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_LIBRARY = __name__.rsplit(".", 2)[0]
#: The library's name inside the runtime.
_PACKAGE = "exchange_chaos"


class _Completion:
    """Finds modules of this library in the runtime; asked last, so that what came with a module goes before."""

    def __init__(self, archive: Path) -> None:
        self._root = f"{archive}/{_PACKAGE}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of this library lies in the runtime, None for any other (importlib's protocol)."""
        if not fullname.startswith(f"{_LIBRARY}."):
            return None
        return PathFinder.find_spec(fullname, [self.folder(fullname.rpartition(".")[0])])

    def folder(self, package: str) -> str:
        """Return the path of a package's folder in the runtime, as zipimport understands it."""
        return "/".join([self._root, *package[len(_LIBRARY) + 1 :].split(".")]).rstrip("/")


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
