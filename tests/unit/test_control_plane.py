"""What `make bench` concludes from what it measured, and the stand-in exchange that it measures on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import control_plane, light_exchange
from tests.bench.control_plane import Cost

ROOT = Path(__file__).resolve().parents[2]
LOOKUP = "SELECT price FROM trading.orders WHERE user_id = 'u' AND symbol = 'S' AND price BETWEEN {} AND {}"


def cost(hosts: int, controller_s: float, host_s: float, *, modules: int = 3, restored: str = "pass") -> Cost:
    """A run on so many hosts, each with so many modules and one slice of a window."""
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
    record = {
        "hosts": [{"host": host, "verdicts": {"effect": "pass", "restored": restored}} for host in names]
    }
    return Cost(hosts, 60.0, controller_s, host_s, record, tuple(trips))


def judged(*costs: Cost) -> list[bool]:
    return [good for good, _text in control_plane.judge(list(costs))]


def test_windows_and_the_controllers_own_modules_are_no_round_trips() -> None:
    found = cost(10, 1, 1)
    assert found.most_modules == 3
    assert found.slices == 1
    assert found.transfers == 0.1


def test_linear_growth_is_good_and_anything_above_a_third_more_is_not() -> None:
    linear = [cost(1, 5, 10), cost(10, 14, 37), cost(50, 54, 157)]
    assert all(judged(*linear))
    steeper = cost(50, 14 + 40 * 1.31, 157)
    assert judged(linear[0], linear[1], steeper).count(False) == 1
    steeper = cost(50, 54, 37 + 40 * 3 * 1.31)
    assert judged(linear[0], linear[1], steeper).count(False) == 1


def test_a_thirteenth_round_trip_fails() -> None:
    assert all(judged(cost(1, 5, 10, modules=12)))
    assert judged(cost(1, 5, 10, modules=13)).count(False) == 1


def test_a_host_that_was_not_restored_fails_and_is_named() -> None:
    bad = cost(2, 5, 10, restored="fail")
    assert [words.split()[0] for words in bad.unproved] == ["light-1", "light-2"]
    assert judged(bad).count(False) == 1


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


def test_a_slice_of_a_window_does_not_import_the_engines_library() -> None:
    """It is the module that runs most often, and that library is half of what it would cost."""
    module = "ansible_collections.exchange.chaos.plugins.modules.window"
    code = f"import sys, {module}; print('docker' in sys.modules, 'pyroute2' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / ".collections", capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
