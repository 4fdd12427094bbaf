# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interference observer as a process of its own, beside a process that takes a core."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.host import usage
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes

from tests.module.load_api import load_spec, make_run, wait_for


def test_who_takes_a_core_is_counted_and_named_and_the_observer_costs_next_to_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", load_spec("http://127.0.0.1:1"))
    hungry = shutil.copy(shutil.which("sha256sum") or "", tmp_path / "hungry-one")
    entry = processes.start_process(run, "interference")
    begun = usage.of_process(entry["pid"])
    time.sleep(1)
    with subprocess.Popen([hungry, "/dev/zero"], stdout=subprocess.DEVNULL) as other:
        try:
            time.sleep(4)
            took = usage.of_process(other.pid)
            ended = usage.of_process(entry["pid"])
        finally:
            other.kill()
    assert processes.stop_process(run, "interference")
    wait_for(lambda: not processes.living_process(run, "interference"))
    lines = jsonl.read_lines(run.file("interference.jsonl"))
    assert begun
    assert ended
    assert took
    assert ended[1] - begun[1] < 0.05 * 5
    steps = [later["t"] - earlier["t"] for earlier, later in zip(lines, lines[1:])]
    assert sorted(steps)[len(steps) // 2] < 0.12
    late = lines[-10:]
    assert max(line["cpu_others"] for line in late) > 0.5 * took[1] / 4
    tops = [line["top"] for line in lines[10:] if "top" in line]
    assert len(tops) >= 3
    named = [top for top in tops if top["command"] == "hungry-one"]
    # on a machine that others use, too, the largest may be one of theirs
    assert named or max(top["cores"] for top in tops) >= 0.5 * took[1] / 4
    assert all(line["run_delay_ms"] >= 0 for line in lines)
