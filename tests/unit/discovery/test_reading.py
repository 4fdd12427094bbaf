# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts are read of processes and sockets as /proc has them, from a tree of its kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.discovery import reading
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.facts import (
    Connection,
    Listener,
    ServedSession,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container, DockerEngine

from tests.unit import containers

HEAD = "  sl  local_address rem_address st queue when retrnsmt uid timeout inode\n"


class Engine:
    """An engine that knows some containers."""

    def __init__(self, *known: Container) -> None:
        self._known = list(known)

    def containers(self, _project: str) -> list[Container]:
        return self._known


def socket_line(local: str, remote: str, state: str, inode: int) -> str:
    """Return a line of the kernel's table."""
    return f"   0: {local} {remote} {state} 0:0 0:0 0 0 0 {inode} 1\n"


def process(
    proc: Path, pid: int, parent: int, name: str, *inodes: int, title: str = "", table: str = ""
) -> None:
    """Write a process with open sockets into a tree like /proc."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "net").mkdir()
    (folder / "stat").write_text(f"{pid} (a) name) S {parent} 1 1")
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_text(title)
    (folder / "net" / "tcp").write_text(HEAD + table)
    for at, inode in enumerate(inodes):
        os.symlink(f"socket:[{inode}]", folder / "fd" / str(at))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(reading, "APART_S", 0.0)


@pytest.mark.usefixtures("quick")
def test_a_database_and_who_is_connected(tmp_path: Path) -> None:
    table = (
        socket_line("00000000:1538", "00000000:0000", "0A", 11)
        + socket_line("0B00007F:9999", "00000000:0000", "0A", 12)
        + socket_line("0300" + "12AC:1538", "050012AC:83D2", "01", 13)
        + socket_line("030012AC:1538", "060012AC:83D3", "06", 0)
        + socket_line("030012AC:9000", "070012AC:18EB", "01", 99)
    )
    process(tmp_path, 4711, 1, "tini", table=table)
    process(tmp_path, 4712, 4711, "postgres", 11)
    process(tmp_path, 4713, 4712, "postgres", 13, title="postgres: app_user app_db 172.18.0.5(33746) idle\0")
    process(tmp_path, 5000, 1, "redis-server", 99)
    one = containers.target(
        Config={"Labels": {}, "Env": ["POSTGRES_PASSWORD=S3cr3t-canary"], "Image": "postgres:16"}
    )
    (found,) = reading.read_project(cast(DockerEngine, Engine(one)), "lab", tmp_path).containers
    assert found.listeners == [Listener(5432, "0.0.0.0", "postgres")]
    assert list(found.processes) == ["tini", "postgres"]
    assert set(found.connections) == {
        Connection("172.18.0.5", 5432, incoming=True),
        Connection("172.18.0.6", 5432, incoming=True, ended=True),
    }
    assert list(found.sessions) == [ServedSession("app_user", "app_db", "172.18.0.5")]
    assert "S3cr3t-canary" not in repr(found)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("state", [{}, {"Running": False, "Pid": 0, "Status": "exited"}])
def test_what_cannot_be_read_is_left_out(tmp_path: Path, state: dict[str, Any]) -> None:
    one = containers.target(state=state)
    (found,) = reading.read_project(cast(DockerEngine, Engine(one)), "lab", tmp_path).containers
    assert (list(found.listeners), list(found.connections)) == ([], [])
    assert found.running is not bool(state)
