# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The books of what the kernel keeps: each bucket in its phase, of its owner, once; and never too many lines."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import histograms
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.attribution import UNRESOLVED, Owner
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.histograms import Bucket, Histograms
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs.block import name_device
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.programs.registry import PROGRAMS
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.stats import percentile_of_buckets
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_socket import ListedContainer

SERIES = {
    number: (program.name, one) for program in PROGRAMS.values() for number, one in program.series.items()
}
RUN_QUEUE, SWITCHES, WRITE, RTT = 1, 2, 4, 10
API = 77
NETNS, PID = 1 << 62, 1 << 63


class Kernel:
    """The kernel's map and the scope, as the books see them; time stands still unless told."""

    def __init__(self) -> None:
        self.epoch = 0
        self.there: list[Bucket] = []
        self.forgotten: list[int] = []
        self.owners: dict[tuple[int, int, int], Owner] = {(0, 0, API): ListedContainer("a", "api-1", "api")}
        self.written: list[dict[str, Any]] = []

    def set_epoch(self, number: int) -> None:
        self.epoch = number

    def take_buckets(self, below: int) -> list[Bucket]:
        found = [bucket for bucket in self.there if bucket.epoch < below]
        self.there = [bucket for bucket in self.there if bucket.epoch >= below]
        return found

    def forget_cgroup(self, cgroup: int) -> None:
        self.forgotten.append(cgroup)

    def owner(self, pid: int, netns: int, cgroup: int) -> Owner:
        return self.owners.get((pid, netns, cgroup))

    def is_named(self, cgroup: int) -> bool:
        return cgroup != 66

    def count(self, series: int, owner: int = API, detail: int = 0, slot: int = 3, value: int = 5000) -> None:
        self.there.append(Bucket(self.epoch, owner, series, detail, slot, 2, 2 * value, value))

    def write(self, *lines: dict[str, Any]) -> None:
        self.written += lines


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(clock, "read", lambda: time[0])
    return time


@pytest.fixture
def kernel(now: list[float]) -> Kernel:
    return Kernel()


def books(kernel: Kernel) -> Histograms:
    return Histograms(kernel, kernel, SERIES, kernel.write, {5432: "database"})


def phase(name: str, fault: str | None = None) -> list[dict[str, Any]]:
    return [{"event": "phase", "id": name, "fault": fault}]


def later(made: Histograms, now: list[float]) -> None:
    """Let so much time go by that what was counted is read."""
    for _ in range(50):
        now[0] += 0.05
        made.step([])


def test_each_bucket_goes_to_its_phase(kernel: Kernel, now: list[float]) -> None:
    made = books(kernel)
    kernel.count(RUN_QUEUE)  # before any phase: nobody's
    made.step(phase("baseline"))
    kernel.count(RUN_QUEUE)
    kernel.count(RUN_QUEUE)
    now[0] += 5.0
    made.step(phase("outage", "outage"))
    kernel.count(RUN_QUEUE, slot=5, value=20_000)
    assert kernel.written == [], "a program may still hold the old number"
    now[0] += 0.05
    made.step([])
    kernel.count(RUN_QUEUE, slot=5, value=30_000)
    now[0] += 1.0
    made.close()
    before, during = kernel.written
    assert (before["phase"], before["fault"], before["service"]) == ("baseline", None, "api")
    assert (before["since"], before["t"]) == (100.0, 105.0)
    assert (before["count"], before["sum"], before["max"], before["buckets"]) == (4, 20.0, 5.0, [[4, 8, 4]])
    assert (during["phase"], during["fault"]) == ("outage", "outage")
    assert (during["count"], during["sum"], during["max"]) == (4, 100.0, 30.0)
    assert during["buckets"] == [[16, 32, 4]]
    assert {line["series"] for line in kernel.written} == {"run queue latency"}


def test_a_long_phase_is_read_while_owners_are_known_and_written_once(
    kernel: Kernel, now: list[float]
) -> None:
    made = books(kernel)
    made.step(phase("baseline"))
    for _ in range(5):
        kernel.count(SWITCHES, detail=1)
        later(made, now)
        assert kernel.there == []
    kernel.owners.clear()
    made.close()
    (line,) = kernel.written
    assert (line["count"], line["key"], line["buckets"]) == (10, {"kind": "involuntary"}, [])


def test_somebody_else_is_left_out_and_forgotten_but_a_device_is_everybodys(
    kernel: Kernel, now: list[float]
) -> None:
    made = books(kernel)
    made.step(phase("baseline"))
    kernel.count(RUN_QUEUE, owner=99)
    kernel.count(RUN_QUEUE, owner=66)  # its name did not fit into the kernel's map: may still be ours
    kernel.count(WRITE, owner=99, detail=(253 << 20) + 7)
    kernel.count(WRITE, owner=0, detail=(253 << 20) + 7)
    made.close()
    (line,) = kernel.written
    assert (line["service"], line["count"]) == (None, 4)
    assert (line["key"]["device"], line["key"]["op"]) == ("253:7", "write")
    assert set(kernel.forgotten) == {99}


def test_an_owner_the_engine_names_late_is_waited_for(kernel: Kernel, now: list[float]) -> None:
    made = books(kernel)
    made.step(phase("baseline"))
    kernel.owners[0, 0, 88] = UNRESOLVED
    kernel.count(RUN_QUEUE, owner=88)
    made.step([{"event": "phase_end"}])
    now[0] += 0.05
    made.step([])
    assert kernel.written == []
    kernel.owners[0, 0, 88] = ListedContainer("b", "store-1", "store")
    later(made, now)
    assert [line["service"] for line in kernel.written] == ["store"]


def test_namespaces_and_processes_are_owners_too(kernel: Kernel, now: list[float]) -> None:
    made = books(kernel)
    kernel.owners[0, 4026532000, 0] = kernel.owners[1234, 0, 0] = kernel.owners[0, 0, API]
    made.step(phase("baseline"))
    kernel.count(RTT, owner=NETNS | 4026532000, detail=5432 | 0x10000)
    kernel.count(RUN_QUEUE, owner=PID | 1234)
    made.close()
    assert [(line["series"], line["service"], line["key"]) for line in kernel.written] == [
        ("run queue latency", "api", {}),
        ("smoothed RTT", "api", {"port": 5432, "side": "client", "peer": "database"}),
    ]


def test_a_namespace_that_died_is_remembered(kernel: Kernel, now: list[float]) -> None:
    made = books(kernel)
    kernel.owners[0, 7, 0] = kernel.owners[0, 0, API]
    made.step(phase("baseline"))
    kernel.count(RTT, owner=NETNS | 7, detail=5432 | 0x10000)
    later(made, now)
    kernel.owners[0, 7, 0] = None
    kernel.count(RTT, owner=NETNS | 7, detail=5432 | 0x10000)
    made.close()
    assert kernel.written[0]["count"] == 4


def test_keys_and_lines_have_their_limits(
    kernel: Kernel, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histograms, "MOST_LINES", 60)
    made = books(kernel)
    for name in ("baseline", "outage"):
        made.step(phase(name))
        for port in range(1, 101):
            kernel.count(RTT, detail=port | 0x10000)
    made.close()
    first = [line for line in kernel.written if line["phase"] == "baseline"]
    assert len(first) == histograms.MOST_KEYS
    assert first[-1]["key"] == {"others": True}
    assert sum(line["count"] for line in first) == 200
    assert (made.lines, made.unwritten) == (60, 2 * histograms.MOST_KEYS - 60)
    assert len(kernel.written) == 60


def test_a_device_has_a_name_where_sysfs_tells() -> None:
    assert name_device((1000 << 20) + 5) == {"device": "1000:5"}


@pytest.mark.parametrize(("q", "value"), [(1, 2), (50, 2), (51, 4), (99, 4), (99.1, 1024), (100, 1024)])
def test_percentiles_of_buckets(q: float, value: float) -> None:
    assert percentile_of_buckets([[512, 1024, 1], [1, 2, 50], [2, 4, 49]], q) == value


def test_no_values_have_no_percentile() -> None:
    assert percentile_of_buckets([], 50) is None
    assert percentile_of_buckets([[1, 2, 0]], 50) is None
