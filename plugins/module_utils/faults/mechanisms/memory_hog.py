# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that fills a container's memory: ``chaos.pyz charge <run folder>``, until the OOM killer has acted.

What it writes goes through a tiny process of its own (dd) in the container's cgroup into a memfd that nobody maps: the
pages are charged to the cgroup and to no process, so that the service itself is the largest process there, and the
victim is the kernel's own choice. This process stays outside. It sees the kill by pidfd and by the cgroup's counter,
and gives the memory back at once. If it dies, dd reads the end of its pipe and ends, and the memory is gone with both.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ...common import bounds, clock
from ...common.errors import ChaosError
from ...common.json_files import read_json, write_json
from ...host import cgroups
from ...host.cgroups import Cgroup
from ...run import helpers
from ...run.folder import RunDir
from ...run.lifespan import Lifespan

PARAMETERS = "charge.json"
RESULT = "charge-result.json"
#: Share of the limit from which on the service lives in want.
NEAR = 0.9
_CHUNK = 64 * 1024
_BLOCK = bytes(_CHUNK)
_TICK_S = 0.01
#: Between the counter's word and the exit of the victim.
_EXIT_S = 2.0


def main(run: RunDir) -> int:
    """Charge memory until the kernel killed a process of the container, or the time is over; returns 0."""
    life = Lifespan(run)
    given = read_json(run.file(PARAMETERS))
    cgroup = cgroups.find_cgroup("memory", int(given["pid"]), str(given["container"]))
    with contextlib.ExitStack() as opened:
        watched = Watched(cgroup, opened)
        memory = os.memfd_create("exchange-chaos")
        opened.callback(os.close, memory)
        writer = helpers.start_helper(
            [find_dd(), f"bs={_CHUNK}", "status=none"],
            stdin=subprocess.PIPE,
            stdout=memory,
            stderr=subprocess.DEVNULL,
        )
        opened.callback(_end, writer)
        cgroup.join(writer.pid)
        run.register_process("charge")
        found = _fill(cgroup, watched, writer, given, life)
    # the memory is given back by now
    write_json(run.file(RESULT), found)
    return 0


def find_dd() -> str:
    """Return the path of dd. Raises ChaosError without one."""
    path = shutil.which("dd", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if path is None:
        raise ChaosError("There is no dd on this host; install coreutils.")
    return path


def oom_kills(cgroup: Cgroup) -> int:
    """Return how many processes the OOM killer took in a cgroup, as the kernel counts them there."""
    name = "memory.oom_control" if cgroup.version == 1 else "memory.events"
    return cgroup.read_table(name).get("oom_kill", 0)


def read_usage(cgroup: Cgroup) -> int:
    """Return the memory charged to a cgroup, bytes."""
    return cgroup.read_number("memory.usage_in_bytes" if cgroup.version == 1 else "memory.current")


class Watched:
    """The container's own processes by pidfd, as they were before ours came."""

    def __init__(self, cgroup: Cgroup, opened: contextlib.ExitStack) -> None:
        self._pids: dict[int, tuple[int, str]] = {}
        self._poll = select.poll()
        for pid in cgroup.processes():
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(pid)
                opened.callback(os.close, pidfd)
                self._pids[pidfd] = (pid, bounds.clean(Path(f"/proc/{pid}/comm").read_bytes()).strip())
                self._poll.register(pidfd, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Wait for one to end, and leave it to :meth:`gone`."""
        self._poll.poll(seconds * 1000)

    def gone(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Return those that ended since it was last asked, {pid, comm, t}, after waiting up to ``seconds`` for one."""
        found = []
        for pidfd, _event in self._poll.poll(seconds * 1000):
            self._poll.unregister(pidfd)
            pid, comm = self._pids[pidfd]
            found.append({"pid": pid, "comm": comm, "t": clock.read()})
        return found


def _fill(
    cgroup: Cgroup, watched: Watched, writer: subprocess.Popen[bytes], given: dict[str, Any], life: Lifespan
) -> dict[str, Any]:
    """Write at the asked pace; returns what happened."""
    if writer.stdin is None:
        raise ValueError("the writer has no pipe")
    pipe = writer.stdin.fileno()
    os.set_blocking(pipe, False)
    before, limit, rate = oom_kills(cgroup), int(given["limit"]), float(given["rate"])
    found: dict[str, Any] = {
        "begun_at": clock.read(),
        "usage": read_usage(cgroup),
        "limit": limit,
        "near_at": None,
        "kills": 0,
        "victims": [],
        "ours_taken": False,
        "killed_at": None,
        "reason": "",
    }
    written = 0
    while not found["reason"]:
        # in this order: the kernel counts a kill before its victim ends. Others come and go, such as health checks
        gone = watched.gone()
        kills = _kills(cgroup, before)
        ended = any(one["pid"] == int(given["pid"]) for one in gone)
        if kills or ended or writer.poll() is not None:
            # memory is given back before anything else: the next victim would be ours
            found["ours_taken"] = writer.poll() is not None
            writer.kill()
            found["killed_at"] = clock.read()
            if kills:
                found["victims"] = gone if ended else gone + watched.gone(_EXIT_S)
            if found["victims"]:
                found["killed_at"] = found["victims"][0]["t"]
            found["kills"] = kills
            found["reason"] = "killed" if kills else "it ended by itself" if ended else "our own writer ended"
        elif life.stopping or clock.read() >= float(given["until"]):
            found["reason"] = "time is over"
        elif written < rate * (clock.read() - found["begun_at"]):
            written += _write(pipe)
        if found["near_at"] is None and usage_or(cgroup, limit) >= NEAR * limit:
            found["near_at"] = clock.read()
        if not found["reason"] and written >= rate * (clock.read() - found["begun_at"]):
            watched.wait(_TICK_S)
    found["written"] = written
    return found


def usage_or(cgroup: Cgroup, otherwise: int) -> int:
    """Return the memory charged, or ``otherwise`` where the cgroup went with its container."""
    try:
        return read_usage(cgroup)
    except ChaosError:
        return otherwise


def _kills(cgroup: Cgroup, before: int) -> int:
    """Return the kills since the start; 0 where the cgroup is gone, which nobody can tell from then."""
    try:
        return oom_kills(cgroup) - before
    except ChaosError:
        return 0


def _write(pipe: int) -> int:
    """Hand a block over; 0 bytes while the writer waits for memory itself, or is gone."""
    try:
        return os.write(pipe, _BLOCK)
    except (BlockingIOError, BrokenPipeError):
        select.select([], [], [], _TICK_S)
        return 0


def _end(writer: subprocess.Popen[bytes]) -> None:
    writer.kill()
    writer.wait()
