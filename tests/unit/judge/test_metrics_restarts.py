# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What events, orders and probes say of a rolling restart: as it should be, and each finding turned red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence, Sample
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.phases import fault_windows
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import judge_finding
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import measure
from ansible_collections.exchange.chaos.plugins.module_utils.judge.proofs.registry import observers_of
from ansible_collections.exchange.chaos.plugins.module_utils.judge.restarts import find_restarts
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FindingSpec,
    Specification,
)

from tests.unit.scenario import T0, Episode
from tests.unit.scenario_kills import Kills

AT = T0 + 10.0
TARGETS = ("postgres", "nginx")


def restarts(
    *, nginx_code: int = 0, nginx_signals: Sequence[int] = (15,), nginx_starts: bool = True
) -> list[dict[str, Any]]:
    """The engine's events: the database asked at the injection, the proxy 2 s later."""
    found = []
    for service, at, code, signals in (
        ("postgres", AT, 0, (2,)),
        ("nginx", AT + 2.0, nginx_code, nginx_signals),
    ):
        lines: list[tuple[float, dict[str, Any]]] = [
            *((at + 0.1 * n, {"action": "kill", "signal": str(signal)}) for n, signal in enumerate(signals)),
            (at + 0.5, {"action": "die", "exit_code": code}),
            (at + 0.51, {"action": "stop"}),
            (at + 0.8, {"action": "start"}),
            (at + 2.0, {"action": "health_status: healthy"}),
        ]
        for t, line in lines:
            if (
                nginx_starts
                or service != "nginx"
                or line["action"] not in ("start", "health_status: healthy")
            ):
                found.append({"t": t, "service": service, "container": f"lab-{service}-1", **line})
    return found


def evidence(
    folder: Path, engine: list[dict[str, Any]], *, early: bool = False, cut: bool = False
) -> Evidence:
    """A run whose orders fail, and whose database's port is closed, for the database's restart alone.

    early: readiness does not look at the database. cut: slow requests through the proxy end without an answer.
    """
    bad = None if early else 0.1
    episode = Episode("deployment", AT, hold=12.0, store_down=0.1, store_up=1.2, api_bad=bad, api_good=1.5)
    slow = ("slow", "drain", 2.0, lambda scenario, t: cut and AT + 1.5 <= t < AT + 2.5)
    scenario = Kills([episode], targets=["postgres"], end=AT + 20.0, further=[slow])
    known = scenario.evidence(folder)
    spec = known.spec.to_data()
    spec["services"] = {**spec["services"], "proxy": "nginx"}
    spec["probes"] = [{"name": "port_postgres", "kind": "tcp", "service": "postgres", "port": 5432}]
    spec["windows"] = {**spec["windows"], "steady_s": 1.0}
    spec["faults"] = [{**fault, "targets": list(TARGETS)} for fault in spec["faults"]]
    return replace(
        known,
        engine=engine,
        spec=Specification.from_data(spec),
        probes=[_slowly(one) if one.probe == "slow" else one for one in known.probes],
    )


def _slowly(one: Sample) -> Sample:
    return one._replace(end=one.at + 0.6, status=200 if one.ok else 0)


def value(known: Evidence, name: str) -> Any:
    return measure(known, name, "deployment")["deployment"].value


def verdict(known: Evidence, name: str, **limits: Any) -> str:
    spec = {"id": name, "title": name, "metric": name, **limits}
    return judge_finding(known, FindingSpec.from_data(spec)).verdict


def test_restarts_are_read_one_by_one(tmp_path: Path) -> None:
    known = evidence(tmp_path, restarts())
    (window,) = fault_windows(known)
    database, proxy = find_restarts(known, window)
    assert (database.service, database.signals, database.exit_code) == ("postgres", (2,), 0)
    assert database.until == proxy.asked == AT + 2.0
    assert database.done
    assert proxy.done
    assert proxy.healthy == pytest.approx(AT + 4.0)
    assert not observers_of("rolling").spared(known, window)  # type: ignore[misc]


def test_one_that_was_not_started_again_is_named(tmp_path: Path) -> None:
    known = evidence(tmp_path, restarts(nginx_starts=False))
    (window,) = fault_windows(known)
    observers = observers_of("rolling")
    assert observers.spared is not None
    assert observers.seen is not None
    assert observers.spared(known, window) == ["nginx"]
    assert [proof.holds for proof in observers.seen(known, window)] == [True, False]


def test_failed_orders_are_those_of_their_restart(tmp_path: Path) -> None:
    known = evidence(tmp_path, restarts())
    found = measure(known, "failed_per_restart", "deployment")["deployment"]
    failed = sum(order.failed for order in known.orders if AT <= order.at < AT + 2.0)
    assert found.value == failed > 0
    assert f"postgres {failed} of " in found.evidence
    assert "nginx 0 of " in found.evidence


def test_the_gap_without_an_order_is_red_when_it_is_too_long(tmp_path: Path) -> None:
    known = evidence(tmp_path, restarts())
    assert value(known, "restart_gap_s") == pytest.approx(1.4, abs=0.2)
    assert verdict(known, "restart_gap_s", max=5) == "pass"
    assert verdict(known, "restart_gap_s", max=1) == "fail"


@pytest.mark.parametrize(
    ("code", "signals", "expected"), [(0, (15,), 0), (137, (15, 9), 1), (137, (15,), 1), (0, (9,), 0)]
)
def test_who_had_to_be_killed_is_counted(
    code: int, signals: tuple[int, ...], expected: int, tmp_path: Path
) -> None:
    known = evidence(tmp_path, restarts(nginx_code=code, nginx_signals=signals))
    assert value(known, "ignored_stops") == expected
    assert verdict(known, "ignored_stops", max=0) == ("fail" if expected else "pass")


def test_a_request_under_way_is_finished_or_cut_off(tmp_path: Path) -> None:
    assert verdict(evidence(tmp_path / "good", restarts()), "cut_requests", max=0) == "pass"
    assert verdict(evidence(tmp_path / "cut", restarts(), cut=True), "cut_requests", max=0) == "fail"
    alone = evidence(tmp_path / "alone", [line for line in restarts() if line["service"] != "nginx"])
    assert verdict(alone, "cut_requests", max=0) == "unknown"


def test_readiness_that_does_not_look_is_red(tmp_path: Path) -> None:
    assert verdict(evidence(tmp_path / "good", restarts()), "ready_without_store", max=0) == "pass"
    early = evidence(tmp_path / "early", restarts(), early=True)
    assert value(early, "ready_without_store") > 0
    assert verdict(early, "ready_without_store", max=0) == "fail"


def test_the_order_of_readiness_and_the_way_back(tmp_path: Path) -> None:
    known = evidence(tmp_path, restarts())
    found = measure(known, "restart_to_ready_s", "deployment")["deployment"]
    assert found.value == pytest.approx(2.0)
    assert "postgres 2.0 s, nginx 2.0 s" in found.evidence
    back = value(known, "steady_after_last_s")
    assert back[1] <= 1.0


def test_without_the_engines_events_nothing_is_claimed(tmp_path: Path) -> None:
    known = evidence(tmp_path, [])
    for name in (
        "failed_per_restart",
        "restart_gap_s",
        "ignored_stops",
        "cut_requests",
        "steady_after_last_s",
    ):
        assert value(known, name) is None
    (window,) = fault_windows(known)
    assert observers_of("rolling").spared(known, window) == []  # type: ignore[misc]
