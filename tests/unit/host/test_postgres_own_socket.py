# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a server's own socket: found by its port, entered as whom it wants, and never another process's.

The server here is this very process, and what its cgroup is called stands for a container's id.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import netns
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import own_socket

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: another process's file system is entered"
)
PORT = 54399
OURS = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as made:
        Path(folder).chmod(0o755)  # for another user than root, too
        path = Path(folder) / f".s.PGSQL.{PORT}"
        made.bind(str(path))
        path.chmod(0o777)
        made.listen(1)
        yield made


def connect(path: str, **more: float) -> socket.socket:
    return own_socket.connect_inside(OURS, os.getpid(), path, **more)  # type: ignore[arg-type]


def test_the_socket_of_a_port_is_found_and_of_no_other(listening: socket.socket) -> None:
    assert own_socket.find_socket(os.getpid(), PORT) == listening.getsockname()
    assert own_socket.find_socket(os.getpid(), PORT + 1) == ""
    assert own_socket.find_socket(0, PORT) == ""
    assert own_socket.find_socket(2**22 + 1, PORT) == "", "there is no such process"


def test_a_connection_is_handed_over_open(listening: socket.socket) -> None:
    with connect(listening.getsockname()) as ours, listening.accept()[0] as theirs:
        theirs.sendall(b"ready")
        assert ours.recv(9) == b"ready"
        assert own_socket.read_owner(ours) == os.geteuid()
        assert not ours.get_inheritable(), "no program started later gets it"


def test_the_server_sees_the_user_that_it_wants(listening: socket.socket) -> None:
    with connect(listening.getsockname(), uid=65534), listening.accept()[0] as theirs:
        seen = struct.unpack("3i", theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert seen[1] == 65534
    assert os.geteuid() == 0, "this process stays who it is"


def test_a_process_of_another_container_is_left_alone(listening: socket.socket) -> None:
    with pytest.raises(OSError, match="is not of container 0123456789ab"):
        own_socket.connect_inside("0123456789abcdef", os.getpid(), listening.getsockname())


def test_nobody_is_nobody(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        connect(str(tmp_path / "none"))


def test_a_full_queue_keeps_nobody_longer_than_he_likes(listening: socket.socket) -> None:
    waiting = [connect(listening.getsockname()) for _ in range(2)]
    begun = time.monotonic()
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        connect(listening.getsockname(), within=0.3)
    assert 0.2 < time.monotonic() - begun < 3
    for one in waiting:
        one.close()


def test_over_tcp_this_hosts_own_network_is_never_entered() -> None:
    """Nor is that of a process that is not the container's."""
    with pytest.raises(OSError, match="lives in this host's own network namespace") as refused:
        own_socket.connect_over_tcp(OURS, os.getpid(), ["127.0.0.1"], PORT)
    assert "nothing was done" in str(refused.value)
    with subprocess.Popen(["unshare", "--net", "sleep", "30"]) as other:
        try:
            until = time.monotonic() + 5
            while netns.read_netns_number(other.pid) == netns.read_netns_number(os.getpid()):
                assert time.monotonic() < until
                time.sleep(0.01)
            with pytest.raises(OSError, match=f"process {other.pid} is not of container {'f' * 12}"):
                own_socket.connect_over_tcp("f" * 64, other.pid, ["127.0.0.1"], PORT)
            with pytest.raises(OSError, match=r"unreachable|refused"):
                own_socket.connect_over_tcp(OURS, other.pid, ["127.0.0.1"], PORT)
        finally:
            other.kill()
