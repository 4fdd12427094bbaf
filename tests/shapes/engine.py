# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A further Docker engine of this machine, which maps its containers' users to others (``userns-remap``). No tests.

It has folders, a socket and a containerd of its own, and leaves the packet filter alone: that is the first engine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.module.lab_stack import docker

#: Root in a container is this user of the machine, and so on upwards.
FIRST, USERS = 300000, 65536
_NAME = "shape"
#: The bridge of its only network; packets between two containers there go through the first engine's filter.
BRIDGE = "xc-shapes"
#: One for containers without a network of their own, which it must have: an engine that is to do without any
#: (``--bridge none``) takes docker0 away, which is the first engine's.
_OWN_BRIDGE = "xc-shapes-own"
#: What the account is known by, seen by the engine alone: the files lie over the machine's in its mount namespace.
_ACCOUNT = {
    "subuid": f"{_NAME}:{FIRST}:{USERS}\n",
    "subgid": f"{_NAME}:{FIRST}:{USERS}\n",
    "passwd": f"{_NAME}:x:{FIRST - 1}:{FIRST - 1}::/:/usr/sbin/nologin\n",
    "group": f"{_NAME}:x:{FIRST - 1}:\n",
}
_PASS = ("FORWARD", "--in-interface", BRIDGE, "--out-interface", BRIDGE, "--jump", "ACCEPT")


@contextlib.contextmanager
def remapped_engine(image: str) -> Iterator[None]:
    """Have ``docker``, and whatever asks an engine, ask such an engine, which has the image; nothing stays of it."""
    if not os.access("/etc/subuid", os.F_OK) or shutil.which("dockerd") is None:
        pytest.skip("there is no dockerd here, or no /etc/subuid to lay another over")
    folder = Path(tempfile.mkdtemp(prefix="shape-"))  # a socket's path must be short
    folder.chmod(0o755)
    socket = f"unix://{folder}/engine.sock"
    subprocess.run(["ip", "link", "add", _OWN_BRIDGE, "type", "bridge"], check=True, capture_output=True)
    process = _start(folder, socket)
    try:
        _wait_up(process, socket, folder)
        packed = folder / "image.tar"
        docker("save", "--output", str(packed), image)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", socket)
            docker("load", "--input", str(packed))
            packed.unlink()
            with _packets_pass():
                yield
    finally:
        process.terminate()
        process.wait(30)
        for bridge in (BRIDGE, _OWN_BRIDGE):
            subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
        shutil.rmtree(folder)


def _start(folder: Path, socket: str) -> subprocess.Popen[bytes]:
    for name, line in _ACCOUNT.items():
        (folder / name).write_text(Path("/etc", name).read_text() + line)
    (folder / "engine.json").write_text("{}")
    mounts = "".join(f"mount --bind {folder}/{name} /etc/{name} && " for name in _ACCOUNT)
    command = (
        f"{mounts}exec dockerd --userns-remap {_NAME} --host {socket} --config-file {folder}/engine.json "
        f"--data-root {folder}/data --exec-root {folder}/run --pidfile {folder}/pid --bridge {_OWN_BRIDGE} "
        "--iptables=false --ip6tables=false"
    )
    with (folder / "engine.log").open("wb") as log:
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def _wait_up(process: subprocess.Popen[bytes], socket: str, folder: Path) -> None:
    until = time.monotonic() + 30
    asked = ["docker", "--host", socket, "version"]
    while subprocess.run(asked, capture_output=True, check=False).returncode:
        said = (folder / "engine.log").read_text()[-2000:]
        assert process.poll() is None, said
        assert time.monotonic() < until, said
        time.sleep(0.2)


@contextlib.contextmanager
def _packets_pass() -> Iterator[None]:
    """Let packets pass between the containers of the network."""
    subprocess.run(["iptables", "--insert", *_PASS], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "--delete", *_PASS], check=True, capture_output=True)
