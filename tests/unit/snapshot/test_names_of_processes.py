# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process may be called anything, no text at all; it is looked at like any other, and is ours only by its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import process_start
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import host

#: Sets its own name as prctl(2) would, and waits.
_NAMED = "open('/proc/self/comm', 'wb').write(bytes([255, 27, 41, 32])); print(flush=True); input()"


@pytest.fixture
def named() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose name is no UTF-8 and has a control character and a bracket in it."""
    command = [sys.executable, "-c", _NAMED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_name_that_is_no_text_is_looked_at(
    named: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process_start(named.pid)
    cgroup = Path(f"/proc/{named.pid}/cgroup").read_text()
    assert host.list_executables({cgroup.strip()[-1:]: "api"}) is not None

    def forbidden(_path: object) -> str:
        raise PermissionError

    monkeypatch.setattr(os, "readlink", forbidden)
    assert host._program(named.pid) == "\ufffd\ufffd)"


def tree(folder: Path, argv: list[bytes], exe: bytes = b"/bin/x", cgroup: bytes = b"0::/a\n") -> None:
    """A /proc with one process in it."""
    for process in (folder / "4711", folder / "self"):
        (process / "ns").mkdir(parents=True)
        (process / "ns" / "mnt").symlink_to("mnt:[1]")
    (folder / "4711" / "cmdline").write_bytes(b"\0".join(argv) + b"\0")
    (folder / "4711" / "cgroup").write_bytes(cgroup)
    (folder / "4711" / "environ").write_bytes(b"")
    (folder / "4711" / "cwd").symlink_to("/")
    os.symlink(exe, os.fsencode(folder / "4711" / "exe"))


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        ([b"python3", b"%s/chaos.pyz", b"load", b"%s"], True),
        ([b"python3", b"/home/anybody/chaos.pyz", b"load", b"%s"], False),
        ([b"python3", b"%s/chaos.pyz"], False),
        ([b"python3", b"%s/chaos.pyz", b"lo\xff\x1bad", b"%s"], True),
        ([b"\xff/chaos.pyz", b"\xff/chaos.pyz", b"\xff", b"\xff"], True),
    ],
)
def test_a_process_is_ours_by_the_folder_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[bytes], ours: bool
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    tree(tmp_path / "proc", [word.replace(b"%s", os.fsencode(run)) for word in argv])
    monkeypatch.setattr(host, "_PROC", tmp_path / "proc")
    found = host.our_processes(str(run))
    assert bool(found) == ours
    written = json.dumps(found, ensure_ascii=False)
    assert written.encode()
    assert "\x1b" not in written


def test_a_program_and_a_cgroup_of_any_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "proc", [b"x"], exe=b"/bin/\xff\x1b[2J", cgroup=b"0::/user/\xff/abc123\n")
    monkeypatch.setattr(host, "_PROC", tmp_path / "proc")
    (name,) = host.list_executables({"api": "abc123"})
    assert name == "api /bin/\ufffd\ufffd[2J"
