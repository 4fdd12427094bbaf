# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away network namespaces with real links between them, and a client and a server that know nothing of ours.

A namespace is that of a sleeping process. ``target`` has a link of its own to ``peer`` and one to ``other``; both serve
TCP on every address. No tests.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

PORT, SECOND = 5432, 5433
PEER, PEER6, OTHER = "10.99.1.2", "fd99:1::2", "10.99.2.2"
TARGET, _TARGET6, _TARGET_OTHER = "10.99.1.1", "fd99:1::1", "10.99.2.1"

_SERVER = """
import select, socket, sys
listening = []
for port in map(int, sys.argv[1:]):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(50)
    listening.append(s)
print("ready", flush=True)
known = []
while True:
    for s in select.select(listening + known, [], [])[0]:
        if s in listening:
            known.append(s.accept()[0])
            continue
        try:
            data = s.recv(65536)
        except OSError:
            data = b""
        if data:
            s.sendall(data)
        else:
            known.remove(s)
            s.close()
"""
_CLIENT = """
import json, socket, sys, time
address, port, count, timeout, size = sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:6])
found = []
for _ in range(int(count)):
    began = time.perf_counter()
    try:
        with socket.create_connection((address, port), timeout=timeout) as s:
            found.append(1000 * (time.perf_counter() - began))
            if size:
                data = bytes(range(256)) * (int(size) // 256)
                s.sendall(data)
                back = b""
                while len(back) < len(data):
                    part = s.recv(65536)
                    if not part:
                        break
                    back += part
                assert back == data, "other bytes came back"
                found[-1] = 1000 * (time.perf_counter() - began)
    except OSError as error:
        found.append(None)
print(json.dumps(found))
"""


@dataclass
class Space:
    """A network namespace by the process that sleeps in it."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The process by whose number one gets in."""
        return self.process.pid

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program of this machine in the namespace and return what it printed."""
        argv = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def connects(
        self, address: str = PEER, port: int = PORT, *, count: int = 1, timeout: float = 1.0, size: int = 0
    ) -> list[float | None]:
        """Connect (and echo ``size`` bytes) one after the other; milliseconds each, None for one that failed."""
        words = (address, str(port), str(count), str(timeout), str(size))
        return list(json.loads(self.run(sys.executable, "-I", "-c", _CLIENT, *words)))

    def datagrams(self, address: str, count: int) -> None:
        """Send datagrams to a port where nobody listens; whoever gets them counts them all the same."""
        code = (
            "import socket, sys, time\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for _ in range(int(sys.argv[2])):\n"
            "    s.sendto(bytes(200), (sys.argv[1], 9)); time.sleep(0.001)\n"
        )
        self.run(sys.executable, "-I", "-c", code, address, str(count))

    def udp(self) -> dict[str, int]:
        """The namespace's own counters of UDP (proc_net_snmp): NoPorts, InCsumErrors and their like."""
        lines = [line.split() for line in self.run("cat", "/proc/net/snmp").splitlines()]
        names, values = (line for line in lines if line[0] == "Udp:")
        return dict(zip(names[1:], map(int, values[1:])))

    def middle(self, address: str = PEER, port: int = PORT, *, count: int = 9, timeout: float = 5.0) -> float:
        """The median of some connects in milliseconds; all must succeed."""
        found = self.connects(address, port, count=count, timeout=timeout)
        good = [one for one in found if one is not None]
        assert len(good) == len(found), found
        return median(good)


@dataclass
class Net:
    """The three namespaces."""

    target: Space
    peer: Space
    other: Space


def space() -> Space:
    """Make a namespace; its process must be ended by the caller."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "600"], text=True)
    here = subprocess.run(
        ["readlink", "/proc/self/ns/net"], capture_output=True, text=True, check=True
    ).stdout
    until = time.monotonic() + 10
    while time.monotonic() < until:
        link = ["readlink", f"/proc/{process.pid}/ns/net"]
        if subprocess.run(link, capture_output=True, text=True, check=False).stdout not in ("", here):
            return Space(process)
        time.sleep(0.01)
    raise AssertionError("no namespace came")


@contextlib.contextmanager
def net() -> Iterator[Net]:
    """Give the namespaces, linked and serving; nothing of them is left afterwards."""
    with contextlib.ExitStack() as stack:
        spaces = []
        for _ in range(3):
            made = space()
            stack.callback(_end, made.process)
            spaces.append(made)
            made.run("ip", "link", "set", "lo", "up")
        target, peer, other = spaces
        for name, far, addresses in (
            ("peer", peer, ((f"{TARGET}/24", f"{PEER}/24"), (f"{_TARGET6}/64", f"{PEER6}/64"))),
            ("other", other, ((f"{_TARGET_OTHER}/24", f"{OTHER}/24"),)),
        ):
            target.run(
                "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(far.pid)
            )
            for near, there in addresses:
                extra = ("nodad",) if ":" in near else ()
                target.run("ip", "addr", "add", near, "dev", name, *extra)
                far.run("ip", "addr", "add", there, "dev", "eth0", *extra)
            target.run("ip", "link", "set", name, "up")
            far.run("ip", "link", "set", "eth0", "up")
            stack.callback(_end, _serve(far))
        stack.callback(_end, _serve(target))
        yield Net(target, peer, other)


def _serve(where: Space) -> subprocess.Popen[str]:
    argv = ["nsenter", f"--net=/proc/{where.pid}/ns/net", sys.executable, "-I", "-c", _SERVER]
    made = subprocess.Popen([*argv, str(PORT), str(SECOND)], stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline().strip() == "ready"
    return made


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait(10)
