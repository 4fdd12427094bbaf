"""One instant on twenty hosts: the kernel's own account of when each fault began, whatever the hosts' clocks show."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bench import light
from tests.e2e import kernel, support
from tests.fleet import remote

EXPERIMENT = "playbooks/01-database-sudden-death.yml"
HOSTS = 20
MOST_MS = 10.0
SHORT = {
    "database_sudden_death_outage": False,
    "chaos_programs": [],
    "chaos_gate": False,
    # twenty modules start on two cores before the first of them can be armed
    "chaos_arm_s": 20,
}
#: Seconds that clocks of some hosts are ahead of the others': by number of the host.
APART = {3: 4.0, 8: -3.5, 13: 0.25, 20: 7.0}


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.parametrize("ahead_s", [{}, APART], ids=["one-clock", "clocks-seconds-apart"])
def test_the_fault_begins_within_ten_milliseconds_on_twenty_hosts(
    ahead_s: Mapping[int, float], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("light hosts need root")
    with light.bench(HOSTS, ahead_s) as bench, kernel.sigkills() as signals:
        first = {host.name: process_of(host) for host in bench.hosts}
        done = remote.playbook(
            bench.inventory, EXPERIMENT, options=bench.options[2:], chaos_report_dir=str(tmp_path),
            chaos_simultaneous=True, **SHORT,
        )  # fmt: skip
        sent = signals.sent()

    assert done.returncode == 0, done.stdout[-6000:]
    assert {name for name, pid in first.items() if pid not in sent} == set(), done.stdout[-6000:]
    times = {name: sent[pid] for name, pid in first.items()}
    spread_ms = 1000 * (max(times.values()) - min(times.values()))
    print(f"spread {spread_ms:.3f} ms on {HOSTS} hosts, by the kernel")
    assert spread_ms <= MOST_MS, {
        name: round(1000 * (at - min(times.values())), 3) for name, at in times.items()
    }

    (report,) = remote.reports(tmp_path)
    hosts = remote.hosts_of(report)
    assert len(hosts) == HOSTS
    assert "aborted" not in {host["outcome"] for host in hosts.values()}, [
        host["notes"] for host in hosts.values()
    ]
    for host in bench.hosts:
        clock, wanted = hosts[host.name]["clock"], 1000 * ahead_s.get(host.number, 0.0)
        assert abs(clock["offset_ms"] - wanted) <= clock["uncertainty_ms"] + 1.0, (host.name, clock)
        # what our own record says of the start is what the kernel says
        (fault,) = hosts[host.name]["faults"]
        assert fault["injected_at"]
    assert_claimed_spread(report, spread_ms)


def assert_claimed_spread(report: support.Report, spread_ms: float) -> None:
    """The spread is a finding, an interval as wide as the clocks are uncertain; what the kernel tells lies in it."""
    for host in report.record["hosts"]:
        (finding,) = [one for one in host["findings"] if one["id"] == "simultaneity"]
        low, high = finding["value"]
        # from our own reading of the clock to the signal in the kernel
        assert low - 0.5 <= spread_ms <= high + 0.5, (finding, spread_ms)
        assert finding["verdict"] == "pass", finding


def process_of(host: light.Light) -> int:
    """The main process of a light host's exchange, as the engine tells it."""
    words = ["docker", "inspect", "--format", "{{.State.Pid}}", host.project]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
