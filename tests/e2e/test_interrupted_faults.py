"""Every experiment, broken off in the fault window: the machine is as it was.

Where ansible-playbook alone is killed, without any help; where all of our processes are, what a process or the kernel
holds for us ends with them, and the rest with the next word of anybody's: here a preflight.
"""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.e2e import live, machine, support

#: Playbook, a fault of it, and the variables that make its window short.
EXPERIMENTS: tuple[tuple[str, str, dict[str, str]], ...] = (
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


def _rushing() -> bool:
    """More orders come in than a run's usual rate and its watching would send."""
    recent = "SELECT count(*) FROM trading.orders WHERE created_at > now() - interval '1 second'"
    return int(support.query(recent)[0]) > 40


def _frozen() -> bool:
    states = live.limits("postgres", "freezer.state", "cgroup.freeze").values()
    return any(state.strip() in ("FROZEN", "1") for state in states)


def _locked() -> bool:
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted AND "
        "mode = 'AccessExclusiveLock' AND relation = 'trading.orders'::regclass"
    )
    return support.query(held) != ["0"]


def _nameless() -> bool:
    ask = ("exec", support.container("trading-api"), "timeout", "2", "getent", "ahostsv4", "postgres")
    try:
        return not support.docker(*ask)
    except subprocess.CalledProcessError:
        return True


def _restarting() -> bool:
    """One is down, or has not been up for long: between the two lie fractions of a second."""
    for service in ("trading-api", "nginx"):
        state = support.state_of(service)
        started = datetime.fromisoformat(state["StartedAt"][:19] + "+00:00")
        if not state["Running"] or (datetime.now(timezone.utc) - started).total_seconds() < 5:
            return True
    return False


#: Whether an experiment's fault is in force, by another way than the collection's.
IN_FORCE = {"11": _rushing, "12": _frozen, "13": _locked, "14": _nameless, "16": _restarting}
#: What ends without anybody's word when all of our processes are dead, and how many seconds later at most: with the
#: process that sends or holds it, or by the kernel at the fault's time to live (8 s and the margin of 15).
BY_ITSELF = {"11": 3.0, "13": 3.0, "14": 25.0}
#: 15 brings a filesystem of its own along: tests/e2e/test_disk_full.py.
LATER = [one for one in EXPERIMENTS if one[0][:2] in IN_FORCE]


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

    assert {one["undone_by"] for one in record["faults"] if one["injected_at"]} <= {"watchdog"}


@pytest.mark.parametrize(("name", "fault", "variables"), LATER, ids=[one[0][:2] for one in LATER])
def test_everything_of_ours_killed_leaves_nothing_that_the_next_preflight_does_not_end(
    name: str, fault: str, variables: dict[str, str], tmp_path: Path
) -> None:
    support.wait_for(lambda: not support.leftovers(), 90, "the host is not clean before the test")
    live.ready()
    before, files = machine.seen(), machine.files()
    playbook = f"playbooks/{name}.yml"
    number = name[:2]
    with support.under_way(tmp_path, f"Fault {fault}: ", playbook, **support.QUICK, **variables) as process:
        support.wait_for(IN_FORCE[number], 6, "the fault is not in force")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        support.kill_ours()
    if number in BY_ITSELF:
        support.wait_for(
            lambda: not IN_FORCE[number](), BY_ITSELF[number], "the fault outlives our processes"
        )
    done = support.ansible("playbooks/00-preflight.yml")
    assert "it was undone and ended" in done.stdout, done.stdout[-3000:]
    support.wait_for(lambda: not support.leftovers(), WITHIN_S, support.leftovers)
    live.ready()
    after = machine.seen()
    for key in before:
        assert after[key] == before[key], key
    assert machine.files() == files
