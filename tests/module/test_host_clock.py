# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The offset of a host's clock over real SSH: by Ansible's own connection, its port, its key, its open master."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import host_clock

SSHD = "/usr/sbin/sshd"
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (os.path.exists(SSHD) and shutil.which("ssh")), reason="needs sshd and ssh"),
    pytest.mark.timeout(60),
]
SHIFT = "import time\nreal = time.time\ntime.time = lambda: real() + 5\n"


@dataclass
class Remote:
    """An sshd of our own, and how Ansible reaches it."""

    port: int
    folder: Path

    def connection(self, **options: Any) -> Any:
        made = connection_loader.get("ssh", PlayContext(), os.devnull)
        made.set_options(
            direct={
                "host": "127.0.0.1",
                "port": self.port,
                "remote_user": "root",
                "private_key_file": str(self.folder / "key"),
                "control_path_dir": str(self.folder / "cp"),
                "ssh_args": "-o ControlMaster=auto -o ControlPersist=10s",
                "ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
                **options,
            }
        )
        made.host = "127.0.0.1"
        return made

    def action(self, **options: Any) -> Any:
        def refuse(command: str, sudoable: bool) -> dict[str, str]:
            raise AssertionError(f"{command} was asked by an ordinary command")

        return SimpleNamespace(
            _connection=self.connection(**options),
            _play_context=PlayContext(),
            _templar=SimpleNamespace(template=lambda value: value),
            _low_level_execute_command=refuse,
        )


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    folder = tmp_path.resolve()
    for name in ("key", "hostkey"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/hostkey\nAuthorizedKeysFile {folder}/key.pub\n"
        "PermitRootLogin yes\nStrictModes no\nPasswordAuthentication no\nPidFile none\nUsePAM no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Remote(port, folder)
    finally:
        daemon.terminate()
        daemon.wait()


def test_a_clock_seconds_off_is_measured_within_its_uncertainty(remote: Remote) -> None:
    fake = remote.folder / "fake"
    fake.mkdir()
    (fake / "sitecustomize.py").write_text(SHIFT)
    python = {"ansible_python_interpreter": f"/usr/bin/env PYTHONPATH={fake} {sys.executable}"}
    action = remote.action()
    # what Ansible's own first command leaves open is what the echo comes through
    assert action._connection.exec_command("true", sudoable=False)[0] == 0
    found = host_clock.measure_offset(action, python)
    print(found)
    assert found.offset_ms is not None, found.reason
    assert found.uncertainty_ms is not None
    assert abs(found.offset_ms - 5000) <= found.uncertainty_ms
    assert found.uncertainty_ms < 10, "half a round trip on this machine, not the start of a process"
    assert action._connection.exec_command("true", sudoable=False)[0] == 0, "the connection is as it was"


def test_any_python_will_do_where_ansible_knows_none_yet(remote: Remote) -> None:
    found = host_clock.measure_offset(remote.action(), {})
    assert found.offset_ms is not None, found.reason
    assert found.uncertainty_ms is not None
    assert abs(found.offset_ms) <= found.uncertainty_ms


def test_a_key_that_is_refused_ends_in_a_reason_and_asks_nobody(remote: Remote) -> None:
    stranger = remote.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    found = host_clock.measure_offset(
        remote.action(private_key_file=str(stranger), control_path_dir=str(remote.folder / "n")), {}
    )
    assert found.offset_ms is None
    assert "only 0 of" in found.reason
