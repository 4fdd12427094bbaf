"""A slow host: asked less often, given more time."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run import lease, slow_host
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

PROBE = {"name": "ready", "kind": "http", "rate": 10, "fault_rate": 100, "timeout_s": 1}


def spec(**parts: object) -> Specification:
    return Specification.read(parts)


def test_probes_come_less_often_and_wait_longer() -> None:
    (found,) = slow_host.ease_probes(spec(slow_host=4.0, probes=[PROBE])).probes
    assert found.to_data() == {**PROBE, "rate": 2.5, "fault_rate": 25.0, "timeout_s": 4.0}


def test_a_usual_host_is_asked_as_written() -> None:
    (found,) = slow_host.ease_probes(spec(probes=[PROBE])).probes
    assert found.to_data() == PROBE


def test_observers_of_a_slow_host_look_at_the_run_less_often_but_in_time_for_a_fault() -> None:
    assert slow_host.observer_tick(spec(), 0.03) == 0.03
    assert slow_host.observer_tick(spec(slow_host=4), 0.03) == pytest.approx(0.12)
    assert slow_host.observer_tick(spec(slow_host=50), 0.03) == 0.3
    assert slow_host.observer_tick(spec(slow_host=50), 0.5) == 0.5


@pytest.mark.parametrize("value", [0.5, 51, "slow", True])
def test_what_is_no_factor_is_told(value: object) -> None:
    (problem,) = Specification.problems({"slow_host": value})
    assert problem.startswith("chaos_slow_host is ")


def test_no_factor_and_a_good_one_are_no_problem() -> None:
    assert Specification.problems({}) == Specification.problems({"slow_host": 10.0}) == []


def test_the_lease_is_so_many_times_longer(tmp_path: Path) -> None:
    write_json(tmp_path / "spec.json", {"slow_host": 3.0})
    run = RunDir(tmp_path)
    begun = clock.read()
    lease.renew_lease(run, 20)
    assert 60 <= run.read_deadline() - begun < 61
