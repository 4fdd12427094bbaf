# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a snapshot that lie in /proc and /sys/fs/cgroup. Sources: proc(5), cgroups(7)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..common import bounds

#: The label of the host's own namespaces; containers have their service and number.
HOST = "host"
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_LISTEN = "0A"
#: Limit files by controller, cgroup v1; those of v2 lie together in one folder.
_V1 = {
    "memory": (
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.soft_limit_in_bytes",
        "memory.swappiness",
    ),
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"),
    "blkio": (
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_iops_device",
    ),
    "pids": ("pids.max",),
    "cpuset": ("cpuset.cpus",),
    "freezer": ("freezer.state",),
}
_V2 = (
    "memory.max", "memory.high", "memory.min", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight", "io.max",
    "pids.max", "cpuset.cpus", "cgroup.freeze",
)  # fmt: skip
#: Docker's resolver in a container listens on a port the kernel picks anew at each start.
_RESOLVER = "127.0.0.11"


def cgroup_limits(pids: Mapping[str, int]) -> dict[str, str]:
    """Return each limit file's text by ``<label> <file>`` for the cgroups of the given processes."""
    found = {}
    for label, pid in pids.items():
        for path in _limit_files(pid):
            try:
                found[f"{label} {path.name}"] = " ".join(path.read_text().split())
            except FileNotFoundError:
                continue
    return found


def _limit_files(pid: int) -> Iterator[Path]:
    for line in (_PROC / str(pid) / "cgroup").read_text(errors="replace").splitlines():
        _id, controllers, path = line.split(":", 2)
        if not controllers:
            for root in (_CGROUP, _CGROUP / "unified"):
                yield from (root / path.lstrip("/") / name for name in _V2)
        for controller in controllers.split(","):
            yield from (_CGROUP / controller / path.lstrip("/") / name for name in _V1.get(controller, ()))


def list_executables(containers: Mapping[str, str]) -> dict[str, str]:
    """Return the programs that run in each container: ``<label> <path>`` → how it was found.

    The path is read without following it; where this user may not read it, the process's name stands in.
    """
    labels = {container_id: label for label, container_id in containers.items()}
    found = {}
    for pid in _pids():
        try:
            cgroup = (_PROC / str(pid) / "cgroup").read_text(errors="replace")
            owner = next((label for container_id, label in labels.items() if container_id in cgroup), None)
            if owner is not None:
                found[f"{owner} {_program(pid)}"] = "runs"
        except OSError:
            continue
    return found


def _program(pid: int) -> str:
    try:
        return bounds.clean(os.fsencode(os.readlink(_PROC / str(pid) / "exe")))
    except PermissionError:
        return bounds.clean((_PROC / str(pid) / "comm").read_bytes()).strip()


def our_processes(run: str) -> dict[str, str]:
    """Return processes of our runtime that should not be there: this run's observers, and those of runs long gone.

    Its own watchdogs, and whoever takes this snapshot, live on until it is judged; a run of another project may
    rightly be under way.
    """
    found = {}
    for pid in _pids():
        try:
            argv = [bounds.clean(word) for word in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")]
            owner = (_PROC / str(pid)).stat().st_uid
        except OSError:
            continue
        if pid == os.getpid() or owner != os.geteuid() or _elsewhere(pid):
            continue
        # anybody may call a program chaos.pyz: ours lies in the folder of the run that it is for
        ours = len(argv) >= 4 and argv[1] == f"{argv[3]}/chaos.pyz"
        if ours and (
            not os.path.isdir(argv[3]) or (argv[3] == run and argv[2] not in ("watchdog", "finish"))
        ):
            found[f"{argv[2]} {argv[3]}"] = f"pid {pid}"
        elif not ours and _born_under(pid, run):
            found[f"{_program(pid)} of {run}"] = f"pid {pid}"
    return found


def _born_under(pid: int, run: str) -> bool:
    """Whether a program of others was started by a process of the run: it works in its folder, or carries its mark."""
    with contextlib.suppress(OSError):
        place = os.readlink(_PROC / str(pid) / "cwd")
        if f"{place}/".startswith(f"{run}/"):
            return True
        mark = f"EXCHANGE_CHAOS_RUN={run}".encode()
        return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return False


def _elsewhere(pid: int) -> bool:
    """Whether the process sees other mounts than we do: then it is a container's, and its paths are not this host's."""
    try:
        return os.readlink(_PROC / str(pid) / "ns" / "mnt") != os.readlink(_PROC / "self" / "ns" / "mnt")
    except OSError:
        return False


def list_listeners(pids: Mapping[str, int], foreign: Collection[tuple[str, int]] = ()) -> dict[str, str]:
    """Return TCP listeners of each namespace as ``<label> <address>:<port>``.

    On the host the range of ephemeral ports is left out, and the ``foreign`` (address, port) that other projects'
    containers publish: both come and go without us.
    """
    low, high = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = {}
    for label, pid in pids.items():
        for name in ("tcp", "tcp6"):
            for address, port in _listening(_PROC / str(pid) / "net" / name):
                passing = label == HOST and (low <= port <= high or (address, port) in foreign)
                if address != _RESOLVER and not passing:
                    found[f"{label} {address}:{port}"] = name
    return found


def _listening(table: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except FileNotFoundError:
        return
    for line in lines:
        local, state = line.split()[1], line.split()[3]
        if state == _LISTEN:
            address, port = local.split(":")
            yield _address(address), int(port, 16)


def _address(text: str) -> str:
    """Turn the kernel's hexadecimal words, each in host byte order, into an address."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(packed))


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
