# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host runtime as one file: a zipapp of plugins/module_utils and the BPF programs, built the same every time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

_PLUGINS = Path(__file__).resolve().parents[2]
_PACKAGE = "exchange_chaos"
_MAIN = f"import sys\nfrom {_PACKAGE}.entry import main\nsys.exit(main(sys.argv))\n"
#: The earliest time a zip can hold; a fixed one makes equal content equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: An unused runtime is kept in the cache for a day.
_KEEP_S = 86400


def read_content() -> dict[str, bytes]:
    """Return every file of the runtime by its name in the archive."""
    sources = {
        f"{_PACKAGE}/{path.relative_to(_PLUGINS / 'module_utils').as_posix()}": path
        for path in (_PLUGINS / "module_utils").rglob("*.py")
    }
    programs = _PLUGINS.parent / "files" / "bpf"
    sources.update(
        {
            f"{_PACKAGE}/bpf/source/{path.relative_to(programs).as_posix()}": path
            for path in programs.rglob("*")
            if path.is_file()
        }
    )
    found = {name: path.read_bytes() for name, path in sources.items() if "__pycache__" not in name}
    found.setdefault(f"{_PACKAGE}/__init__.py", b"")
    found["__main__.py"] = _MAIN.encode()
    return dict(sorted(found.items()))


def carry_archive(action: Any) -> str:
    """Transfer the runtime for an action plugin's module; its path on the host, in Ansible's temporary folder there."""
    shell = action._connection._shell
    if not shell.tmpdir:  # a second would hide the first, which then stayed there
        action._make_tmp_path()
    path = str(shell.join_path(shell.tmpdir, "chaos.pyz"))
    action._transfer_file(str(build_archive()), path)
    action._fixup_perms2((shell.tmpdir, path))
    return path


def build_archive() -> Path:
    """Return the path of the runtime's file, made in the user's cache unless one of the same content is there."""
    files = read_content()
    digest = hashlib.sha256(
        b"".join(name.encode() + b"\0" + data for name, data in files.items())
    ).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exchange-chaos"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = cache / f"chaos-{digest[:16]}.pyz"
    if not path.exists():
        # others may be about to carry theirs to a host: only what is old goes
        for old in cache.glob("chaos-*.pyz"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _KEEP_S:
                    old.unlink()
        handle, temporary = tempfile.mkstemp(dir=cache, suffix=".new")
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
        os.replace(temporary, path)
    return path
