# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host runtime as one file: complete, the same every time, and able to run on its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils import entry
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "exchange-chaos"


def test_it_holds_all_of_module_utils_and_the_bpf_programs(root: Path) -> None:
    with zipfile.ZipFile(runtime.build_archive()) as archive:
        names = set(archive.namelist())
    sources = {
        path.relative_to(root / "plugins" / "module_utils")
        for path in (root / "plugins" / "module_utils").rglob("*.py")
    }
    assert {f"exchange_chaos/{path}" for path in sources} <= names
    assert {
        f"exchange_chaos/bpf/source/{path.name}" for path in (root / "files" / "bpf").glob("*.c")
    } <= names
    assert not [name for name in names if "__pycache__" in name]


def test_equal_content_is_the_same_file_and_built_once(cache: Path) -> None:
    first = runtime.build_archive()
    data, changed = first.read_bytes(), first.stat().st_mtime_ns
    assert runtime.build_archive() == first
    assert first.stat().st_mtime_ns == changed
    first.unlink()
    assert runtime.build_archive().read_bytes() == data
    assert [path.name for path in cache.glob("*[!n]")] == [first.name]
    assert cache.stat().st_mode & 0o077 == 0


def test_other_content_is_another_file_and_the_one_before_is_not_taken_away_under_others(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(runtime, "_look_at_sources", lambda: runtime._SourceState("", settled=False))
    first = runtime.build_archive()
    files = runtime.read_content()
    monkeypatch.setattr(runtime, "read_content", lambda: {**files, "exchange_chaos/new.py": b"x = 1\n"})
    second = runtime.build_archive()
    assert second != first
    assert first.exists(), "another controller may be carrying it to its host this very moment"
    os.utime(first, (0, 0))
    monkeypatch.setattr(runtime, "read_content", lambda: {**files, "exchange_chaos/new.py": b"x = 2\n"})
    runtime.build_archive()
    assert not first.exists()


@pytest.fixture
def sources(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that a test may change."""
    for folder in ("plugins/module_utils/common", "plugins/modules", "files/bpf"):
        shutil.copytree(root / folder, tmp_path / folder)
    monkeypatch.setattr(runtime, "_PLUGINS", tmp_path / "plugins")
    return tmp_path / "plugins/module_utils/common/clock.py"


def test_the_sources_are_read_once_for_all_tasks_and_again_when_one_changed(
    cache: Path, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_SETTLED_NS", 0)
    read: list[int] = []
    real = runtime.read_content
    monkeypatch.setattr(runtime, "read_content", lambda: read.append(1) or real())
    first = runtime.find_archive()
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert (runtime.find_archive(), len(read)) == (first, 1)
    before, text = sources.stat(), sources.read_text()
    sources.write_text(text.replace("clock", "cl0ck", 1))
    os.utime(sources, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = runtime.find_archive()
    assert second.sha256 != first.sha256, "of the same size, and as old"
    assert len(read) == 2
    sources.unlink()
    assert runtime.find_archive() not in (first, second)
    second.path.unlink()
    sources.write_text(text)
    assert runtime.find_archive() == first


def test_sources_that_changed_just_now_are_read_each_time(cache: Path, sources: Path) -> None:
    runtime.find_archive()
    assert not list(cache.glob("*.known"))


@pytest.mark.parametrize(
    "noted", ["", "x", "../../etc/passwd 00", "a b c", "\xff\xfe", "nothing.pyz 00", "x" * 9999]
)
def test_a_note_that_is_none_is_written_anew(
    cache: Path, sources: Path, monkeypatch: pytest.MonkeyPatch, noted: str
) -> None:
    monkeypatch.setattr(runtime, "_SETTLED_NS", 0)
    built = runtime.find_archive()
    (note,) = cache.glob("*.known")
    note.write_text(noted)
    assert runtime.find_archive() == built
    assert note.read_text().split() == [built.path.name, built.sha256]


def test_it_runs_on_its_own_far_from_this_tree(tmp_path: Path) -> None:
    archive = runtime.build_archive()
    done = subprocess.run(
        [sys.executable, str(archive)], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    processes = [registry.describe_kind(kind).process for kind in registry.known_kinds()]
    of_kinds = {one.command: registry.process_module(one.command) for one in processes if one is not None}
    assert of_kinds
    assert not set(of_kinds) & set(entry.COMMANDS)
    for command, module in {**entry.COMMANDS, **of_kinds}.items():
        imports = f"import exchange_chaos.{module} as command; command.main"
        script = f"import sys; sys.path.insert(0, {str(archive)!r}); {imports}"
        done = subprocess.run(
            [sys.executable, "-I", "-c", script], capture_output=True, text=True, cwd="/", check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_an_unknown_command_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(runtime.build_archive()), "os", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "exchange-chaos"]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_what_others_may_write_to_is_no_cache(tmp_path: Path, cache: Path, mode: int) -> None:
    """Whatever lies there is run by root on every host."""
    planted = runtime.build_archive()
    assert planted.parent == cache
    planted.write_bytes(b"somebody's")
    cache.chmod(mode)
    built = runtime.build_archive()
    assert built.parent != cache
    assert zipfile.is_zipfile(built)
    assert built.parent.stat().st_mode & 0o077 == 0
    assert runtime.build_archive() == built, "once for all hosts of a play"


@pytest.mark.parametrize("home", ["", "/proc/self", "none"])
def test_a_controller_without_a_home_to_write_to_keeps_it_for_the_play(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: {"none": path}.get(home, home or "/proc"))
    assert zipfile.is_zipfile(runtime.build_archive())
