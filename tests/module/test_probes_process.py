# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes as a process of their own: the edges of an outage against the instants at which it was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module.load_api import Api, load_spec, make_run, wait_for

Start = Callable[[], RunDir]


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.refuse()


@pytest.fixture
def start(api: Api, tmp_path: Path) -> Iterator[Start]:
    runs: list[RunDir] = []

    def begin() -> RunDir:
        probes: list[dict[str, Any]] = [
            {
                "name": "ready",
                "role": "readiness",
                "kind": "http",
                "url": f"{api.url}/ready",
                "rate": 10,
                "fault_rate": 100,
                "timeout_s": 0.4,
            },
            {
                "name": "health",
                "role": "health",
                "kind": "http",
                "url": f"{api.url}/health",
                "rate": 10,
                "expect": {"status": 200, "expression": "status == 'healthy'"},
            },
            {
                "name": "port",
                "role": "store",
                "kind": "tcp",
                "address": "127.0.0.1",
                "port": api.port,
                "rate": 10,
                "fault_rate": 100,
            },
        ]
        run = make_run(tmp_path / f"run-{len(runs)}", load_spec(api.url), probes)
        runs.append(run)
        processes.start_process(run, "probes")
        return run

    yield begin
    for run in runs:
        processes.stop_process(run, "probes", timeout=0.1)


def samples(run: RunDir, probe: str) -> list[dict[str, Any]]:
    return sorted(
        (line for line in jsonl.read_lines(run.file("probes.jsonl")) if line["probe"] == probe),
        key=lambda line: line["at"],
    )


def density(lines: list[dict[str, Any]], begin: float, finish: float) -> float:
    return sum(begin <= line["at"] < finish for line in lines) / (finish - begin)


@pytest.mark.alone
def test_samples_are_dense_from_the_announcement_until_steady_and_never_bunched(start: Start) -> None:
    run = start()
    calm = clock.read()
    time.sleep(1)
    announced = run.write_event("fault_imminent", fault="crash", kind="kill", ends_target=True)["t"]
    time.sleep(1)
    steady = run.write_event("steady", fault="crash")["t"]
    time.sleep(1)
    finish = clock.read()
    assert processes.stop_process(run, "probes")
    for probe, fast in (("ready", 100), ("port", 100), ("health", 10)):
        lines = samples(run, probe)
        assert density(lines, calm, announced) == pytest.approx(10, abs=2)
        assert density(lines, announced + 0.1, steady) == pytest.approx(fast, rel=0.2)
        assert density(lines, steady + 0.1, finish - 0.1) == pytest.approx(10, abs=3)
        assert all(line["ok"] and line["kind"] == "ok" and line["detail"] is None for line in lines)
        gaps = [b["at"] - a["at"] for a, b in zip(lines, lines[1:])]
        assert (
            sum(gap < 0.3 / fast for gap in gaps) <= 4
        )  # only where the rate changes, or our own thread was late


@pytest.mark.alone
def test_what_is_dear_to_ask_is_asked_often_only_while_it_is_down(api: Api, tmp_path: Path) -> None:
    probe = {"name": "store", "role": "store", "kind": "tcp", "address": "127.0.0.1", "port": api.port}
    run = make_run(tmp_path / "run", load_spec(api.url), [{**probe, "rate": 10, "outage_rate": 50}])
    processes.start_process(run, "probes")
    try:
        announced = run.write_event("fault_imminent", fault="crash", kind="kill")["t"]
        time.sleep(1)
        api.refuse()
        down = clock.read()
        time.sleep(1)
        api.listen()
        up = clock.read()
        time.sleep(2.2)
        finish = clock.read()
    finally:
        assert processes.stop_process(run, "probes")
    lines = samples(run, "store")
    assert density(lines, announced, down) == pytest.approx(10, abs=2)
    assert density(lines, down + 0.2, up) == pytest.approx(50, rel=0.2)
    assert density(lines, up, up + 0.8) == pytest.approx(50, rel=0.2)
    assert density(lines, up + 1.2, finish) == pytest.approx(10, abs=3)


@pytest.mark.alone
def test_the_edges_of_an_outage_are_known_to_50_ms(api: Api, start: Start) -> None:
    """The API's own note of when it closed and opened its port is the truth, and must lie within each interval.

    Of three outages one at least must be known to 50 ms on both edges: a busy machine may spoil the others.
    """
    run = start()
    run.write_event("fault_imminent", fault="crash", kind="kill", ends_target=True)
    time.sleep(0.3)
    for _ in range(3):
        api.refuse()
        time.sleep(0.4)
        api.listen()
        time.sleep(0.4)
    assert processes.stop_process(run, "probes")
    for probe in ("ready", "port"):
        widths = []
        for (_, closing, closed), (_, opening, opened) in zip(api.switched[1::2], api.switched[2::2]):
            lines = [line for line in samples(run, probe) if closing - 0.2 < line["at"] < opened + 0.3]
            bad = [line for line in lines if not line["ok"]]
            assert len(bad) > 15
            assert all(line["kind"] in ("refused", "reset") and line["detail"] for line in bad)
            before = max(line["at"] for line in lines if line["at"] < bad[0]["at"])
            after = min(line["end"] for line in lines if line["at"] > bad[-1]["at"])
            assert before <= closed
            assert closing <= bad[0]["end"]
            assert bad[-1]["at"] <= opened
            assert opening <= after
            widths.append(max(bad[0]["end"] - before, after - bad[-1]["at"]))
        assert min(widths) <= 0.05, widths


@pytest.mark.alone
def test_a_target_that_hangs_is_bounded_and_is_not_flooded_when_it_wakes(api: Api, start: Start) -> None:
    run = start()
    run.write_event("fault_imminent", fault="crash", kind="kill", ends_target=True)
    time.sleep(0.3)
    api.be("hang")
    since = clock.read()
    time.sleep(1.2)
    api.be("ok")
    woke = clock.read()
    time.sleep(0.7)
    assert processes.stop_process(run, "probes")
    lines = samples(run, "ready")
    hung = [line for line in lines if since < line["at"] < woke - 0.05]
    assert 2 <= len(hung) <= 4
    assert {line["kind"] for line in hung} == {"timeout"}
    assert all(0.35 < line["end"] - line["at"] < 0.6 for line in hung)
    answered = max(line["end"] for line in hung)
    assert density(lines, answered, answered + 0.25) <= 115
    assert samples(run, "port")[-1]["ok"], "another probe was held up by the one that hangs"


@pytest.mark.parametrize(
    ("behaviour", "kind", "status", "detail"),
    [
        ("error", "error", 500, "STORE_DOWN"),
        ("empty", "empty", 500, "status 500"),
        ("garbage", "error", 201, "hello"),
        ("reset", "reset", 0, "without an answer"),
    ],
)
def test_an_answer_counts_only_if_status_and_body_are_as_expected(
    api: Api, start: Start, behaviour: str, kind: str, status: int, detail: str
) -> None:
    run = start()
    api.be(behaviour)
    since = clock.read()
    time.sleep(0.5)
    assert processes.stop_process(run, "probes")
    seen = [line for line in samples(run, "health") if line["at"] > since]
    assert len(seen) >= 3
    assert {(line["ok"], line["kind"], line["status"]) for line in seen} == {(False, kind, status)}
    assert detail in seen[0]["detail"]


def test_one_connection_serves_many_samples(api: Api, start: Start) -> None:
    """A connect for each sample would cost the service more than the question does."""
    run = start()
    wait_for(lambda: len(samples(run, "ready")) >= 12)
    assert processes.stop_process(run, "probes")
    asked = len(samples(run, "ready")) + len(samples(run, "health"))
    assert api.connections - len(samples(run, "port")) <= 3 < asked
