# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of /proc and /sys/fs/cgroup as hosts of both versions have them, with one container of 64 digits. No tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.unit.containers import target

#: As recorded: Debian 12 with cgroup v1 mounted by hand, and with systemd and cgroup v2.
_V1_FILES = {
    "cpu": {
        "cpu.cfs_quota_us": "100000\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 612\nnr_throttled 7\nthrottled_time 2500000000\nnr_bursts 0\nburst_time 0\n",
    },
    "cpuacct": {"cpuacct.usage": "31250000000\n"},
    "memory": {
        "memory.limit_in_bytes": "268435456\n",
        "memory.memsw.limit_in_bytes": "536870912\n",
        "memory.usage_in_bytes": "36663296\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        "memory.stat": "cache 1024\nrss 24000000\ntotal_rss 24000000\n",
    },
    "freezer": {"freezer.state": "THAWED\n"},
    "blkio": {
        "blkio.throttle.write_bps_device": "8:16 1048576\n",
        "blkio.throttle.read_bps_device": "",
        "blkio.throttle.io_service_bytes": (
            "254:0 Read 4096\n254:0 Write 65536\n254:0 Sync 65536\n254:0 Total 69632\nTotal 69632\n"
        ),
    },
}
_V2_FILES = {
    "cpu.max": "max 100000\n",
    "cpu.stat": (
        "usage_usec 31250000\nuser_usec 1\nsystem_usec 1\nnr_periods 612\nnr_throttled 7\nthrottled_usec 2500000\n"
    ),
    "cgroup.freeze": "0\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "memory.max": "268435456\n",
    "memory.swap.max": "268435456\n",
    "memory.current": "36663296\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "memory.stat": "anon 24000000\nfile 1024\n",
    "io.max": "8:16 rbps=max wbps=1048576 riops=max wiops=max\n",
    "io.stat": "254:0 rbytes=4096 wbytes=65536 rios=1 wios=4 dbytes=0 dios=0\n",
}


@dataclass(frozen=True)
class Tree:
    """A host's two trees. ``container`` is the only container's id, ``pid`` its main process."""

    version: int
    root: Path
    proc: Path
    container: str
    pid: int

    def file(self, name: str) -> Path:
        """Return a file of the container's cgroup."""
        (found,) = [path for path in self.root.rglob(name) if self.container in str(path.parent.name)]
        return found


def tree(folder: Path, version: int, *, path: str = "", below: str = "") -> Tree:
    """Lay a host's trees into a folder. ``path``: where the engine says the process is; ``below``: how much deeper."""
    one = target()
    usual = f"/docker/{one.id}" if version == 1 else f"/system.slice/docker-{one.id}.scope"
    where = (path or usual) + below
    proc, root = folder / "proc", folder / "cgroup"
    (proc / str(one.pid)).mkdir(parents=True)
    if version == 1:
        lines = [f"{number}:{name}:{where}" for number, name in enumerate([*_V1_FILES, "pids"], 1)]
        lines += [f"9:name=systemd:{where}", f"0::{where}"]
        for name, files in _V1_FILES.items():
            _lay(root / name, path or usual, below, files)
        (root / "unified" / where.lstrip("/")).mkdir(parents=True, exist_ok=True)
    else:
        lines = [f"0::{where}"]
        _lay(root, path or usual, below, _V2_FILES)
    (proc / str(one.pid) / "cgroup").write_text("".join(f"{line}\n" for line in lines))
    return Tree(version, root, proc, one.id, one.pid)


def _lay(root: Path, where: str, below: str, files: Mapping[str, str]) -> None:
    folder = root / where.lstrip("/")
    (folder / below.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    for place in {folder, folder / below.lstrip("/")}:
        (place / "cgroup.procs").write_text("4711\n")
