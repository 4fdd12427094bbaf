# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of a dependency that hangs, on runs whose answer is known; each finding of experiment 12 turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import (
    check_finding,
    judge_finding,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.experiment_parts import complete_findings

from tests.unit.scenario import API_PIDS, DATABASE_PORT, T0, Episode, Scenario

ROOT = Path(__file__).resolve().parents[3]
AT, HOLD, RATE = T0 + 10.0, 8.0, 10.0
Change = Callable[["Frozen"], object]


class Frozen(Scenario):
    """A run in which the database hangs for 8 s: its port stays open, the application answers 503 after 0.4 s.

    patience: after how long the application fails an order, None if it never does, so that the client gives up after
    3 s. tells: what readiness says meanwhile. piled: how many connects are left hanging.
    """

    patience: float | None = 0.4
    tells: str = "not_ready"
    piled: int = 3

    def __init__(self) -> None:
        quiet: dict[str, Any] = {"store_down": None, "retries": (), "kernel_exit": False}
        super().__init__(
            episodes=[Episode("freeze", AT, hold=HOLD, api_bad=0.0, api_good=HOLD, **quiet)], end=T0 + 30.0
        )
        self.spec = {"thresholds": {"error_ratio": 0.01, "p99_ms": 500, "loss_visible_ms": 10}}

    def hangs(self, t: float) -> bool:
        return AT <= t < AT + HOLD

    def load_lines(self) -> list[dict[str, Any]]:
        found = super().load_lines()
        for line in found:
            if "at" in line and self.hangs(line["at"]):
                line["end"] = line["at"] + (self.patience or 3.0)
                if self.patience is None:
                    line.update(status=0, kind="timeout", error="no answer within 3 s")
        return found

    def probe_lines(self) -> list[dict[str, Any]]:
        found = super().probe_lines()
        answers = {
            "ready": {"ok": True, "status": 200, "kind": "ok"},
            "silent": {"ok": False, "status": 0, "kind": "timeout"},
            "not_ready": {"ok": False, "status": 503, "kind": "error"},
        }
        for line in found:
            if line["role"] == "readiness" and self.hangs(line["at"]):
                line.update(answers[self.tells])
        return found

    def bpf_lines(self) -> list[dict[str, Any]]:
        line = {"comm": "python3", "service": "trading-api", "rport": DATABASE_PORT, "pid": API_PIDS[0]}
        hung = [
            {**line, "t": AT + at + number / 100, "event": event, "control": False}
            for number in range(self.piled)
            for at, event in ((1.0, "CONN_OK"), (6.0, "CONN_CLOSED"))
        ]
        return [*super().bpf_lines(), *hung] if self.capture == "attached" else []


def evidence(folder: Path, *changes: Change) -> Evidence:
    made = Frozen()
    for change in changes:
        change(made)
    return made.evidence(folder)


def fields(**new: Any) -> Change:
    def change(made: Frozen) -> None:
        for name, value in new.items():
            setattr(made, name, value)

    return change


def idle(made: Frozen) -> None:
    made.load_from = made.end


def measured(found: Evidence, name: str) -> Measured:
    return measure(found, name, "freeze")["freeze"]


def test_an_application_with_time_limits(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    gave_up = measured(found, "gives_up_s")
    assert gave_up.value == pytest.approx(0.4, abs=0.2)
    assert "answered 503" in gave_up.evidence
    assert "after 400 ms at the median" in gave_up.evidence
    assert measured(found, "waiting_at_once").value == pytest.approx(0.4 * RATE, abs=1)
    assert measured(found, "readiness_said").value == "not_ready"
    assert measured(found, "connections_piled_up").value == 3


def test_an_application_without_one(tmp_path: Path) -> None:
    found = evidence(tmp_path, fields(patience=None, tells="silent"))
    assert measured(found, "gives_up_s").never
    assert measured(found, "waiting_at_once").value == pytest.approx(3 * RATE, abs=1)
    assert measured(found, "readiness_said").value == "silent"


def test_readiness_may_ask_itself_only_so_often(tmp_path: Path) -> None:
    """What it said in the first two seconds is no lie yet; a tenth of the later answers is one."""
    late = evidence(
        tmp_path / "late", lambda made: setattr(made, "hangs", lambda t: AT + 1.5 <= t < AT + HOLD)
    )
    assert measured(late, "readiness_said").value == "not_ready"
    never = evidence(tmp_path / "never", fields(tells="ready"))
    assert measured(never, "readiness_said").value == "ready"


#: Each finding of the experiment's own: what fails it, what leaves it unknown.
TURNS: dict[str, tuple[Change, Change]] = {
    "gives_up": (fields(patience=None), idle),
    "waiting": (fields(patience=None), idle),
    "piled_up": (fields(piled=80), fields(control=None)),
    "readiness": (fields(tells="ready"), lambda made: setattr(made, "probe_lines", list)),
}


def specified() -> dict[str, FindingSpec]:
    """The experiment's own findings, its variables filled in."""
    role = ROOT / "roles" / "database_freeze"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    named = yaml.safe_load((role / "vars" / "main.yml").read_text())["__database_freeze_findings"]
    shared = yaml.safe_load((ROOT / "roles/chaos/vars/main.yml").read_text())["__chaos_shared_findings"]
    found = complete_findings(named, shared)
    for spec in found:
        for key, value in spec.items():
            if str(value).startswith("{{"):
                spec[key] = defaults.get(str(value).strip("{} "), 60.0)
    return {str(spec["id"]): FindingSpec.from_data(spec) for spec in found}


def test_every_finding_can_be_judged_and_passes_where_there_are_time_limits(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    for spec in specified().values():
        check_finding(spec)
    assert {name: judge_finding(found, specified()[name]).verdict for name in TURNS} == dict.fromkeys(
        TURNS, "pass"
    )


@pytest.mark.parametrize("name", TURNS)
def test_fails(name: str, tmp_path: Path) -> None:
    assert judge_finding(evidence(tmp_path, TURNS[name][0]), specified()[name]).verdict == "fail"


@pytest.mark.parametrize("name", TURNS)
def test_unknown(name: str, tmp_path: Path) -> None:
    assert judge_finding(evidence(tmp_path, TURNS[name][1]), specified()[name]).verdict == "unknown"
