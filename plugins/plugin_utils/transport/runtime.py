# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host runtime as one file: a zipapp of what runs on a host, built the same every time.

It holds plugins/module_utils, plugins/modules and the BPF programs. Beside each source lies what this Python compiled
it to (PEP 552, unchecked): a host with the same bytecode need not compile anything, any other takes the sources.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import marshal
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from .cache import find_cache

_PLUGINS = Path(__file__).resolve().parents[2]
_PACKAGE = "exchange_chaos"
_MAIN = f"import sys\nfrom {_PACKAGE}.entry import main\nsys.exit(main(sys.argv))\n"
#: The earliest time a zip can hold; a fixed one makes equal content equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: The flags of bytecode that goes by a hash which nobody checks (PEP 552), little-endian.
_UNCHECKED = (1).to_bytes(4, "little")
#: An unused runtime is kept in the cache for a day.
_KEEP_S = 86400


def read_content() -> dict[str, bytes]:
    """Return every file of the runtime by its name in the archive, without what is compiled."""
    library, modules, programs = (
        _PLUGINS / "module_utils",
        _PLUGINS / "modules",
        _PLUGINS.parent / "files" / "bpf",
    )
    sources = {
        f"{_PACKAGE}/{room}{path.relative_to(folder).as_posix()}": path
        for folder, pattern, room in (
            (library, "*.py", ""), (modules, "*.py", "modules/"), (programs, "*", "bpf/source/"),
        )
        for path in folder.rglob(pattern)
        if path.is_file()
    }  # fmt: skip
    found = {name: path.read_bytes() for name, path in sources.items() if "__pycache__" not in name}
    for package in ("", "modules/"):
        found.setdefault(f"{_PACKAGE}/{package}__init__.py", b"")
    found["__main__.py"] = _MAIN.encode()
    return dict(sorted(found.items()))


def compile_content(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bytecode of each source by its name in the archive, where zipimport looks before it compiles.

    It carries the source's hash and is taken unchecked (PEP 552): what lies beside it is what it was made of.
    """
    found = {}
    for name, source in files.items():
        if name.endswith(".py"):
            code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
            head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
            found[f"{name}c"] = head + code
    return found


def carry_archive(action: Any) -> str:
    """Transfer the runtime for an action plugin's module; its path on the host, in Ansible's temporary folder there."""
    shell = action._connection._shell
    if not shell.tmpdir:  # a second would hide the first, which then stayed there
        action._make_tmp_path()
    path = str(shell.join_path(shell.tmpdir, "chaos.pyz"))
    action._transfer_file(str(build_archive()), path)
    action._fixup_perms2((shell.tmpdir, path))
    return path


def carry_if_possible(action: Any) -> str:
    """Do the same where a host that takes no file, its disk full, must be dealt with all the same; "" there."""
    try:
        return carry_archive(action)
    except AnsibleError:
        return ""


def build_archive() -> Path:
    """Return the path of the runtime's file, made in the user's cache unless one of the same content is there."""
    files = read_content()
    digest = hashlib.sha256(
        b"".join(name.encode() + b"\0" + data for name, data in files.items())
    ).hexdigest()
    cache = find_cache()
    path = cache / f"chaos-{digest[:16]}-{sys.implementation.cache_tag}.pyz"
    if not path.exists():
        # others may be about to carry theirs to a host: only what is old goes
        for old in cache.glob("chaos-*.pyz"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _KEEP_S:
                    old.unlink()
        handle, temporary = tempfile.mkstemp(dir=cache, suffix=".new")
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted({**files, **compile_content(files)}.items()):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
        os.replace(temporary, path)
    return path


@functools.cache
def hash_archive(path: Path) -> str:
    """Return the SHA-256 of a runtime's file, in hexadecimal; its name tells its content, so it is read once."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
