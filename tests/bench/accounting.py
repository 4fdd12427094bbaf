"""CPU seconds of some processes and of all that they start, counted by the kernel: a cgroup of their own.

A process cannot leave its group by detaching from its parent, so observers that outlive a module and the SSH
client's masters in the background count, too. Containers do not: their engine puts them into groups of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import CGROUP_ROOT, BenchError

_NANO, _MICRO = 1e-9, 1e-6


@dataclass(frozen=True)
class CpuGroup:
    """One group by its name; it may or may not exist."""

    name: str

    @property
    def path(self) -> Path:
        """Where it lies: in the hierarchy of cpuacct (version 1), else in the only one there is (version 2)."""
        found = [path for path in (CGROUP_ROOT / "cpuacct", CGROUP_ROOT / "cpu,cpuacct") if path.is_dir()]
        return (found[0] if found else CGROUP_ROOT) / self.name

    def create(self) -> None:
        """Make it, empty."""
        self.path.mkdir(exist_ok=True)

    def within(self, *command: str) -> list[str]:
        """Return the words that run a command in this group, in the process that is started."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh", *command]

    def seconds(self) -> float:
        """Return the CPU seconds used in it so far, by processes that ended, too."""
        usage = self.path / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) * _NANO
        words = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(words["usage_usec"]) * _MICRO

    def pids(self) -> list[int]:
        """Return the processes in it now."""
        with contextlib.suppress(OSError):  # it is gone, or going this instant
            return [int(word) for word in (self.path / "cgroup.procs").read_text().split()]
        return []

    def remove(self) -> None:
        """End every process in it and take it away; does nothing if it is not there."""
        for _attempt in range(100):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self.path.rmdir()
            if not self.path.exists():
                return
            time.sleep(0.05)
        raise BenchError(f"processes in {self.path} do not end")
