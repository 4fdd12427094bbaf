# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a process of a run starts end with it, and what they start is found and ended by its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.exchange.chaos.plugins.module_utils.run import helpers
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import process_start

ROOT = Path(__file__).resolve().parents[3]
_PARENT = f"""
import sys, time
sys.path.insert(0, {str(ROOT / ".collections")!r})
from ansible_collections.exchange.chaos.plugins.module_utils.run import helpers
# as fio and stress-ng: one that waits, with workers that nobody tells of its end
words = "sleep 60 & sleep 60 & echo $$ $! > pids.new; mv pids.new pids; wait"
helpers.start_helper(["sh", "-c", words], cwd=sys.argv[1])
time.sleep(60)
"""


def saturating(folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(folder)])
    until = time.monotonic() + 20
    while not (folder / "pids").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return parent, [int(word) for word in (folder / "pids").read_text().split()]


def test_a_helper_ends_with_who_started_it_and_its_workers_with_the_undo(tmp_path: Path) -> None:
    folder = tmp_path / "contention"
    parent, (helper, worker) = saturating(folder)
    elsewhere = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 5
        while process_start(helper) is not None and time.monotonic() < until:
            time.sleep(0.02)
        assert process_start(helper) is None, "the kernel ends it with its parent"
        assert process_start(worker) is not None, "of its workers the kernel knows nothing"
        assert helpers.end_working_in(folder) == 2
        assert process_start(worker) is None
        assert elsewhere.poll() is None, "a neighbour of the folder is none of ours"
        assert helpers.end_working_in(folder) == 0
    finally:
        elsewhere.kill()
        elsewhere.wait()
        parent.kill()


def test_a_folder_that_is_gone_still_names_who_works_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "contention"
    folder.mkdir()
    left = subprocess.Popen(["sleep", "60"], cwd=folder)
    try:
        folder.rmdir()
        assert helpers.end_working_in(folder) == 1
        assert left.wait(5) == -signal.SIGKILL
    finally:
        left.kill()
