# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of a cut or slow path on simulated runs with a known answer, and each turned bad and to unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.clock import Anchor
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import (
    Evidence,
    parse_orders,
    parse_samples,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FindingSpec,
    Specification,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

spec_of = FindingSpec.from_data

T0, CUT, HEALED, END = 1000.0, 1010.0, 1020.0, 1030.0
API, PORT = "trading-api", 5432


@dataclass
class Run:
    """A run in which the way from the API to its database is cut, or slow in steps. Times are boottime.

    ``good_after``: seconds after the healing from which orders are good again; ``steps``: (id, delay_ms, latency in
    ms, share of failed orders), one after the other, ten seconds held and five after it each.
    """

    steps: list[tuple[str, float, float, float]] = field(default_factory=list)
    usual_ms: float = 10.0
    later_ms: float = 10.0
    good_after: float = 0.3
    fails: bool = True
    store_bad: float = 0.0
    bpf: list[dict[str, Any]] = field(default_factory=list)
    engine: list[dict[str, Any]] = field(default_factory=list)
    same_process: bool | None = True
    undone: bool = True
    captured: bool = True
    path: dict[str, Any] = field(default_factory=lambda: {"peer": "postgres"})

    def faults(self) -> list[dict[str, Any]]:
        common = {"kind": "impair", "target": API, **self.path, "hold_s": 10, "window_s": 10}
        if self.steps:
            return [{**common, "id": name, "delay_ms": delay} for name, delay, _, _ in self.steps]
        return [{**common, "id": "cut", "kind": "partition"}]

    def windows(self) -> list[tuple[str, float, float]]:
        return [
            (str(fault["id"]), CUT + 15.0 * n, CUT + 15.0 * n + 10) for n, fault in enumerate(self.faults())
        ]

    def end(self) -> float:
        return self.windows()[-1][2] + 10

    def order(self, n: int, at: float) -> dict[str, Any]:
        latency, ok = self.usual_ms, True
        for index, (_name, start, undone) in enumerate(self.windows()):
            if self.steps and start <= at < undone:
                latency = self.steps[index][2]
                ok = (n % 100) >= 100 * self.steps[index][3]
            elif not self.steps and self.fails and start <= at < undone + self.good_after:
                ok = False
            if at >= undone + self.good_after:
                latency = self.later_ms
        return {
            "n": n, "stream": "steady", "at": at, "sent": at, "end": at + latency / 1000, "ok": ok,
            "status": 201 if ok else 500, "kind": "ok" if ok else "error", "error": None if ok else "database",
        }  # fmt: skip

    def evidence(self) -> Evidence:
        timeline: list[dict[str, Any]] = [
            {"t": T0, "event": "phase", "id": "baseline", "fault": None},
            {"t": T0 + 8, "event": "phase_end", "id": "baseline"},
        ]
        for name, start, undone in self.windows():
            timeline.append(
                {"t": start, "event": "fault_injected", "fault": name, "target": API, "pids": [7]}
            )
            if self.same_process is not None:
                fact = f"main process of {API} is the one it was"
                timeline.append(
                    {"t": undone, "event": "proof", "fault": name, "source": "fault", "fact": fact, "value": 7,
                     "holds": self.same_process}
                )  # fmt: skip
            if self.undone:
                timeline.append(
                    {"t": undone, "event": "fault_undone", "fault": name, "by": "module", "how": ""}
                )
        timeline.append({"t": self.end(), "event": "phase_end", "id": self.windows()[-1][0]})
        timeline.append({"t": self.end(), "event": "observer_stopped", "command": "load"})
        ticks = [T0 + n / 50 for n in range(int(50 * (self.end() - T0)))]
        probes = [
            {
                "probe": name, "role": "store", "at": at, "end": at + 0.001, "status": 0, "kind": "ok",
                "ok": not (name == "cache" and CUT <= at < HEALED and n % 100 < 100 * self.store_bad),
            }
            for n, at in enumerate(ticks) for name in ("database", "cache")
        ]  # fmt: skip
        spec = {
            "services": {"database": "postgres", "cache": "redis", "api": API},
            "faults": self.faults(),
            "windows": {"steady_s": 3, "recovery_timeout_s": 60},
            "thresholds": {"error_ratio": 0.02, "p99_ms": 500},
            "load": {"rate": 50, "floor": 5},
            "probes": [
                {
                    "name": "database",
                    "kind": "tcp",
                    "role": "store",
                    "service": "postgres",
                    "port": PORT,
                    "rate": 50,
                },
                {
                    "name": "cache",
                    "kind": "tcp",
                    "role": "store",
                    "service": "redis",
                    "port": 6379,
                    "rate": 50,
                },
            ],
            "capture": {"ports": {str(PORT): "database", "6379": "cache"}},
        }
        capture = {"status": "attached" if self.captured else "absent", "positive_control": self.captured}
        return Evidence(
            spec=Specification.read(spec),
            anchor=Anchor(T0, 1795456800.0, "test"),
            orders=parse_orders([self.order(n, at) for n, at in enumerate(ticks)]),
            probes=parse_samples(probes),
            bpf=sorted(self.bpf, key=lambda event: event["t"]),
            capture={**capture, "programs": ["tcp", "exit"], "events": len(self.bpf)},
            engine=self.engine,
            timeline=Timeline(sorted(timeline, key=lambda event: event["t"])),
        )


def event(name: str, at: float, rport: int = PORT, **more: Any) -> dict[str, Any]:
    return {
        "t": at,
        "event": name,
        "service": API,
        "rport": rport,
        "lport": 40000,
        "pid": 7,
        "passive": False,
        **more,
    }


def one(run: Run, name: str) -> Measured:
    (found,) = measure(run.evidence(), name).values()
    return found


def verdict(run: Run, name: str, **threshold: Any) -> str:
    return judge_finding(run.evidence(), spec_of({"id": "f", "metric": name, **threshold})).verdict


STEPS = [
    ("latency_50", 50.0, 110.0, 0.0),
    ("latency_100", 100.0, 210.0, 0.0),
    ("latency_200", 200.0, 410.0, 0.0),
]


def test_the_first_order_after_the_healing() -> None:
    assert one(Run(good_after=0.3), "heal_to_first_order_s").value == pytest.approx(0.31, abs=0.021)
    assert one(Run(fails=False), "heal_to_first_order_s").value == 0
    assert verdict(Run(good_after=0.3), "heal_to_first_order_s", max=5) == "pass"
    assert verdict(Run(good_after=7), "heal_to_first_order_s", max=5) == "fail"
    assert verdict(Run(good_after=99), "heal_to_first_order_s", max=5) == "fail"
    assert verdict(Run(undone=False), "heal_to_first_order_s", max=5) == "unknown"


def test_other_paths_that_are_hit_are_counted() -> None:
    clean = Run(bpf=[event("TCP_RETRANSMIT", CUT + 1), event("CONN_GAVE_UP", CUT + 2)])
    assert one(clean, "blast_radius").value == 0
    assert verdict(clean, "blast_radius", max=0) == "pass"
    assert one(Run(store_bad=0.5), "blast_radius").value == 1
    assert verdict(Run(store_bad=0.5), "blast_radius", max=0) == "fail"
    again = [event("TCP_RETRANSMIT", CUT + at, 6379) for at in (1.0, 1.4)]
    assert verdict(Run(bpf=again), "blast_radius", max=0) == "fail"
    assert verdict(Run(bpf=[event("CONN_GAVE_UP", CUT + 1, 6379)]), "blast_radius", max=0) == "fail"
    # a late answer on a busy machine is no silence
    assert verdict(Run(bpf=again[:1]), "blast_radius", max=0) == "pass"
    # before and after it nothing is the fault's
    assert verdict(Run(bpf=[event("TCP_RETRANSMIT", CUT - 2, 6379)]), "blast_radius", max=0) == "pass"
    blind = replace(Run().evidence(), probes=())
    assert next(iter(measure(blind, "blast_radius").values())).value is None


def test_an_api_that_dies_or_is_another_process_was_restarted() -> None:
    died = [{"t": CUT + 3, "service": API, "action": "die", "exit_code": 1}]
    assert one(Run(), "target_restarts").value == 0
    assert verdict(Run(engine=died), "target_restarts", max=0) == "fail"
    assert verdict(Run(same_process=False), "target_restarts", max=0) == "fail"
    assert verdict(Run(same_process=None), "target_restarts", max=0) == "unknown"


def test_what_the_kernel_saw_on_the_cut_path() -> None:
    growing = [event("TCP_RETRANSMIT", CUT + at) for at in (0.2, 0.4, 0.8, 1.6, 3.2)]
    given = [event("CONN_GAVE_UP", CUT + 5 + n, duration_ms=1000.0 * (n + 1)) for n in range(3)]
    run = Run(bpf=[*growing, *given, event("TCP_RETRANSMIT", CUT - 3)])
    assert one(run, "retransmits").value == 5
    assert one(run, "retransmits_back_off").value is True
    assert one(run, "gave_up_after_s").value == 2
    even = Run(bpf=[event("TCP_RETRANSMIT", CUT + 1 + n) for n in range(5)])
    assert one(even, "retransmits_back_off").value is False
    for name in ("retransmits", "retransmits_back_off", "gave_up_after_s"):
        assert one(Run(bpf=run.bpf, captured=False), name).value is None
    for name in ("retransmits_back_off", "gave_up_after_s"):
        assert one(Run(), name).value is None


def test_the_path_begins_at_the_target_whichever_service_that_is() -> None:
    """network_partition_target: what another service sends to the peer is not what was cut."""
    seen = [
        event("TCP_RETRANSMIT", CUT + 1, service="gateway"),
        event("TCP_RETRANSMIT", CUT + 2, service="gateway"),
        event("TCP_RETRANSMIT", CUT + 3),
    ]
    for peer in ({"peer": "postgres"}, {"peer": "", "peer_addresses": ["10.0.0.9"], "port": PORT}):
        events = [{**one, "raddr": "10.0.0.9"} for one in seen]
        assert one(Run(bpf=events, path={**peer, "target": "gateway"}), "retransmits").value == 2


def test_a_path_to_addresses_is_known_by_them_and_not_by_its_port() -> None:
    far, other = {"raddr": "10.0.0.9"}, {"raddr": "10.0.0.10"}
    seen = [
        event("TCP_RETRANSMIT", CUT + 1, **far),
        event("TCP_RETRANSMIT", CUT + 2, 9000, **far),
        event("TCP_RETRANSMIT", CUT + 3, **other),
        event("TCP_RETRANSMIT", CUT + 3.4, **other),
    ]
    whole = {"peer": "", "peer_addresses": ["10.0.0.9", "fd00::/64"], "port": PORT}
    assert one(Run(bpf=seen, path=whole), "retransmits").value == 2
    # another host on the same port is somebody else, and was hit
    assert one(Run(bpf=seen, path=whole), "blast_radius").value == 1
    assert one(Run(bpf=seen[:2], path=whole), "blast_radius").value == 0
    narrow = {**whole, "only_port": True}
    assert one(Run(bpf=seen, path=narrow), "retransmits").value == 1
    # as older Ansible words a number
    assert one(Run(bpf=seen, path={**narrow, "port": str(PORT)}), "retransmits").value == 1
    six = [
        event("TCP_RETRANSMIT", CUT + 1, raddr="fd00::7"),
        event("TCP_RETRANSMIT", CUT + 1, raddr="fd01::7"),
    ]
    assert one(Run(bpf=six, path=whole), "retransmits").value == 1
    # the kernel's programs look at known ports: of a path without one, no event is no silence
    for name in ("retransmits", "retransmits_back_off", "gave_up_after_s"):
        found = one(Run(bpf=seen, path={**whole, "port": 0}), name)
        assert found.value is None
        assert "names none" in found.evidence


def test_latency_of_each_step_and_per_injected_millisecond() -> None:
    evidence = Run(steps=STEPS).evidence()
    added = {name: found.value for name, found in measure(evidence, "added_latency_ms").items()}
    assert added == {name: pytest.approx(2 * delay) for name, delay, _, _ in STEPS}
    per = measure(evidence, "latency_per_ms")
    assert [found.value for found in per.values()] == [pytest.approx(2.0)] * 3
    assert verdict(Run(steps=STEPS), "latency_per_ms", max=3) == "pass"
    chatty = [(name, delay, 12 * delay, bad) for name, delay, _, bad in STEPS]
    assert verdict(Run(steps=chatty), "latency_per_ms", max=3) == "fail"
    assert one(Run(), "latency_per_ms").value is None
    assert verdict(Run(steps=[("latency_50", 50.0, 110.0, 1.0)]), "added_latency_ms", max=200) == "unknown"


def failing(*shares: float) -> Run:
    return Run(steps=[(name, delay, ms, share) for (name, delay, ms, _), share in zip(STEPS, shares)])


@pytest.mark.parametrize(
    ("shares", "value", "at_least", "wanted"),
    [
        ((0, 0, 0), 200, True, "pass"),
        ((0, 0, 0.5), 200, False, "pass"),
        ((0, 0.5, 0.9), 100, False, "fail"),
        ((0.01, 0.01, 0.01), 200, True, "pass"),
    ],
)
def test_the_step_at_which_time_outs_begin(
    shares: tuple[float, ...], value: float, at_least: bool, wanted: str
) -> None:
    found = one(failing(*shares), "timeouts_begin_ms")
    assert (found.value, found.at_least) == (value, at_least)
    assert verdict(failing(*shares), "timeouts_begin_ms", min=200) == wanted
    assert ("none up to 200 ms" in found.evidence) is at_least


def test_steps_that_end_too_early_do_not_say_where_time_outs_begin() -> None:
    short = Run(steps=STEPS[:1])
    assert verdict(short, "timeouts_begin_ms", min=200) == "unknown"
    assert one(Run(), "timeouts_begin_ms").value is None


def test_failed_orders_while_held() -> None:
    found = measure(failing(0, 0.25, 0.5).evidence(), "failed_while_held")
    assert [one.value for one in found.values()] == [
        0,
        pytest.approx(0.25, abs=0.02),
        pytest.approx(0.5, abs=0.02),
    ]
    assert verdict(failing(0, 0, 0.5), "failed_while_held", max=0.1) == "fail"


CHANGES: list[tuple[Callable[[], Run], str]] = [
    (lambda: Run(steps=STEPS), "pass"),
    (lambda: Run(steps=STEPS, later_ms=90.0), "fail"),
    (lambda: Run(good_after=99), "unknown"),
]


@pytest.mark.parametrize(("run", "wanted"), CHANGES)
def test_latency_afterwards_against_before(run: Callable[[], Run], wanted: str) -> None:
    assert verdict(run(), "latency_after", max=3) == wanted
