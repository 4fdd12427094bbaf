# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of a rush of orders, on runs whose answer is known; each finding of experiment 11 turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.rush import STREAM, Rush
from ansible_collections.exchange.chaos.plugins.module_utils.judge.findings import (
    check_finding,
    judge_finding,
)
from ansible_collections.exchange.chaos.plugins.module_utils.judge.metrics.catalogue import Measured, measure
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FindingSpec
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.experiment_parts import complete_findings

from tests.unit.scenario import T0, Episode, Scenario

ROOT = Path(__file__).resolve().parents[3]
AT, RUSH = T0 + 10.0, Rush(100.0, 8.0, clients=10, proxy="http://p", proxy_clients=5)
Line = dict[str, Any]
Change = Callable[["Rushed"], object]
REFUSED = {"ok": False, "status": 503, "kind": "error"}
TIMED_OUT = {"ok": False, "status": 0, "kind": "timeout"}


class Rushed(Scenario):
    """A run with a rush of 8 s, of which ``meets`` says what became of the order with a number, a client and a time."""

    taken: int | None = 42

    def __init__(self) -> None:
        quiet: dict[str, Any] = {"store_down": None, "api_bad": None, "api_good": 0.0, "retries": ()}
        super().__init__(
            episodes=[Episode("rush", AT, hold=RUSH.seconds, kernel_exit=False, **quiet)], end=T0 + 28.0
        )
        self.meets: Callable[[int, int, float], Line] = lambda number, client, t: {}
        self.rushes = True

    def load_lines(self) -> list[Line]:
        lines = super().load_lines()
        for number in range(RUSH.orders if self.rushes else 0):
            t, client = RUSH.due_at(number), number % RUSH.clients
            way = "proxy" if client < RUSH.proxy_clients else "direct"
            lines.append(
                {"n": 500000 + number, "stream": STREAM, "client": client, "way": way, "side": "BUY", "at": AT + t,
                 "sent": AT + t, "end": AT + t + 0.005, "status": 201, "ok": True, "kind": "ok", "id": f"m-{number}",
                 "error": None, **self.meets(number, client, t)}
            )  # fmt: skip
        return lines

    def timeline_lines(self) -> list[Line]:
        told = {"t": AT + 8.1, "event": "measured", "fault": "rush", "name": STREAM, "taken": self.taken}
        return sorted([*super().timeline_lines(), *([told] if self.taken is not None else [])], key=_by_time)


def _by_time(line: Line) -> float:
    return float(line["t"])


def evidence(folder: Path, *changes: Change) -> Evidence:
    made = Rushed()
    for change in changes:
        change(made)
    return made.evidence(folder)


def meets(fate: Callable[[int, int, float], Line]) -> Change:
    return lambda made: setattr(made, "meets", fate)


def shedding(made: Rushed) -> None:
    """Every third order of the height is refused at once."""
    made.meets = lambda number, _client, t: REFUSED if 1.0 < t < 4.0 and number % 3 == 0 else {}


def collapsing(made: Rushed) -> None:
    made.meets = lambda _number, _client, t: {**TIMED_OUT, "end": AT + t + 3.0} if t > 2.0 else {}


def idle(made: Rushed) -> None:
    made.load_from, made.rushes = made.end, False


def measured(found: Evidence, name: str) -> Measured:
    return measure(found, name, "rush")["rush"]


def test_a_rush_that_is_borne(tmp_path: Path) -> None:
    found = evidence(tmp_path)
    assert measured(found, "rush_answer").value == "borne"
    begins = measured(found, "errors_begin_rate")
    assert begins.at_least
    assert begins.value == pytest.approx(110, abs=3), "the rush's height and the usual rate"
    assert measured(found, "rush_fairness").value == 1.0
    assert measured(found, "rush_accepted").value == 1.0
    assert measured(found, "connections_taken").value == 42


def test_what_is_refused_at_once_is_shed_and_what_times_out_collapses(tmp_path: Path) -> None:
    shed = evidence(tmp_path / "shed", shedding)
    assert measured(shed, "rush_answer").value == "shed"
    begins = measured(shed, "errors_begin_rate")
    assert (begins.at_least, begins.value) == (False, pytest.approx(110, abs=5))
    assert 0.75 < float(str(measured(shed, "rush_accepted").value)) < 0.95
    collapsed = evidence(tmp_path / "collapsed", collapsing)
    assert measured(collapsed, "rush_answer").value == "collapsed"


def test_errors_that_begin_early_are_told_by_their_half_second(tmp_path: Path) -> None:
    found = evidence(tmp_path, meets(lambda _number, _client, t: REFUSED if t < 1.0 else {}))
    assert measured(found, "errors_begin_rate").value == pytest.approx(
        10 + 2 * RUSH.planned_until(0.5), abs=5
    )


def test_a_client_that_is_starved_is_found_among_those_of_its_way(tmp_path: Path) -> None:
    """All that come through the proxy fare worse, which is the proxy's limit; one that comes directly gets nothing."""
    found = evidence(
        tmp_path,
        meets(lambda number, client, _t: REFUSED if client == 9 or (client < 5 and number % 20 < 10) else {}),
    )
    fairness = measured(found, "rush_fairness")
    assert fairness.value == 0.0
    assert "direct: 0% of client 9's taken, 100% at the median of 5" in fairness.evidence


#: Each finding of the experiment's own: what fails it, what leaves it unknown.
TURNS: dict[str, tuple[Change, Change]] = {
    "answer": (collapsing, idle),
    "errors_begin": (meets(lambda _number, _client, t: REFUSED if t < 1.0 else {}), idle),
    "fairness": (meets(lambda _number, client, _t: REFUSED if client == 7 else {}), idle),
}


def specified() -> dict[str, FindingSpec]:
    """The experiment's own findings, its variables filled in."""
    role = ROOT / "roles" / "market_surge"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    named = yaml.safe_load((role / "vars" / "main.yml").read_text())["__market_surge_findings"]
    shared = yaml.safe_load((ROOT / "roles/chaos/vars/main.yml").read_text())["__chaos_shared_findings"]
    found = complete_findings(named, shared)
    for spec in found:
        for key, value in spec.items():
            if str(value).startswith("{{"):
                spec[key] = defaults.get(str(value).strip("{} "), 10 * defaults["market_surge_bears"])
    return {str(spec["id"]): FindingSpec.from_data(spec) for spec in found}


def test_every_finding_can_be_judged_and_passes_where_all_is_borne(tmp_path: Path) -> None:
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
