"""The same playbooks on several remote exchanges in one command: a verdict for each, one for the fleet.

In `make test`: each host's verdict and an owner's consent are those of tests/fleet/test_light_hosts.py, the worst of
them that of tests/controller/test_waves_playbook.py.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import hosts
from tests.bench.machine import CGROUP_ROOT, LABEL, BenchError, run
from tests.e2e import live, support
from tests.fleet import remote

pytestmark = pytest.mark.full
FIRST, SECOND = "playbooks/01-database-sudden-death.yml", "playbooks/02-network-partition.yml"
SUMMARY = "playbooks/shared/suite.yml"
#: Two or three exchanges with their observers share this machine: asked less often, so that each can answer.
LIGHT: dict[str, Any] = {
    "chaos_slow_host": 4,
    "chaos_accept_noise": True,  # each is noise to the others
    "chaos_rate": 5,
    "chaos_floor": 2,
    "chaos_watch_rate": 10,
    "chaos_burst_rate": 40,
    "chaos_thresholds": {"error_ratio": 0.05, "p99_ms": 1000, "loss_visible_ms": 100},
}
CRASH = {**support.QUICK, **LIGHT, "database_sudden_death_outage": False}
#: How long the database is held down, and what its time to live has besides, in the test that cuts a host off.
OUTAGE_S, MARGIN_S = 12, 8
#: What the services' health checks run.
CHECKS = ("pg_isready", "redis-cli", "curl", "runc", "runc:[1:CHILD]", "runc:[2:INIT]")
#: host-1 is the fragile one: the canary of a run in waves.
FRAGILE = "host-1"


@pytest.fixture(scope="module")
def pair() -> Iterator[hosts.Bench]:
    """Two hosts with an exchange each, one of them fragile."""
    if os.geteuid() != 0:
        pytest.skip("a remote host in a container needs root")
    try:
        yield remote.up({FRAGILE: "fragile", "host-2": "resilient"})
    finally:
        hosts.down()


@pytest.fixture(scope="module")
def three(pair: hosts.Bench) -> hosts.Bench:
    """A third host besides."""
    assert pair
    return remote.up({FRAGILE: "fragile", "host-2": "resilient", "host-3": "resilient"})


@pytest.mark.timeout(300)
def test_one_command_gives_each_host_its_verdict_and_the_fleet_the_worst(
    pair: hosts.Bench, tmp_path: Path
) -> None:
    done = remote.playbook(pair.inventory, FIRST, chaos_report_dir=str(tmp_path), **CRASH)

    assert done.returncode != 0, done.stdout[-6000:]
    (report,) = remote.reports(tmp_path)
    assert remote.outcomes(report) == {FRAGILE: "failed", "host-2": "passed"}, done.stdout[-6000:]
    assert report.record["outcome"] == "failed"
    assert report.record["verdicts"] == live.FAILED
    assert remote.hosts_of(report)["host-2"]["verdicts"] == live.PASSED
    for text in (done.stdout, report.log):
        closing = "\n".join(text.rstrip().splitlines()[-60:])
        assert "OUTCOME: FAILED" in closing
        assert FRAGILE in closing
    # each host's fault was its own: its database's process ended by it, as its own kernel events tell
    for host in (FRAGILE, "host-2"):
        killed = [line for line in remote.raw(report, host, "bpf") if line["event"] == "PROC_EXIT"
                  and line["exit_signal"] == 9]  # fmt: skip
        assert {line["service"] for line in killed} == {"postgres"}, host
    for host in ("host-1", "host-2"):
        proofs = {
            (proof["source"], proof["holds"]) for proof in remote.hosts_of(report)[host]["faults"][0]["proof"]
        }
        assert ("kernel", True) in proofs, host
    # nothing of the run is left on the hosts: no file but the owner's, no process (they share this kernel's pids)
    for machine in pair.machines:
        assert machine.call("sh", "-c", "ls /var/lib/exchange-chaos/*/* >/dev/null 2>&1") != 0
    assert remote.processes_with("chaos.pyz") == []


@pytest.mark.timeout(120)
def test_without_the_owners_consent_nothing_happens(pair: hosts.Bench, tmp_path: Path) -> None:
    (machine,) = (one for one in pair.machines if remote.name_of(one) == "host-2")
    consent = machine.output("cat", hosts.CONSENT)
    machine.output("rm", hosts.CONSENT)
    before = remote.seen(machine)
    try:
        only = ("--limit", "host-2:localhost")
        done = remote.playbook(pair.inventory, FIRST, options=only, chaos_report_dir=str(tmp_path), **CRASH)
        assert done.returncode != 0
        assert "consent" in done.stdout
        assert remote.seen(machine) == before
    finally:
        machine.write(hosts.CONSENT, consent)


@pytest.mark.timeout(600)
def test_two_experiments_on_three_exchanges_in_one_command(three: hosts.Bench, tmp_path: Path) -> None:
    """The fleet fails and names the fragile host, the others pass; the second experiment runs all the same."""
    done = remote.playbook(
        three.inventory, FIRST, SECOND, SUMMARY, timeout=580, chaos_report_dir=str(tmp_path), chaos_in_suite=True,
        **LIGHT, **{**support.SHORT, "chaos_client_timeout_s": 2}, network_partition_s=12,
    )  # fmt: skip

    assert done.returncode != 0
    first, second = remote.reports(tmp_path)
    for report in (first, second):
        assert len(report.record["hosts"]) == 3
        found = remote.outcomes(report)
        assert (found["host-2"], found["host-3"]) == ("passed", "passed"), report.log[-6000:]
        assert found[FRAGILE] == "failed", report.log[-6000:]
        assert report.record["outcome"] == "failed"
        assert FRAGILE in report.log[report.log.index("KEY FINDINGS") :]


@pytest.mark.timeout(400)
def test_a_fault_on_one_host_is_in_no_other_hosts_evidence(three: hosts.Bench, tmp_path: Path) -> None:
    """Nested engines give out the same addresses on one kernel; two neighbours watch while a third's database dies.

    They run an experiment without refused connects or exits of its own: a processor's share they have plenty of.
    """
    machines = {remote.name_of(machine): machine for machine in three.machines}
    shared = {
        frozenset(remote.addresses(machine).values())
        & frozenset(remote.addresses(machines["host-1"]).values())
        for machine in machines.values()
    }
    assert all(shared), "the hosts' containers have no address in common: nothing could be mixed up"

    folders = {name: tmp_path / name for name in ("neighbours", "broken")}
    for folder in folders.values():
        folder.mkdir()
    watching = subprocess.Popen(
        remote.command(
            three.inventory, "playbooks/04-cpu-throttling.yml", options=("--limit", "host-2:host-3:localhost"),
            chaos_report_dir=str(folders["neighbours"]), chaos_programs=["tcp", "exit"], cpu_throttling_cores=0.9,
            cpu_throttling_s=60, chaos_baseline_s=6, chaos_gate=False, **LIGHT,
        ),
        cwd=support.ROOT, env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        logs = folders["neighbours"].glob
        support.wait_for(
            lambda: any(log.read_text().count("Fault throttle: ") >= 2 for log in logs("*.log")),
            120, "the neighbours' own fault, when their baseline is over",
        )  # fmt: skip
        broken = remote.playbook(
            three.inventory, FIRST, options=("--limit", f"{FRAGILE}:localhost"),
            chaos_report_dir=str(folders["broken"]), chaos_gate=False, **support.SHORT, **LIGHT,
        )  # fmt: skip
        text, _none = watching.communicate(timeout=200)
    finally:
        watching.kill()
    assert broken.returncode == 0, broken.stdout[-4000:]
    assert watching.returncode == 0, text[-4000:]
    (there,), (here,) = remote.reports(folders["broken"]), remote.reports(folders["neighbours"])
    assert there.record["verdicts"]["effect"] == "pass"
    watched = remote.hosts_of(here)
    assert set(watched) == {"host-2", "host-3"}
    assert {host["verdicts"]["effect"] for host in watched.values()} == {"pass"}

    captured = {
        FRAGILE: remote.raw(there, FRAGILE, "bpf"),
        **{host: remote.raw(here, host, "bpf") for host in watched},
    }
    refused = [line["t"] for line in captured[FRAGILE] if line["event"] == "CONN_FAILED"]
    assert refused
    assert [line for line in captured[FRAGILE] if killed(line)]
    # what one host's capture has, no other host's has: one kernel tells all of them of every process and every socket
    events = [{(line["t"], line["event"], line["pid"]) for line in lines} for lines in captured.values()]
    assert len(set().union(*events)) == sum(map(len, events))
    for host in watched:
        lines = [line for line in captured[host] if not line.get("control")]
        assert min(line["t"] for line in lines) < min(refused), host
        assert max(line["t"] for line in lines) > max(refused), host
        assert [line for line in lines if line["event"] == "CONN_FAILED"] == [], host
        assert [line for line in lines if killed(line)] == [], host


def killed(line: dict[str, Any]) -> bool:
    """Whether it is the end of a service's own process by a signal; health checks that take too long are ended, too."""
    return line["event"] == "PROC_EXIT" and bool(line["exit_signal"]) and line["comm"] not in CHECKS


@pytest.mark.timeout(200)
def test_check_mode_changes_nothing_on_any_host_and_prints_the_plan(
    three: hosts.Bench, tmp_path: Path
) -> None:
    before = {machine.name: remote.seen(machine) for machine in three.machines}
    since = {machine.name: remote.now(machine) for machine in three.machines}

    done = remote.playbook(
        three.inventory, FIRST, options=("--check",), chaos_report_dir=str(tmp_path), **CRASH
    )

    assert done.returncode == 0, done.stdout[-6000:]
    for machine in three.machines:
        host, database = remote.name_of(machine), remote.containers(machine)["postgres"]["Name"].lstrip("/")
        planned = [line for line in done.stdout.splitlines() if host in line and "Would inject" in line]
        assert any(database in line and "undo" in line for line in planned), done.stdout[-6000:]
        assert remote.events(machine, since[machine.name]) == []
        assert remote.seen(machine) == before[machine.name]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)
def test_a_canary_that_fails_stops_the_waves_after_it(three: hosts.Bench, tmp_path: Path) -> None:
    """What the other hosts' engines tell of that time, and the state they are in, says that nobody touched them."""
    rest = [machine for machine in three.machines if remote.name_of(machine) != FRAGILE]
    before = {machine.name: remote.seen(machine) for machine in rest}
    since = {machine.name: remote.now(machine) for machine in rest}

    done = remote.playbook(
        three.inventory, FIRST, chaos_report_dir=str(tmp_path), chaos_waves=["1", "100%"], **CRASH
    )

    assert done.returncode != 0
    for machine in rest:
        assert remote.events(machine, since[machine.name]) == []
        assert remote.seen(machine) == before[machine.name]
    (report,) = remote.reports(tmp_path)
    assert remote.outcomes(report) == {FRAGILE: "failed", "host-2": "skipped", "host-3": "skipped"}
    assert report.record["outcome"] == "failed"
    waves = {name: host["wave"] for name, host in remote.hosts_of(report).items()}
    assert waves == {FRAGILE: 1, "host-2": 2, "host-3": 2}
    assert "Not touched" in report.log


@pytest.mark.timeout(500)
def test_a_host_that_is_cut_off_undoes_itself_and_its_record_is_collected_later(
    three: hosts.Bench, tmp_path: Path
) -> None:
    """SSH to one of three hosts is gone from the instant of its fault until the playbook has ended."""
    away = next(machine for machine in three.machines if remote.name_of(machine) == "host-2")
    running = subprocess.Popen(
        remote.command(
            three.inventory, FIRST, chaos_report_dir=str(tmp_path), **support.QUICK, **LIGHT,
            database_sudden_death_crash=False, database_sudden_death_outage_s=OUTAGE_S, chaos_ttl_margin_s=MARGIN_S,
        ),
        cwd=support.ROOT, env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        support.wait_for(lambda: not remote.running(away, "postgres"), 120, "the fault on host-2")
        with remote.cut(away):
            # nobody can tell the host anything from here on: what mends it is its own
            took = support.wait_for(
                lambda: remote.running(away, "postgres"), OUTAGE_S + MARGIN_S + 15, "its undo"
            )
            print(f"host-2 had its database again {took:.1f} s after the cut (ttl {OUTAGE_S + MARGIN_S} s)")
            assert took <= OUTAGE_S + MARGIN_S + 3
            text, _none = running.communicate(timeout=300)
    finally:
        running.kill()

    assert running.returncode != 0
    (report,) = remote.reports(tmp_path)
    assert remote.outcomes(report)["host-2"] == "aborted", text[-6000:]
    assert remote.outcomes(report)["host-3"] == "passed", text[-6000:]
    closing = report.log[report.log.index("KEY FINDINGS") :]
    assert "host-2" in closing
    assert "nreachable" in closing

    path = report.stem.with_name(f"{report.stem.name}.json")
    support.wait_for(
        lambda: away.call("sh", "-c", "ls /var/lib/exchange-chaos/records/*/record.json") == 0,
        LIGHT["chaos_slow_host"] * 20 + 60,  # its lease, and the end of the run
        "its record",
    )
    done = remote.playbook(three.inventory, "playbooks/collect.yml", chaos_record=str(path), chaos_gate=False)
    assert done.returncode == 0, done.stdout[-6000:]
    whole = next(found for found in remote.reports(tmp_path) if remote.hosts_of(found)["host-2"]["faults"])
    assert len(whole.record["hosts"]) == 3
    collected = remote.hosts_of(whole)["host-2"]
    assert collected["outcome"] == "aborted"
    assert collected["verdicts"]["restored"] == "pass"
    (fault,) = collected["faults"]
    assert fault["undone_by"] == "watchdog"
    assert remote.raw(whole, "host-2", "load")
    assert away.call("sh", "-c", "ls -d /var/lib/exchange-chaos/*/*") != 0


@pytest.mark.timeout(60)
def test_the_bench_leaves_nothing_behind(pair: hosts.Bench) -> None:
    """Last in this file: takes the hosts away while their engines have containers running."""
    hosts.down()
    for machine in pair.machines:
        assert run("docker", "ps", "-aq", "--filter", f"label={LABEL}={machine.name}") == ""
        assert run("docker", "volume", "ls", "-q", "--filter", f"label={LABEL}={machine.name}") == ""
        assert [*CGROUP_ROOT.glob(f"*/{machine.name}"), *CGROUP_ROOT.glob(machine.name)] == []
        with pytest.raises(BenchError):
            machine.output("true")
