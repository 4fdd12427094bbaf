# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of memory, processor and disk on runs whose answer is known; their findings turned to fail and to unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import (
    check_finding,
    judge_finding,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs.effect import (
    judge_effect,
    judge_proofs,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.experiment_parts import complete_findings

from tests.unit.scenario import T0, Episode, Scenario

spec_of = FindingSpec.from_data

ROOT = Path(__file__).resolve().parents[3]
AT, HOLD = T0 + 10.0, 8.0
UNDONE = AT + HOLD
MB = 1024 * 1024
PID = 4711
LIMITS = {"memory.limit_in_bytes": "268435456", "memory.memsw.limit_in_bytes": "536870912"}
Change = Callable[["Limited"], object]


class Limited(Scenario):
    """A run in which one service was limited, on processor, disk or memory; orders may get slow, or not be answered.

    slow_ms: latency of the orders sent while it is held; patience: those sent after this many seconds of it time out;
    slow_after: seconds after the undo for which they stay slow.
    """

    slow_ms: float = 40.0
    patience: float = 1e9
    slow_after: float = 0.0
    leak_mb: float = 0.0
    measured: list[dict[str, Any]]

    def __init__(self, kind: str, fault: str, hold: float, *, rate: float = 10.0) -> None:
        died = None if hold else 0.0
        quiet: dict[str, Any] = {
            "store_down": None,
            "retries": (),
            "kernel_exit": False,
            "module_proof": False,
        }
        good = {"api_bad": None, "api_good": hold + 4.0} if hold else {"api_bad": 0.0, "api_good": 1.2}
        super().__init__(
            episodes=[Episode(fault, AT, mode="cgroup", hold=hold, api_died=died, pid=PID, **good, **quiet)],
            end=T0 + 26.0,
            steady_rate=rate,
        )
        self.kind = kind
        self.proved: list[dict[str, Any]] = []
        self.measured = MEASURED[kind]()

    def spec_data(self) -> dict[str, Any]:
        data = super().spec_data()
        target = "postgres" if self.kind == "disk" else "trading-api"
        data["faults"] = [{**fault, "kind": self.kind, "target": target} for fault in data["faults"]]
        return {**data, **self.spec}

    def load_lines(self) -> list[dict[str, Any]]:
        lines = super().load_lines()
        for line in lines:
            if "at" not in line or not self.episodes[0].hold:
                continue
            held = AT <= line["at"] < UNDONE
            if held and line["at"] >= AT + self.patience:
                line.update(end=line["at"] + 3.0, ok=False, kind="timeout", status=0, id=None)
            elif held or UNDONE <= line["at"] < UNDONE + self.slow_after:
                line["end"] = line["at"] + self.slow_ms / 1000
        return lines

    def timeline_lines(self) -> list[dict[str, Any]]:
        fault = self.episodes[0].id
        own = [{"event": "measured", "fault": fault, **one} for one in self.measured]
        own += [{"event": "proof", "fault": fault, "source": "kernel", **one} for one in self.proved]
        for number in range(40 if self.kind == "memory" else 0):
            at = self.load_from + number / 2
            if at < AT - 0.5:
                used = int((40 + self.leak_mb * number / 2 * self.steady_rate / 1000) * MB)
                own.append({"event": "measured", "fault": None, "name": "memory_used", "service": "trading-api",
                            "pid": PID, "value": used, "t": at})  # fmt: skip
        return sorted([*super().timeline_lines(), *own], key=lambda line: float(line["t"]))

    def drop(self, name: str) -> None:
        self.measured = [one for one in self.measured if one["name"] != name]

    def update(self, name: str, **new: Any) -> None:
        for one in self.measured:
            if one["name"] == name:
                one.update(new)


def _of_cpu() -> list[dict[str, Any]]:
    return [
        {"name": "cpu_used", "value": 0.098, "quota": 0.1, "periods": 80, "throttled": 71, "t": UNDONE - 0.1}
    ]


def _of_disk() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "fsync", "moment": moment, "value": value, "t": t}
        for moment, value, t in (
            ("before", 0.0004, AT - 0.1),
            ("begin", 0.12, AT + 0.3),
            ("end", 0.06, UNDONE - 0.1),
        )
    ]
    counted = (("before", 7, AT - 1), ("steady", 8, UNDONE + 4))
    return found + [{"name": "checkpoints", "moment": moment, "value": n, "t": t} for moment, n, t in counted]


def _of_memory() -> list[dict[str, Any]]:
    return [
        {"name": "oom", "value": 0.11, "limit": 72 * MB, "usage": 44 * MB, "used": 44 * MB, "configured": 256 * MB,
         "kills": 1, "victims": [{"pid": PID, "comm": "python3", "t": AT}], "reason": "killed", "t": AT + 0.1},
        {"name": "memory_limits", "value": True, "before": dict(LIMITS), "after": dict(LIMITS), "t": AT + 5},
    ]  # fmt: skip


MEASURED: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "cpu": _of_cpu,
    "disk": _of_disk,
    "memory": _of_memory,
}
FAULTS = {"cpu": ("throttle", HOLD, 10.0), "disk": ("starve", HOLD, 10.0), "memory": ("oom", 0.0, 50.0)}
ROLES = {"cpu": "cpu_throttling", "disk": "disk_io_starvation", "memory": "memory_oom_kill"}


def evidence(kind: str, folder: Path, *changes: Change) -> Evidence:
    fault, hold, rate = FAULTS[kind]
    made = Limited(kind, fault, hold, rate=rate)
    for change in changes:
        change(made)
    return made.evidence(folder)


def value(found: Evidence, name: str) -> Any:
    (one,) = measure(found, name).values()
    assert isinstance(one, Measured)
    assert one.evidence
    return one.value


def fields(**new: Any) -> Change:
    def change(made: Limited) -> None:
        for key, given in new.items():
            setattr(made, key, given)

    return change


def told(name: str, **new: Any) -> Change:
    return lambda made: made.update(name, **new)


def untold(name: str) -> Change:
    return lambda made: made.drop(name)


def idle(made: Limited) -> None:
    made.load_from = made.end


def no_end(made: Limited) -> None:
    made.episodes[0].undone = False


# ---- values


def test_a_throttled_service_is_slower_by_what_is_known(tmp_path: Path) -> None:
    found = evidence("cpu", tmp_path)
    for rank in ("p50", "p95", "p99"):
        assert value(found, f"slowdown_{rank}") == pytest.approx(10, rel=0.01)
    assert value(found, "held_p95_ms") == pytest.approx(40, abs=0.1)
    assert value(found, "cpu_quota_used") == pytest.approx(0.98)
    assert value(found, "latency_back_s") == pytest.approx(0, abs=0.05)


def test_latency_comes_back_when_the_last_slow_second_is_over(tmp_path: Path) -> None:
    found = evidence("cpu", tmp_path, fields(slow_after=2.0))
    # the first second of which half is fast begins half a second before the last slow order
    assert value(found, "latency_back_s") == pytest.approx(1.5, abs=0.2)
    never = evidence("cpu", tmp_path / "never", fields(slow_after=60.0))
    (one,) = measure(never, "latency_back_s").values()
    assert one.at_least


def test_a_starved_disk_is_held_against_what_orders_made_of_it(tmp_path: Path) -> None:
    found = evidence("disk", tmp_path, fields(slow_ms=240.0))
    assert value(found, "fsync_slowdown") == pytest.approx(150)
    # the median of both ends by nearest rank is the lesser
    assert value(found, "order_per_fsync") == pytest.approx(4, rel=0.01)
    assert value(found, "timeouts_while_held") == 0
    assert value(found, "checkpoints") == 1
    # the last order before the undo was sent up to 1/50 s before it
    assert value(found, "drain_s") == pytest.approx(0.24, abs=0.03)


def test_orders_that_nobody_answers_time_out_and_are_waited_for(tmp_path: Path) -> None:
    found = evidence("disk", tmp_path, fields(patience=4.0))
    assert value(found, "timeouts_while_held") == pytest.approx(4 * 50, abs=4)
    assert value(found, "drain_s") == pytest.approx(3, abs=0.03)


def test_memory_runs_out_as_it_was_measured(tmp_path: Path) -> None:
    found = evidence("memory", tmp_path)
    assert value(found, "near_limit_s") == 0.11
    assert value(found, "right_victim") is True
    assert value(found, "memory_used_of_limit") == pytest.approx(44 / 256)
    assert value(found, "memory_limits_back") is True
    assert value(found, "memory_growth_mb") == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("leak", [1.0, 10.0])
def test_a_leak_is_measured_per_thousand_orders(leak: float, tmp_path: Path) -> None:
    assert value(evidence("memory", tmp_path, fields(leak_mb=leak)), "memory_growth_mb") == pytest.approx(
        leak, rel=0.05
    )


def test_the_target_is_the_right_victim_though_ours_was_taken_after_it(tmp_path: Path) -> None:
    assert (
        value(evidence("memory", tmp_path / "one", told("oom", ours_taken=True, kills=1)), "right_victim")
        is False
    )
    assert (
        value(evidence("memory", tmp_path / "two", told("oom", ours_taken=True, kills=2)), "right_victim")
        is True
    )


# ---- findings

TURNS: dict[str, dict[str, tuple[Change, Change]]] = {
    "cpu": {
        "hard_errors": (fields(patience=2.0), idle),
        "p95": (fields(slow_ms=900.0), idle),
        "latency_back": (fields(slow_after=7.5), no_end),
    },
    "disk": {
        "order_per_fsync": (fields(slow_ms=1300.0), untold("fsync")),
        "timeouts": (fields(patience=7.0), idle),
        "errors": (fields(patience=6.0), idle),
        "drain": (fields(patience=7.0), no_end),
        "latency_back": (fields(slow_after=7.5), no_end),
    },
    "memory": {
        "right_victim": (told("oom", ours_taken=True), untold("oom")),
        "used_of_limit": (told("oom", used=200 * MB), told("oom", configured=None)),
        "growth": (fields(leak_mb=10.0), fields(steady_rate=5.0)),
        "limits_back": (told("memory_limits", after={**LIMITS, "memory.limit_in_bytes": "0"}), untold("memory_limits")),
    },
}  # fmt: skip
CASES = [(kind, name) for kind, turns in TURNS.items() for name in turns]


def specified(kind: str) -> dict[str, dict[str, Any]]:
    """The experiment's own findings, its variables filled in."""
    role = ROOT / "roles" / ROLES[kind]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    named = yaml.safe_load((role / "vars" / "main.yml").read_text())[f"__{ROLES[kind]}_findings"]
    shared = yaml.safe_load((ROOT / "roles/chaos/vars/main.yml").read_text())["__chaos_shared_findings"]
    found = complete_findings(named, shared)
    for spec in found:
        for key, given in spec.items():
            if str(given).startswith("{{"):
                spec[key] = defaults[str(given).strip("{} ")]
    return {str(spec["id"]): spec for spec in found}


@pytest.mark.parametrize("kind", TURNS)
def test_every_finding_can_be_judged_and_a_good_exchange_passes(kind: str, tmp_path: Path) -> None:
    found = evidence(kind, tmp_path)
    judged = {name: judge_finding(found, spec_of(spec)).verdict for name, spec in specified(kind).items()}
    for spec in specified(kind).values():
        check_finding(spec_of(spec))
    assert {name for name in TURNS[kind] if judged[name] != "pass"} == set()
    assert "fail" not in judged.values(), judged


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_fails(kind: str, name: str, tmp_path: Path) -> None:
    assert (
        judge_finding(evidence(kind, tmp_path, TURNS[kind][name][0]), spec_of(specified(kind)[name])).verdict
        == "fail"
    )


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_unknown(kind: str, name: str, tmp_path: Path) -> None:
    assert (
        judge_finding(evidence(kind, tmp_path, TURNS[kind][name][1]), spec_of(specified(kind)[name])).verdict
        == "unknown"
    )


# ---- effect


@pytest.mark.parametrize(
    ("share", "holds", "verdict"),
    [(1.0, True, "pass"), (0.5, True, "fail"), (1.0, False, "fail"), (None, True, "unknown")],
)
def test_a_limit_must_have_stood_and_shown(
    share: float | None, holds: bool, verdict: str, tmp_path: Path
) -> None:
    one = {"fact": "throttled periods", "value": 1, "holds": holds, "t": UNDONE, "share": share}
    found = evidence("cpu", tmp_path, lambda made: made.proved.append(one))
    assert judge_effect(found)[0] == verdict


def test_the_engine_and_the_tracer_are_heard_of_an_oom(tmp_path: Path) -> None:
    def seen(made: Limited) -> None:
        head = {"service": "trading-api", "container": "api-1", "id": "a1"}
        made.extra_engine += [
            {**head, "t": AT + 0.01, "action": "oom", "exit_code": None},
            {**head, "t": AT + 0.02, "action": "die", "exit_code": 137},
        ]

    found = evidence("memory", tmp_path, seen, lambda made: setattr(made.episodes[0], "api_died", None))
    (window,) = fault_windows(found)
    assert [(proof.source, proof.value, proof.holds) for proof in judge_proofs(found, window)] == [
        ("engine", True, True),
        ("engine", 137, True),
    ]
    assert judge_effect(found)[0] == "pass"
    unseen = evidence("memory", tmp_path / "unseen", lambda made: setattr(made.episodes[0], "api_died", None))
    assert judge_effect(unseen)[0] == "fail"
