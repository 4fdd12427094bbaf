# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty processes that act at one instant on a busy machine: within milliseconds, whoever else wants the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock

from tests.module.core_support import ROOT

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the kernel's realtime class"),
    pytest.mark.timeout(120),
]
COUNT, ARM_S = 20, 15.0
#: Kills a process of its own at the instant given, then keeps the processor, as a module does.
FIRE = """
import json, os, signal, subprocess, sys
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run import instant, timeline
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
run = RunDir(sys.argv[1])
write_json(run.file("spec.json"), {"anchor": vars(clock.take_anchor())})
run.write_event(timeline.OPENED)
victim = subprocess.Popen(["sleep", "1000"])
pidfd = os.pidfd_open(victim.pid)
agreed = instant.Instant(run, "crash", run.anchor.wall(float(sys.argv[2])))
with agreed.moment():
    at = clock.read()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    done = clock.read()
victim.wait()
sum(range(1_000_000))
print(json.dumps([at, done]))
"""
BUSY = "while True: sum(range(100_000))"


@pytest.fixture
def busy() -> Iterator[None]:
    """Keep every processor busy with ordinary processes, twice over."""
    hogs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _hog in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.full
def test_twenty_act_within_ten_milliseconds_on_a_busy_machine(
    tmp_path: Path, busy: None, capsys: pytest.CaptureFixture[str]
) -> None:
    target = clock.read() + ARM_S
    firing = []
    for number in range(COUNT):
        (tmp_path / str(number)).mkdir()
        argv = [sys.executable, "-c", FIRE, str(tmp_path / str(number)), str(target)]
        firing.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT / ".collections"))
    times = [json.loads(one.communicate()[0]) for one in firing]
    first, last = min(at for at, _done in times), max(done for _at, done in times)
    with capsys.disabled():
        print(
            f"\n{COUNT} acted {1000 * (first - target):.2f} to {1000 * (last - target):.2f} ms after the instant"
        )
    assert first >= target
    assert 1000 * (last - first) <= 10
