"""Every experiment, its ansible-playbook killed in the fault window: the machine is as it was, without any help."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e import live, machine, support

#: Playbook, a fault of it, and the variables that make its window short.
EXPERIMENTS = (
    ("01-database-sudden-death", "outage", {"database_sudden_death_crash": "false"}),
    ("02-network-partition", "partition", {"network_partition_s": "8"}),
    ("03-memory-oom-kill", "oom", {"memory_oom_kill_window_s": "8"}),
    ("04-cpu-throttling", "throttle", {"cpu_throttling_s": "8"}),
    ("05-disk-io-starvation", "starve", {"disk_io_starvation_s": "8"}),
    ("06-connection-pool-exhaustion", "exhausted", {"connection_pool_exhaustion_hold_s": "8"}),
    ("07-redis-cache-failure", "outage", {"redis_cache_failure_crash": "false"}),
    ("08-nginx-failure", "outage", {"nginx_failure_crash": "false"}),
    ("09-network-latency", "latency_50", {"network_latency_step_s": "8"}),
    ("10-multi-service-failure", "crash", {}),
    ("11-market-surge", "rush", {"market_surge_s": "8"}),
    ("12-database-freeze", "freeze", {"database_freeze_s": "8"}),
    ("13-database-lock", "lock", {"database_lock_s": "8"}),
    ("14-name-resolution-failure", "names", {"name_resolution_failure_s": "8"}),
    (
        "16-rolling-restart",
        "deployment",
        {"rolling_restart_order": "api,proxy", "rolling_restart_window_s": "14"},
    ),
)
#: The longest window, the margin, and the recovery that the watchdog waits for.
WITHIN_S = 75.0

pytestmark = pytest.mark.full


@pytest.mark.parametrize(("name", "fault", "variables"), EXPERIMENTS, ids=[one[0][:2] for one in EXPERIMENTS])
def test_the_machine_is_as_it_was(name: str, fault: str, variables: dict[str, str], tmp_path: Path) -> None:
    support.wait_for(lambda: not support.leftovers(), 90, "the host is not clean before the test")
    live.ready()
    before, files = machine.seen(), machine.files()
    playbook = f"playbooks/{name}.yml"
    with support.under_way(tmp_path, f"Fault {fault}: ", playbook, **support.QUICK, **variables) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        record = live.settle(WITHIN_S)
    live.ready()
    after = machine.seen()
    for key in before:
        assert after[key] == before[key], key
    assert machine.files() == files

    assert {one["undone_by"] for one in record["faults"] if one["injected_at"]} <= {"watchdog"}  # type: ignore[index]
