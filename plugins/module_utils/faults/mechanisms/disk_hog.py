# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a disk busy: ``chaos.pyz contend <run folder>``, with fio or stress-ng, until the undo.

One at a time on a host: a lock that the kernel frees with this process. Its files lie in the run's own folder, on the
very disk it is to saturate, and go with it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

from ...common import clock
from ...common.errors import ChaosError, Unsupported
from ...common.json_files import read_json
from ...run import helpers, processes
from ...run.folder import RunDir
from ...run.lifespan import Lifespan

PARAMETERS = "contend.json"
TOOLS = ("fio", "stress-ng")
_FOLDER = "contention"
_TICK_S = 0.05


def main(run: RunDir) -> int:
    """Saturate the disk until told to stop or the fault's time is over; returns the exit code."""
    life = Lifespan(run)
    given = read_json(run.file(PARAMETERS))
    folder = run.file(_FOLDER)
    # a folder that is there anyway: no file of a lock stays behind
    lock = os.open(str(given["lock_folder"]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit("another run saturates a disk of this host already") from None
    folder.mkdir(mode=0o700, exist_ok=True)
    seconds = max(1, int(float(given["until"]) - clock.read()))
    child = helpers.start_helper(
        build_command(str(given["tool"]), folder, seconds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        run.register_process("contend")
        while not life.stopping and clock.read() < float(given["until"]) and child.poll() is None:
            time.sleep(_TICK_S)
    finally:
        _end(child)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def find_tool() -> str:
    """Return the name of the tool that is here. Raises Unsupported naming the packages."""
    found = next((name for name in TOOLS if shutil.which(name)), None)
    if found is None:
        raise Unsupported(
            "Saturating a disk needs fio or stress-ng, and neither is installed on this host; install the package fio "
            "(or stress-ng), or use mode limit."
        )
    return found


def build_command(name: str, folder: Path, seconds: int) -> list[str]:
    """Return the tool's words: writers of 64 MB each, past the cache, with more writes waiting than a disk takes."""
    if name == "fio":
        return [
            *("fio", "--name=chaos", f"--directory={folder}", "--rw=randwrite", "--bs=64k", "--size=64m"),
            *(
                "--numjobs=4",
                "--direct=1",
                "--ioengine=libaio",
                "--iodepth=16",
                "--time_based",
                f"--runtime={seconds}",
                "--output-format=terse",
            ),
        ]
    return [
        *("stress-ng", "--hdd", "8", "--hdd-bytes", "64m", "--hdd-write-size", "64k"),
        *("--hdd-opts", "direct,wr-rnd", "--temp-path", str(folder), "--timeout", f"{seconds}s", "--quiet"),
    ]


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the tool with all its writers: they are a process group of their own."""
    for number in (15, 9):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            continue
    if child.poll() is None:
        raise ChaosError(f"Process {child.pid} cannot be ended.")


def is_saturating(run: RunDir) -> bool:
    """Return whether the disk is being saturated."""
    return processes.living_process(run, "contend") is not None


def end_saturation(run: RunDir) -> bool:
    """End what saturates the disk, though the process that began it is dead; returns whether anything did."""
    was = processes.stop_process(run, "contend")
    left = helpers.end_working_in(run.file(_FOLDER))
    shutil.rmtree(run.file(_FOLDER), ignore_errors=True)
    return was or left > 0
