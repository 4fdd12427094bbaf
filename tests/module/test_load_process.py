# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load as a process of its own, against an API that can do everything wrong."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load import sender
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.module.load_api import Api, load_spec, make_run, wait_for

Start = Callable[..., RunDir]


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.refuse()


@pytest.fixture
def start(api: Api, tmp_path: Path) -> Iterator[Start]:
    """Start the load process; whatever a test does, it is gone afterwards."""
    runs: list[RunDir] = []

    def begin(**changes: Any) -> RunDir:
        run = make_run(tmp_path / f"run-{len(runs)}", load_spec(api.url, **changes))
        runs.append(run)
        processes.start_process(run, "load")
        return run

    yield begin
    for run in runs:
        processes.stop_process(run, "load", timeout=0.1)


def end(run: RunDir) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Stop the process; return its orders and its summary."""
    assert processes.stop_process(run, "load")
    lines = jsonl.read_lines(run.file("load.jsonl"))
    assert list(lines[-1]) == ["summary"]
    return lines[:-1], lines[-1]["summary"]


def test_every_order_that_arrived_is_written_and_every_written_one_arrived(api: Api, start: Start) -> None:
    """The API's own list is the truth: same numbers, same sides, prices to the last digit."""
    run = start(rate=100)
    time.sleep(1.5)
    lines, summary = end(run)
    arrived = {order["price"]: order for order in api.orders}
    assert len(arrived) == len(api.orders) == len(lines) > 100
    for line in lines:
        order = arrived[Decimal(100) + Decimal(line["n"]) / 10**8]
        assert order["side"] == line["side"]
        assert line["at"] <= line["sent"] <= order["t"] <= line["end"]
        assert (line["ok"], line["kind"], line["status"], line["error"]) == (True, "ok", 201, None)
    assert len({line["id"] for line in lines}) == len(lines)
    assert Counter(line["side"] for line in lines)["SELL"] == pytest.approx(len(lines) / 2, abs=1)
    assert (summary["scheduled"], summary["finished"]) == (len(lines), len(lines))
    assert (summary["dropped"], summary["in_flight"]) == (0, 0)


@pytest.mark.alone
def test_lines_are_on_disk_while_the_load_runs(start: Start) -> None:
    """The guard and the live line read them: nothing may wait for the end of the run."""
    run = start(rate=100)
    time.sleep(0.5)
    newest = max(line["end"] for line in jsonl.read_lines(run.file("load.jsonl")))
    assert clock.read() - newest < 0.15


@pytest.mark.alone
def test_a_slow_api_does_not_slow_the_load_and_its_clients_wait_is_told(api: Api, start: Start) -> None:
    """A closed loop would send 3 orders a second here, and would call each of them punctual."""
    run = start(rate=40, timeout_s=2)
    api.be("delay")
    time.sleep(2)
    lines, summary = end(run)
    assert summary["scheduled"] == pytest.approx(40 * 2, rel=0.2)
    slow = [line for line in lines if line["end"] - line["at"] >= 0.3]
    assert len(slow) > 50
    assert all(line["ok"] for line in slow)


def test_an_order_that_goes_out_late_counts_from_when_it_was_meant_to(api: Api) -> None:
    """The load's own process may be held up; its clients' wait began all the same (no coordinated omission)."""
    load = sender.Sender(load_spec(api.url))
    at = clock.read() - 0.5
    load.send(at, "steady")
    (line,) = wait_for(lambda: taken(load))
    assert line["at"] == pytest.approx(at, abs=1e-5)
    assert line["sent"] - line["at"] >= 0.5


@pytest.mark.parametrize(
    ("behaviour", "kind", "status", "words"),
    [
        ("hang", "timeout", 0, "no answer from 127.0.0.1"),
        ("reset", "reset", 0, "closed the connection without an answer"),
        ("close", "reset", 0, "closed the connection without an answer"),
        ("error", "error", 500, "connect to 10.0.0.2:5432: refused"),
        ("empty", "empty", 500, "status 500 with an empty body"),
        ("garbage", "error", 201, "<html>hello</html>"),
    ],
)
def test_each_way_to_fail_has_its_own_name(
    api: Api, start: Start, behaviour: str, kind: str, status: int, words: str
) -> None:
    run = start(timeout_s=0.5)
    time.sleep(0.3)
    api.be(behaviour)
    since = clock.read()
    time.sleep(0.8)
    lines, summary = end(run)
    failed = [line for line in lines if line["sent"] > since]
    assert len(failed) > 20
    assert {(line["kind"], line["status"], line["ok"]) for line in failed} == {(kind, status, False)}
    assert all(words in line["error"] and line["id"] is None for line in failed)
    assert all(line["ok"] for line in lines if line["end"] < since)
    assert summary["in_flight"] == 0


@pytest.mark.alone
def test_a_closed_port_is_refused_and_taken_again_as_soon_as_it_opens(api: Api, start: Start) -> None:
    run = start(rate=100)
    time.sleep(0.3)
    api.refuse()
    time.sleep(0.6)
    api.listen()
    time.sleep(0.5)
    lines, _ = end(run)
    (_, _, down), (_, _, up) = api.switched[-2:]
    refused = [line for line in lines if down < line["sent"] < up - 0.05]
    assert len(refused) > 30
    assert {line["kind"] for line in refused} <= {"refused", "reset"}
    assert [line["kind"] for line in refused].count("refused") > len(refused) - 5
    assert all(line["ok"] for line in lines if line["sent"] > up + 0.05)


def test_an_order_that_failed_is_never_sent_again(api: Api, start: Start) -> None:
    """The API notes each arrival before it fails it: an order that is tried again would arrive twice."""
    run = start(rate=50)
    for behaviour in ("reset", "error", "close", "ok"):
        api.be(behaviour)
        time.sleep(0.4)
    lines, _ = end(run)
    assert len(api.arrived) == len(set(api.arrived)) == len(lines)
    assert len({line["n"] for line in lines}) == len(lines)


def taken(load: sender.Sender) -> list[dict[str, Any]]:
    """Let the load read its answers for a moment; return the lines of what ended."""
    load.wait(0.005)
    return load.take()


@pytest.mark.alone
def test_when_all_connections_wait_the_order_is_written_as_dropped(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that cannot send must say so; one that stays silent makes an outage look quiet."""
    monkeypatch.setattr(sender, "MOST_OUTSTANDING", 3)
    api.be("hang")
    load = sender.Sender(load_spec(api.url, timeout_s=0.5))
    for k in range(5):
        load.send(clock.read(), "steady" if k else "burst")
    lines = wait_for(lambda: taken(load), 0.4)
    assert [line["kind"] for line in lines] == ["dropped", "dropped"]
    assert all(not line["ok"] and line["end"] >= line["at"] for line in lines)
    assert load.in_flight == 3
    wait_for(lambda: not taken(load) and not load.in_flight, 2)
    assert load.summary()["dropped"] == 2
    assert load.summary()["finished"] == 3
    load.send(clock.read(), "steady")
    wait_for(lambda: [line["kind"] for line in taken(load)] == ["timeout"], 2)


def test_when_the_numbers_are_used_up_the_order_is_dropped_and_none_is_used_twice(api: Api) -> None:
    spec = load_spec(api.url)
    load = sender.Sender({**spec, "price": {**spec["price"], "span": 6}})
    for _ in range(6):
        load.send(clock.read(), "steady")
    lines: list[dict[str, Any]] = []
    wait_for(lambda: lines.extend(taken(load)) or len(lines) == 6)
    assert sorted(line["n"] or 0 for line in lines)[:2] == [0, 0]
    assert sum(line["ok"] for line in lines) == 4


@pytest.mark.alone
def test_the_burst_leads_up_to_the_kill(api: Api, start: Start) -> None:
    run = start(rate=10, watch_rate=40, burst_rate=200, burst_s=2.0)
    time.sleep(0.5)
    run.write_event("fault_imminent", fault="crash", kind="kill", ends_target=True)
    time.sleep(1)
    killed = run.write_event("fault_injected", fault="crash")["t"]
    time.sleep(1.6)
    run.write_event("steady", fault="crash")
    time.sleep(0.6)
    lines, _ = end(run)
    assert sum(killed - 0.9 <= line["at"] < killed for line in lines) >= 0.9 * 250 - 15
    burst = [line["at"] for line in lines if line["stream"] == "burst"]
    assert killed - 1.2 <= min(burst)
    assert killed <= max(burst) <= killed + 0.2
    last = [line for line in lines if line["at"] > killed + 1.75]
    assert last
    assert {line["stream"] for line in last} == {"steady"}


def test_the_end_waits_for_what_is_under_way(api: Api, start: Start) -> None:
    """An order that is answered after the signal still has its line: without it the ledger would be wrong."""
    run = start(rate=50, timeout_s=2)
    api.be("delay")
    time.sleep(0.5)
    lines, summary = end(run)
    assert summary["in_flight"] == 0
    assert len(lines) == summary["scheduled"] == len(api.orders)


@pytest.mark.alone
def test_the_end_does_not_wait_longer_than_one_time_out(api: Api, start: Start) -> None:
    run = start(rate=20, timeout_s=0.5)
    api.be("hang")
    time.sleep(0.3)
    begun = clock.read()
    lines, summary = end(run)
    assert clock.read() - begun < 1.6
    assert summary["in_flight"] == 0
    assert "timeout" in {line["kind"] for line in lines}


@pytest.mark.alone
def test_ready_is_told_though_nothing_is_acknowledged(api: Api, tmp_path: Path) -> None:
    api.be("hang")
    run = make_run(tmp_path / "run", load_spec(api.url))
    begun = clock.read()
    try:
        processes.start_process(run, "load")
        assert 2.5 < clock.read() - begun < 5
    finally:
        processes.stop_process(run, "load", timeout=0.1)


def test_a_killed_process_leaves_whole_lines_and_no_summary(start: Start) -> None:
    run = start(rate=100)
    time.sleep(0.5)
    registered = processes.living_process(run, "load")
    assert registered
    os.kill(registered["pid"], signal.SIGKILL)
    wait_for(lambda: not processes.living_process(run, "load"))
    lines = jsonl.read_lines(run.file("load.jsonl"))
    assert len(lines) > 20
    assert all("n" in line for line in lines)


def test_the_process_ends_by_itself_when_its_run_is_gone(start: Start) -> None:
    run = start()
    run.file("spec.json").unlink()
    wait_for(lambda: not processes.living_process(run, "load"))
