"""The same playbook over SSH: a remote exchange host with its own engine, report files on the controller."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.bench import hosts
from tests.bench.machine import CGROUP_ROOT, LABEL, BenchError, Machine, run
from tests.e2e import support

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "playbooks/01-database-sudden-death.yml"


@pytest.fixture(scope="module")
def bench() -> Iterator[hosts.Bench]:
    """One host with the embedded exchange up; where this machine has built the exchange's image, it is lent."""
    if os.geteuid() != 0:
        pytest.skip("a remote host in a container needs root")
    with hosts.bench(1) as made:
        hosts.give_image(made, *hosts.lab_images())
        done = playbook(made, "playbooks/lab.yml")
        assert done.returncode == 0, done.stdout[-4000:]
        yield made


def playbook(bench: hosts.Bench, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook against the bench; output and errors together."""
    extra = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    return subprocess.run(
        ["ansible-playbook", "-i", str(bench.inventory), name, *extra],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=400,
    )


def database(machine: Machine) -> dict[str, Any]:
    """Whether, since when and as which process the exchange's database runs, as the host's own engine tells it."""
    ids = machine.output(
        "docker", "ps", "-aq", "--filter", "label=com.docker.compose.service=postgres"
    ).split()
    state = json.loads(machine.output("docker", "inspect", ids[0]))[0]["State"]
    return {key: state[key] for key in ("Running", "StartedAt", "Pid")}


@pytest.mark.timeout(600)
def test_experiment_01_passes_over_ssh_and_reports_here(bench: hosts.Bench, tmp_path: Path) -> None:
    (machine,) = bench.machines
    before = database(machine)

    done = playbook(bench, EXPERIMENT, chaos_report_dir=str(tmp_path), **support.SHORT)

    assert done.returncode == 0, done.stdout[-6000:]
    (log,) = tmp_path.glob("chaos-exp-01-*.log")
    for suffix in (".log", ".log.bpf", ".json", ".xml"):
        assert log.with_suffix(suffix).stat().st_size > 0, suffix
    record = json.loads(log.with_suffix(".json").read_text())
    jsonschema.validate(record, json.loads((ROOT / "files" / "record.schema.json").read_text()))
    assert record["outcome"] == "passed"
    assert record["verdicts"] == {"effect": "pass", "hypothesis": "pass", "restored": "pass"}
    (host,) = record["hosts"]
    assert host["host"] == "host-1"
    proofs = {(proof["source"], proof["holds"]) for proof in host["faults"][0]["proof"]}
    assert ("kernel", True) in proofs
    assert host["bpf"]["events"] > 0

    # The fault was there and not here: the host's own engine started that database anew.
    after = database(machine)
    assert after["Running"]
    assert after["StartedAt"] > before["StartedAt"]
    # Nothing of the run is left on the host: no process, and no record that was not collected.
    assert machine.call("sh", "-c", "ls /var/lib/exchange-chaos/runs/* >/dev/null 2>&1") != 0
    assert processes_with("chaos.pyz") == []


@pytest.mark.timeout(120)
def test_without_the_owners_consent_nothing_happens(bench: hosts.Bench, tmp_path: Path) -> None:
    (machine,) = bench.machines
    consent = machine.output("cat", hosts.CONSENT)
    machine.output("rm", hosts.CONSENT)
    before = database(machine)
    try:
        done = playbook(bench, EXPERIMENT, chaos_report_dir=str(tmp_path))
    finally:
        machine.write(hosts.CONSENT, consent)
    assert done.returncode != 0
    assert "consent" in done.stdout
    assert database(machine) == before


@pytest.mark.timeout(120)
def test_the_bench_leaves_nothing_behind(bench: hosts.Bench) -> None:
    """Last in this file: takes the host away while its engine has containers running."""
    (machine,) = bench.machines
    hosts.down()
    assert run("docker", "ps", "-aq", "--filter", f"label={LABEL}={machine.name}") == ""
    assert run("docker", "volume", "ls", "-q", "--filter", f"label={LABEL}={machine.name}") == ""
    assert [*CGROUP_ROOT.glob(f"*/{machine.name}"), *CGROUP_ROOT.glob(machine.name)] == []
    with pytest.raises(BenchError):
        machine.output("true")


def processes_with(word: str) -> list[str]:
    """Command lines of this kernel's processes (the bench shares its pid namespace) that name ``word``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found
