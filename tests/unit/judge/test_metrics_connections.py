# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of exhausted connections on runs whose answer is known; each finding turned to fail and to unknown."""

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

spec_of = FindingSpec.from_data

ROOT = Path(__file__).resolve().parents[3]
AT, HOLD = T0 + 10.0, 8.0
Change = Callable[["Exhausted"], object]


class Exhausted(Scenario):
    """A run in which the database stays up, its slots are taken for 8 s, and a pool may or may not bear it."""

    churn: float = 0.0
    leaked: int = 0
    counted: dict[str, dict[str, int]]

    def __init__(self) -> None:
        quiet: dict[str, Any] = {"store_down": None, "api_bad": None, "api_good": 0.0, "retries": ()}
        super().__init__(
            episodes=[Episode("exhausted", AT, mode="sessions", hold=HOLD, kernel_exit=False, **quiet)],
            end=T0 + 24.0,
        )
        self.counted = {
            when: {"limit": 60, "reserved": 3, "ours": ours, "others": 6}
            for when, ours in (("before", 0), ("held", 51), ("after", 0))
        }

    def timeline_lines(self) -> list[dict[str, Any]]:
        when = {"before": AT - 0.5, "held": AT + 0.1, "after": AT + HOLD + 0.1}
        told = [
            {
                "t": when[key],
                "event": "measured",
                "fault": "exhausted",
                "name": "connections",
                "when": key,
                **counts,
            }
            for key, counts in self.counted.items()
        ]
        return sorted([*super().timeline_lines(), *told], key=lambda line: float(line["t"]))

    def bpf_lines(self) -> list[dict[str, Any]]:
        found = super().bpf_lines()
        line = {
            "comm": "python3",
            "service": "trading-api",
            "rport": DATABASE_PORT,
            "control": False,
            "pid": API_PIDS[0],
        }
        for number in range(int(self.churn * HOLD)):
            at = AT + 0.001 + number / self.churn
            found.append({**line, "t": at, "event": "CONN_OK"})
            found.append({**line, "t": at + 0.01, "event": "CONN_CLOSED", "duration_ms": 10.0})
        for number in range(self.leaked):
            found.append({**line, "t": AT + 1 + number / 10, "event": "CONN_OK"})
        return found if self.capture == "attached" else []


def evidence(folder: Path, *changes: Change) -> Evidence:
    made = Exhausted()
    for change in changes:
        change(made)
    return made.evidence(folder)


def fields(**new: Any) -> Change:
    def change(made: Exhausted) -> None:
        for key, value in new.items():
            setattr(made, key, value)

    return change


def failing(made: Exhausted) -> None:
    made.episodes[0].api_bad, made.episodes[0].api_good = 0.0, HOLD
    made.episodes[0].error = "database postgres:5432: TooManyConnectionsError: remaining slots are reserved"


def slow(made: Exhausted) -> None:
    made.episodes[0].slow_ms, made.episodes[0].api_good = 900.0, HOLD


def unheard(when: str) -> Change:
    def change(made: Exhausted) -> None:
        del made.counted[when]

    return change


def counts(when: str, **new: int) -> Change:
    def change(made: Exhausted) -> None:
        made.counted[when].update(new)

    return change


def idle(made: Exhausted) -> None:
    made.load_from = made.end


def measured(found: Evidence, name: str) -> Measured:
    return measure(found, name, "exhausted")["exhausted"]


def test_a_pool_bears_it(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    assert measured(found, "acknowledged_while_held").value == 1.0
    assert measured(found, "queueing_or_failing").value == "unaffected"
    assert measured(found, "added_wait_ms").value == pytest.approx(0, abs=0.01)
    assert measured(found, "connection_churn").value == 0
    assert measured(found, "connections_left_open").value == 0
    kept = measured(found, "connection_limit_kept")
    assert kept.value is True
    assert "max_connections 60 before, 60 after" in kept.evidence
    assert "sessions of others 6 before, 6 after" in kept.evidence


def test_what_connects_for_every_order_fails_and_churns(tmp_path: Path) -> None:
    found = evidence(tmp_path, failing, fields(churn=50.0))
    assert measured(found, "acknowledged_while_held").value == pytest.approx(0, abs=0.01)
    assert measured(found, "queueing_or_failing").value == "failing"
    assert measured(found, "connection_churn").value == pytest.approx(50, rel=0.02)
    assert measured(found, "short_connections").value == 400
    assert measured(found, "connections_left_open").value == 0


def test_what_waits_queues(tmp_path: Path) -> None:
    found = evidence(tmp_path, slow)
    assert measured(found, "acknowledged_while_held").value == 1.0
    assert measured(found, "queueing_or_failing").value == "queueing"
    assert measured(found, "added_wait_ms").value == pytest.approx(896, abs=2)


#: Each finding that counts of the experiment's own: what fails it, what leaves it unknown.
TURNS: dict[str, tuple[Change, Change]] = {
    "pooled": (failing, idle),
    "queueing": (failing, idle),
    "churn": (fields(churn=50.0), fields(control=None)),
    "left_open": (fields(leaked=4), fields(control=None)),
    "limit_kept": (counts("after", limit=10), unheard("before")),
}


def specified() -> dict[str, dict[str, Any]]:
    """The experiment's own findings, its variables filled in."""
    role = ROOT / "roles" / "connection_pool_exhaustion"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    named = yaml.safe_load((role / "vars" / "main.yml").read_text())["__connection_pool_exhaustion_findings"]
    shared = yaml.safe_load((ROOT / "roles/chaos/vars/main.yml").read_text())["__chaos_shared_findings"]
    found = complete_findings(named, shared)
    for spec in found:
        for key, value in spec.items():
            if str(value).startswith("{{"):
                spec[key] = defaults[str(value).strip("{} ")]
    return {str(spec["id"]): spec for spec in found}


def test_every_finding_of_the_experiment_can_be_judged_and_passes_on_a_pool(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    for spec in specified().values():
        check_finding(spec_of(spec))
        assert judge_finding(found, spec_of(spec)).verdict in ("pass", "unknown"), spec["id"]
    assert {
        name for name in TURNS if judge_finding(found, spec_of(specified()[name])).verdict != "pass"
    } == set()


@pytest.mark.parametrize("name", TURNS)
def test_fails(name: str, tmp_path: Path) -> None:
    assert judge_finding(evidence(tmp_path, TURNS[name][0]), spec_of(specified()[name])).verdict == "fail"


@pytest.mark.parametrize("name", TURNS)
def test_unknown(name: str, tmp_path: Path) -> None:
    assert judge_finding(evidence(tmp_path, TURNS[name][1]), spec_of(specified()[name])).verdict == "unknown"


def test_a_session_of_ours_that_is_left_is_no_kept_limit(tmp_path: Path) -> None:
    assert measured(evidence(tmp_path, counts("after", ours=1)), "connection_limit_kept").value is False
