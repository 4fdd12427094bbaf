"""The target of a held fault is restarted, or made anew, in the middle of it: undone all the same, and told right."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import live, machine, support

HOLD_S = "20"
#: Playbook, fault, its target, and the variables that hold it long enough for a container to be made anew.
FAULTS = (
    ("01-database-sudden-death", "outage", "postgres", {
        "database_sudden_death_crash": "false", "database_sudden_death_outage_s": HOLD_S,
    }),
    ("02-network-partition", "partition", "trading-api", {"network_partition_s": HOLD_S}),
    ("04-cpu-throttling", "throttle", "trading-api", {"cpu_throttling_s": HOLD_S}),
    ("05-disk-io-starvation", "starve", "postgres", {"disk_io_starvation_s": HOLD_S}),
    ("06-connection-pool-exhaustion", "exhausted", "postgres", {"connection_pool_exhaustion_hold_s": HOLD_S}),
    ("09-network-latency", "latency_50", "trading-api", {"network_latency_step_s": HOLD_S}),
)  # fmt: skip

pytestmark = pytest.mark.full


def restart(service: str) -> None:
    """The same container, with another process."""
    support.docker("restart", "--time", "1", support.container(service))


def make_anew(service: str) -> None:
    """Another container, with another id and, as a rule, another address."""
    support.docker("rm", "--force", support.container(service))
    support.lab()


@pytest.mark.parametrize("change", [restart, make_anew])
@pytest.mark.parametrize(
    ("name", "fault", "service", "variables"), FAULTS, ids=[one[0][:2] for one in FAULTS]
)
def test_it_is_undone_and_told(
    name: str, fault: str, service: str, variables: dict[str, str], change: Any, tmp_path: Path
) -> None:
    support.wait_for(lambda: not support.leftovers(), 90, "the host is not clean before the test")
    live.ready()
    before, identity = lasting(machine.seen()), support.container(service)
    playbook = f"playbooks/{name}.yml"
    with support.under_way(tmp_path, f"Fault {fault}: ", playbook, **support.QUICK, **variables) as process:
        time.sleep(3)
        change(service)
        process.wait(180)
    live.ready()
    record = support.report(tmp_path).record
    (host,) = record["hosts"]
    assert (support.container(service) == identity) is (change is restart)
    assert lasting(machine.seen()) == before
    assert all(one["undone_at"] for one in host["faults"] if one["injected_at"])
    assert host["leftovers"] == []
    assert record["verdicts"]["restored"] == "pass"
    assert any(f"{service} was started anew" in note for note in host["notes"]), host["notes"]


def lasting(seen: dict[str, Any]) -> dict[str, Any]:
    """What stays when a container is made anew: all but its id, and the name that it is given with it."""
    return {
        key: {name: value for name, value in part.items() if name != "id"}
        | {"config": {name: value for name, value in part["config"].items() if name != "Hostname"}}
        if key in live.SERVICES
        else part
        for key, part in seen.items()
    }
