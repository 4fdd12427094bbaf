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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ...module_utils.common.files import read_regular
from .cache import find_cache

_PLUGINS = Path(__file__).resolve().parents[2]
_PACKAGE = "exchange_chaos"
_MAIN = f"import sys\nfrom {_PACKAGE}.entry import main\nsys.exit(main(sys.argv))\n"
#: The earliest time a zip can hold; a fixed one makes equal content equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: The flags of bytecode that goes by a hash which nobody checks (PEP 552), little-endian.
_UNCHECKED = (1).to_bytes(4, "little")
#: A file system's clock is coarser than a second nowhere; bytes of a note on an archive.
_SETTLED_NS, _NOTE = 2_000_000_000, 512
#: An unused runtime is kept in the cache for a day.
_KEEP_S = 86400


@dataclass(frozen=True)
class Archive:
    """The runtime's file and its SHA-256, in hexadecimal."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class _SourceState:
    """The sources by their inodes; not ``settled``: one changed so lately that it could change again unseen."""

    digest: str
    settled: bool


def read_content() -> dict[str, bytes]:
    """Return every file of the runtime by its name in the archive, without what is compiled."""
    found = {name: Path(entry.path).read_bytes() for name, entry in _list_sources()}
    for package in ("", "modules/"):
        found.setdefault(f"{_PACKAGE}/{package}__init__.py", b"")
    found["__main__.py"] = _MAIN.encode()
    return dict(sorted(found.items()))


def _list_sources() -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the sources of the runtime by their names in the archive."""
    for folder, suffix, room in (
        (_PLUGINS / "module_utils", ".py", ""),
        (_PLUGINS / "modules", ".py", "modules/"),
        (_PLUGINS.parent / "files" / "bpf", "", "bpf/source/"),
    ):
        for name, entry in _list_files(str(folder)):
            if name.endswith(suffix):
                yield f"{_PACKAGE}/{room}{name}", entry


def _list_files(folder: str, above: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir():
                yield f"{above}{entry.name}", entry
            elif entry.name != "__pycache__":
                yield from _list_files(entry.path, f"{above}{entry.name}/")


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
    return find_archive().path


def find_archive() -> Archive:
    """Return the runtime's file and its SHA-256; made, and read, only where a source is another than it was.

    Each task asks, in a process of its own: what the sources' inodes tell is noted in the cache, beside the archive.
    """
    cache, seen = find_cache(), _look_at_sources()
    note = cache / f"chaos-{seen.digest}.known" if seen.settled else None
    with contextlib.suppress(OSError, ValueError):
        if note is not None:
            name, sha256 = read_regular(note, largest=_NOTE).decode("ascii").split()
            known = Archive(cache / Path(name).name, sha256)
            if known.path.exists():
                return known
    path = _build_archive(cache)
    built = Archive(path, hash_archive(path))
    if note is not None:
        with contextlib.suppress(OSError):
            _replace_file(note, f"{path.name} {built.sha256}\n".encode("ascii"))
    return built


def _look_at_sources() -> _SourceState:
    """Return what tells the sources from any others without reading them."""
    found, newest = [sys.implementation.cache_tag], 0
    for name, entry in _list_sources():
        of = entry.stat()
        found.append(f"{name}\0{of.st_mtime_ns}\0{of.st_ctime_ns}\0{of.st_size}\0{of.st_dev}:{of.st_ino}")
        newest = max(newest, of.st_mtime_ns, of.st_ctime_ns)
    digest = hashlib.sha256("\n".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest()
    return _SourceState(digest[:32], time.time_ns() - newest > _SETTLED_NS)


def _replace_file(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".new")
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.replace(temporary, path)


def _build_archive(cache: Path) -> Path:
    files = read_content()
    digest = hashlib.sha256(
        b"".join(name.encode() + b"\0" + data for name, data in files.items())
    ).hexdigest()
    path = cache / f"chaos-{digest[:16]}-{sys.implementation.cache_tag}.pyz"
    if not path.exists():
        # others may be about to carry theirs to a host: only what is old goes
        for old in (*cache.glob("chaos-*.pyz"), *cache.glob("chaos-*.known")):
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
