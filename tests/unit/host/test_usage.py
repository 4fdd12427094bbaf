# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc says of the use of the host, as kernels with and without each of its files write it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host import usage
from ansible_collections.exchange.chaos.plugins.module_utils.host.cgroups import Cgroup

PRESSURE = """some avg10=86.31 avg60=84.39 avg300=54.85 total=606614801
full avg10=0.00 avg60=0.00 avg300=0.00 total=1
"""
STAT = "cpu  100 20 30 4000 500 6 7 80 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
SCHEDSTAT = """version 15
timestamp 4294961234
cpu0 0 0 100 50 60 30 9000000000 2500000000 70
domain0 3 1 2 3
cpu1 0 0 100 50 60 30 9000000000 500000000 70
"""
#: A command may hold spaces and parentheses; utime and stime are the 14th and 15th words.
PROCESS = "42 (a) (b c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 99 99 20 0 1 0 12345 1 1 1\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for name, text in (
        ("pressure/io", PRESSURE),
        ("stat", STAT),
        ("schedstat", SCHEDSTAT),
        ("42/stat", PROCESS),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_each_counter_is_told_in_seconds(proc: Path) -> None:
    ticks = usage.TICKS_PER_S
    assert usage.read_stalled("io", proc) == pytest.approx(606.614801)
    assert usage.read_waited(proc) == pytest.approx(3.0)
    assert usage.read_processors(proc) == usage.Processors(busy=163 / ticks, steal=80 / ticks)
    assert usage.of_process(42, proc) == ("a) (b c", 200 / ticks)
    assert list(usage.list_processes(proc)) == [42]


def test_what_a_kernel_does_not_tell_is_none_and_no_zero(tmp_path: Path) -> None:
    assert usage.read_stalled("cpu", tmp_path) is None
    assert usage.read_waited(tmp_path) is None
    assert usage.of_process(1, tmp_path) is None
    assert (usage.cgroup_of(1, tmp_path), usage.command_line(1, tmp_path)) == ("", "")
    with pytest.raises(ChaosError, match="does not tell what the processors do"):
        usage.read_processors(tmp_path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/x.service\n", "/system.slice/x.service"),
        ("5:memory:/m\n4:cpu,cpuacct:/a:b\n0::/u\n", "/a:b"),
        ("", ""),
    ],
)
def test_a_process_is_in_the_cgroup_that_counts_its_processor_time(
    tmp_path: Path, text: str, path: str
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(text)
    assert usage.cgroup_of(7, tmp_path) == path


@pytest.mark.parametrize(
    ("version", "name", "text"),
    [(1, "cpuacct.usage", "1500000000\n"), (2, "cpu.stat", "usage_usec 1500000\nuser_usec 7\n")],
)
def test_a_containers_processor_time_is_read_in_either_version(
    tmp_path: Path, version: int, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert usage.of_cgroup(Cgroup(version, tmp_path, tmp_path)) == 1.5


def test_a_process_knows_who_started_it() -> None:
    child = subprocess.Popen(["sleep", "5"])
    try:
        assert usage.parent_of(child.pid) == os.getpid()
    finally:
        child.kill()
        child.wait()
    assert usage.parent_of(child.pid) == 0
