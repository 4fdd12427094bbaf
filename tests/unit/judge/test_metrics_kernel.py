# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counted, as metrics: each with a known answer, turned to another, and turned to unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import Window, fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs import disk, impair
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec

from tests.unit.scenario import T0, Scenario

spec_of = FindingSpec.from_data

PROGRAMS = ["tcp", "exit", "sched", "block", "fsync", "oom", "rtt", "bytes"]


def line(
    phase: str,
    program: str,
    series: str,
    buckets: list[list[float]],
    service: str | None = "postgres",
    total: float | None = None,
    **key: Any,
) -> dict[str, Any]:
    """Return a line of histograms.jsonl; every phase lasts ten seconds."""
    count = int(sum(number for _low, _high, number in buckets))
    return {
        "t": T0 + 10,
        "since": T0,
        "phase": phase,
        "program": program,
        "service": service,
        "series": series,
        "key": key,
        "unit": "us",
        "count": count,
        "sum": total if total is not None else sum(high * number for _low, high, number in buckets),
        "max": max(high for _low, high, _number in buckets),
        "buckets": buckets,
    }


def pair(program: str, series: str, before: float, during: float, **key: Any) -> list[dict[str, Any]]:
    """Return a hundred values just below ``before`` in the baseline, and below ``during`` in the outage."""
    return [
        line("baseline", program, series, [[before / 2, before, 100]], **key),
        line("outage", program, series, [[during / 2, during, 100]], **key),
    ]


def path(program: str, series: str, before: float, during: float, **key: Any) -> list[dict[str, Any]]:
    """Return what the application's end of its connections to the database counted."""
    key = {"side": "client", "port": 5432, "peer": "database", **key}
    return pair(program, series, before, during, service="trading-api", **key)


LINES = [
    *pair("sched", "run queue latency", 64, 4096),
    *pair("sched", "context switches", 1, 1, kind="voluntary"),
    line("outage", "sched", "context switches", [[1, 1, 60]], kind="involuntary"),
    *pair("block", "block I/O latency", 1024, 65536, op="write", device="254:0"),
    line("outage", "block", "block I/O latency", [[1, 2**30, 1000]], op="other", device="254:0"),
    line("outage", "block", "block I/O latency", [[1, 2**30, 1000]], service=None, op="write"),
    *pair("block", "queue depth", 2, 32, service=None, device="254:0"),
    line("outage", "block", "queue depth", [[4, 8, 1]], service=None, device="7:1"),
    *pair("fsync", "fsync latency", 512, 8192, call="fdatasync"),
    line("outage", "oom", "memcg reclaim", [[1024, 2048, 2]], total=3000.0),
    line("outage", "oom", "direct reclaim", [[1024, 2048, 1]], total=1500.0),
    line("outage", "oom", "memcg reclaim", [[1024, 2048, 9]], service="redis"),
    *path("rtt", "smoothed RTT", 256, 65536),
    line("outage", "rtt", "smoothed RTT", [[1, 2, 5000]], side="server", port=5432, peer="database"),
    *path("bytes", "bytes", 1000, 100, direction="sent"),
    *path("bytes", "bytes", 3000, 100, direction="received"),
]
#: What each metric must say of the outage, and what it needs.
EXPECTED = {
    "run_queue_p99_us": ("sched", 4096),
    "run_queue_ratio": ("sched", 64),
    "context_switches_per_s": ("sched", 16),
    "block_latency_p99_ms": ("block", 65.536),
    "queue_depth_max": ("block", 32),
    "fsync_p99_ms": ("fsync", 8.192),
    "fsync_ratio": ("fsync", 16),
    "reclaim_ms": ("oom", 4.5),
    "rtt_p50_ms": ("rtt", 65.536),
    "bytes_ratio": ("bytes", 0.05),
    "database_bytes_ratio": ("bytes", 0.05),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A run without histograms."""
    return Scenario().evidence(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def good(plain: Evidence) -> Evidence:
    """The same, with all programs."""
    return changed(plain, LINES)


def changed(plain: Evidence, lines: list[dict[str, Any]], **capture: Any) -> Evidence:
    return replace(
        plain, histograms=lines, capture={**plain.capture, "programs": PROGRAMS, "unkept": 0, **capture}
    )


def outage(evidence: Evidence, name: str) -> Measured:
    return measure(evidence, name, "outage")["outage"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_known_answer(good: Evidence, name: str) -> None:
    assert outage(good, name).value == pytest.approx(EXPECTED[name][1])


@pytest.mark.parametrize("name", EXPECTED)
def test_a_finding_on_it_passes_fails_and_is_unknown(plain: Evidence, good: Evidence, name: str) -> None:
    program, value = EXPECTED[name]

    def verdict(evidence: Evidence, **threshold: float) -> str:
        spec = {"id": name, "title": name, "metric": name, "fault": "outage", **threshold}
        return str(judge_finding(evidence, spec_of(spec)).verdict)

    assert verdict(good, max=value * 1.01) == "pass"
    assert verdict(good, max=value * 0.99) == "fail"
    assert verdict(plain, max=value * 1.01) == "unknown"
    others = [one for one in LINES if one["program"] != program]
    assert verdict(changed(plain, LINES, status="absent"), max=value) == "unknown"
    assert verdict(changed(plain, LINES, positive_control=False), max=value) == "unknown"
    left = [one for one in PROGRAMS if one != program]
    assert verdict(changed(plain, others, programs=left), max=value) == "unknown"


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "reclaim_ms"])
def test_a_phase_that_was_not_counted_is_unknown(plain: Evidence, name: str) -> None:
    only = [one for one in LINES if one["phase"] == "baseline"]
    assert outage(changed(plain, only), name).value is None


def test_what_found_no_room_is_said(plain: Evidence) -> None:
    assert "7 values" in outage(changed(plain, LINES, unkept=7), "fsync_p99_ms").evidence


def test_a_host_with_memory_to_spare_had_no_stalls(plain: Evidence) -> None:
    lines = [one for one in LINES if one["program"] != "oom"]
    assert outage(changed(plain, lines), "reclaim_ms").value == 0
    assert outage(changed(plain, lines, status="stopped"), "reclaim_ms").value is None


def test_without_requests_of_its_own_the_devices_speak(plain: Evidence) -> None:
    lines = [one for one in LINES if one["series"] != "block I/O latency" or one["service"] is None]
    assert outage(changed(plain, lines), "block_latency_p99_ms").value == pytest.approx(2**30 / 1000)


@pytest.mark.parametrize(
    ("services", "value"),
    [(["postgres"], True), (["redis"], False), (["postgres", "redis"], False), ([], None)],
)
def test_the_victim(plain: Evidence, services: list[str], value: bool | None) -> None:
    evidence = changed(plain, LINES)
    at = fault_windows(evidence)[1].injected + 1
    events = [
        {"t": at, "event": "OOM_KILL", "pid": 7, "comm": "x", "service": service} for service in services
    ]
    evidence = replace(evidence, bpf=[*evidence.bpf, *events])
    assert outage(evidence, "oom_victim_is_target").value is value


def test_the_path_of_a_fault_with_a_peer(tmp_path: Path) -> None:
    scenario = Scenario()
    faults = [dict(fault) for fault in scenario.spec_data()["faults"]]
    for fault in faults:
        fault.update(kind="impair", target="trading-api", peer="postgres", delay_ms=50)
    scenario.spec = {"faults": faults}
    evidence = changed(scenario.evidence(tmp_path), LINES)
    assert outage(evidence, "rtt_p50_ms").value == pytest.approx(65.536)
    window = fault_windows(evidence)[1]
    assert [proof.holds for proof in impair.impair_proofs(evidence, window)] == [True]
    slower = replace(window.spec, more={**window.spec.more, "delay_ms": 200})
    assert [proof.holds for proof in impair.impair_proofs(evidence, replace(window, spec=slower))] == [False]
    assert impair.impair_proofs(changed(evidence, []), window) == []


def slowed(evidence: Evidence, mode: str = "limit") -> Window:
    """The outage as a fault of the disk."""
    window = fault_windows(evidence)[1]
    return replace(window, spec=replace(window.spec, kind="disk", more={**window.spec.more, "mode": mode}))


def test_a_slow_disk_is_proved_by_the_targets_own_fsyncs(plain: Evidence) -> None:
    """Were they as fast as before, the disk that was slowed is another's; a few slow ones may be our own."""
    lines = {
        True: pair("fsync", "fsync latency", 512, 8192, call="fdatasync"),
        False: [
            *pair("fsync", "fsync latency", 512, 512, call="fdatasync"),
            line("outage", "fsync", "fsync latency", [[65536, 131072, 3]], call="fdatasync"),
        ],
        None: [line("baseline", "fsync", "fsync latency", [[256, 512, 9]], call="fdatasync")],
    }
    for holds, seen in lines.items():
        evidence = changed(plain, seen)
        (proof,) = disk.disk_proofs(evidence, slowed(evidence))
        assert (proof.source, proof.holds, proof.required) == ("kernel", holds, True), proof
        (proof,) = disk.disk_proofs(evidence, slowed(evidence, "contention"))
        assert not proof.required, "others are slowed, too"
    (proof,) = disk.disk_proofs(plain, slowed(plain))
    assert (proof.holds, str(proof.value)[:9]) == (None, "not tried")
