"""What `make bench` concludes from what it measured, and the stand-in exchange that it measures on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import command, control_plane, light_exchange
from tests.bench.control_plane import Cost
from tests.bench.machine import BenchError

ROOT = Path(__file__).resolve().parents[3]
LOOKUP = "SELECT price FROM trading.orders WHERE user_id = 'u' AND symbol = 'S' AND price BETWEEN {} AND {}"


def cost(hosts: int, controller_s: float, host_s: float, *, modules: int = 3, **told: Any) -> Cost:
    """A run on so many hosts, each with so many modules and one slice of a window; ``told``: more of their records."""
    names = [f"light-{number}" for number in range(1, hosts + 1)]
    trips: list[dict[str, Any]] = [
        {
            "what": "module",
            "module": name,
            "host": host,
            "remote": True,
            "task": "Do",
            "state": "",
            "fault": "",
        }
        for host in names
        for name in [*(f"exchange.chaos.{number}" for number in range(modules)), control_plane.WINDOW]
    ]
    trips += [{"what": "exec_command", "port": 22}, {**trips[0], "host": "localhost", "remote": False}]
    whole = {
        "outcome": "passed",
        "verdicts": {"effect": "pass", "restored": "pass"},
        "faults": [{"injected_at": "2026-11-25T11:00:00Z"}] * 2,
        "leftovers": [],
    }
    record = {"hosts": [{"host": host, **whole, **told} for host in names]}
    return Cost(hosts, 60.0, controller_s, host_s, 0.6 * hosts, record, tuple(trips))


def judged(*costs: Cost) -> list[bool]:
    return [good for good, _text in control_plane.judge(list(costs))]


def test_windows_and_the_controllers_own_modules_are_no_round_trips() -> None:
    found = cost(10, 1, 1)
    assert found.most_modules == 3
    assert found.slices == 1
    assert found.transfers == 0.1


@pytest.mark.parametrize(("times", "bad"), [(0.5, 0), (1, 0), (1.29, 0), (1.31, 1)])
@pytest.mark.parametrize("side", ["controller", "host"])
def test_a_further_host_may_cost_three_tenths_more_and_no_more_than_that(
    side: str, times: float, bad: int
) -> None:
    # up to ten hosts a further one costs 1 s on the controller and 3 s on the host
    controller, host = (times, 1.0) if side == "controller" else (1.0, times)
    large = cost(50, 14 + 40 * 1 * controller, 37 + 40 * 3 * host)
    assert judged(cost(1, 5, 10), cost(10, 14, 37), large).count(False) == bad


@pytest.mark.parametrize(("times", "bad"), [(0.0, 1), (0.4, 0), (1.29, 0), (1.31, 1)])
def test_watching_a_host_may_cost_three_tenths_more_by_the_second_and_no_more_than_that(
    times: float, bad: int
) -> None:
    large = cost(50, 54, 157)
    large = dataclasses.replace(large, wall_s=600.0, observers_s=50 * 600 * 0.01 * times)
    assert judged(cost(1, 5, 10), cost(10, 14, 37), large).count(False) == bad


@pytest.mark.parametrize("seconds", [(0, 0, 0), (5, 5, 54), (5, 14, 14), (14, 5, 4)])
def test_cpu_seconds_that_do_not_grow_were_not_measured(seconds: tuple[float, float, float]) -> None:
    costs = [cost(hosts, used, 10 + hosts) for hosts, used in zip((1, 10, 50), seconds)]
    assert judged(*costs).count(False) == 1


def test_a_thirteenth_round_trip_fails() -> None:
    assert all(judged(cost(1, 5, 10, modules=12)))
    assert judged(cost(1, 5, 10, modules=13)).count(False) == 1


def test_round_trips_that_nobody_counted_fail() -> None:
    assert judged(cost(10, 5, 10, modules=0)).count(False) == 1
    some = cost(10, 5, 10)
    but_one = tuple(trip for trip in some.trips if trip.get("host") != "light-10")
    assert judged(dataclasses.replace(some, trips=but_one)).count(False) == 1
    assert judged(cost(1, 5, 10), dataclasses.replace(some, trips=but_one)).count(False) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"verdicts": {"effect": "pass", "restored": "fail"}},
        {"verdicts": {"effect": "unknown", "restored": "pass"}},
        {"outcome": "aborted"},
        {"faults": [{"injected_at": "2026-11-25T11:00:00Z"}, {"injected_at": None}]},
    ],
)
def test_a_host_without_the_whole_experiment_fails_and_is_named(told: dict[str, Any]) -> None:
    bad = cost(2, 5, 10, **told)
    assert [words.split()[0] for words in bad.unproved] == ["light-1", "light-2"]
    assert judged(bad).count(False) == 1


@pytest.mark.parametrize("counts", [["10", "1", "50"], ["10", "10"], ["0", "1"], ["1", "5", "10", "50"]])
def test_counts_of_which_no_growth_comes_are_refused(
    counts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(control_plane.light, "up", lambda _count: pytest.fail("hosts were made"))
    monkeypatch.setattr(control_plane.light, "down", lambda: None)
    monkeypatch.setattr(sys, "argv", ["control_plane", *counts])
    with pytest.raises(SystemExit):
        control_plane.main()
    assert "each larger than the one before" in capsys.readouterr().err


def test_a_bench_that_cannot_be_set_up_says_why_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(count: int) -> Path:
        raise BenchError(f"no room for {count}")

    monkeypatch.setattr(sys, "argv", ["light", "up"])
    assert command.main("Hosts.", refuse, lambda: None, 10) == 1
    assert capsys.readouterr().err == "✗ no room for 10\n"
    assert command.main("Hosts.", lambda _count: Path("hosts.yml"), lambda: None, 10) == 0
    assert capsys.readouterr().out == "hosts.yml\n"


def test_the_small_exchange_finds_what_lies_between_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light_exchange, "ORDERS", tmp_path / "orders")
    query = LOOKUP.format("100.00000002", "100.00000004")
    assert light_exchange.look_up(query) == []
    (tmp_path / "orders").write_text("".join(f"100.0000000{number}\n" for number in (1, 2, 4, 4, 5)))
    assert light_exchange.look_up(query) == ["100.00000002", "100.00000004", "100.00000004"]
    assert light_exchange.look_up(query.replace("price FROM", "price, order_id FROM")) == []
    assert light_exchange.look_up("SELECT name FROM pg_settings") == []


#: What a module does not import, for it costs more than all the rest: the libraries, who judges, who asks the engine.
DEAR = {
    "window": (
        "docker",
        "pyroute2",
        "urllib3",
        "*.host.docker_engine",
        "*.judge.record",
        "*.lifecycle.finish",
    ),
    "halt": ("docker", "pyroute2", "urllib3", "*.host.docker_engine", "*.judge.record", "*.lifecycle.finish"),
    "capture": ("docker", "pyroute2", "urllib3", "*.host.docker_engine", "*.bpf.spool"),
    "probes": ("docker", "pyroute2"),
    "load": ("docker", "pyroute2"),
    "record": ("docker", "pyroute2"),
}


@pytest.mark.parametrize("name", DEAR)
def test_a_module_imports_nothing_dear_before_it_needs_it(name: str) -> None:
    """A slice of a window is the module that runs most often; a halt is waited for."""
    plugins = "ansible_collections.exchange.chaos.plugins"
    code = f"import sys, {plugins}.modules.{name}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / ".collections", capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert f"{plugins}.modules.{name}" in loaded
    assert not {each.replace("*", f"{plugins}.module_utils") for each in DEAR[name]} & loaded
