# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private libraries of a prepared host, and how our code finds them.

``setup-hosts.yml`` lays the third-party libraries in a virtual environment of our own, so that the system's Python is
left alone. Modules run under whatever Python Ansible chose, and the host's processes under the same one: what they
need is not that environment's interpreter but its packages. :func:`make_importable` puts those in front of the module
search path, so that what was set up is what is used, whatever the system has besides. Without that folder nothing
happens.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

#: Where a prepared host keeps what is ours; role ``host`` has the same (a unit test compares).
FOLDER = Path("/usr/local/lib/exchange-chaos")
ENVIRONMENT = "venv"


def locate_packages(folder: Path = FOLDER, version: tuple[int, ...] = sys.version_info[:2]) -> Path:
    """Return the folder of the environment's packages for a Python version; another version's are not ours."""
    return folder / ENVIRONMENT / "lib" / f"python{version[0]}.{version[1]}" / "site-packages"


def is_trusted(path: Path, top: Path, owner: int = 0) -> bool:
    """Return whether ``path`` and its parents up to ``top`` are folders of ``owner`` that no other may write to.

    Modules run as root and import from there: a folder that somebody else can write to would make that somebody root.
    """
    for folder in (path, *path.parents):
        try:
            found = os.lstat(folder)
        except OSError:
            return False
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o022:
            return False
        if folder == top:
            return True
    return False


def make_importable(folder: Path = FOLDER, owner: int = 0) -> bool:
    """Make the private libraries importable; returns whether there are any for this Python."""
    path = locate_packages(folder)
    if not is_trusted(path, folder, owner):
        return False
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    return True


def explain_missing(what: str) -> str:
    """Return the sentence for a library that this Python lacks, ``what`` being its name for people."""
    return f"{what} is missing on this host for {sys.executable or 'this Python'}; playbooks/setup-hosts.yml brings it."
