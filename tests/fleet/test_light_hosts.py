"""A light host is one of its own; an experiment on two of them over SSH gives each its verdict, and the fleet one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import hosts, light
from tests.e2e import live
from tests.fleet import remote
from tests.fleet.test_one_instant import process_of


@pytest.mark.timeout(120)
def test_a_command_there_runs_no_startup_file_of_the_account() -> None:
    if os.geteuid() != 0:
        pytest.skip("light hosts need root")
    before = Path("/etc/passwd").read_bytes()
    with light.bench(1) as bench:
        (host,) = bench.hosts
        said = over_ssh(
            host, 'hostname; getent passwd root; echo "$0"; cat /etc/exchange-chaos/consent'
        ).splitlines()
    name, account, shell, consent = said
    assert name == host.name
    assert account.startswith("root:")
    assert account.endswith(":/bin/sh")
    assert Path(shell).name == "sh"  # whoever answered is that shell, not the machine's
    assert consent.startswith("exchange.chaos bench")
    assert Path("/etc/passwd").read_bytes() == before


@pytest.fixture(scope="module")
def pair() -> Iterator[light.Bench]:
    if os.geteuid() != 0:
        pytest.skip("light hosts need root")
    with light.bench(2) as bench:
        yield bench


@pytest.mark.timeout(300)
def test_one_command_gives_each_host_its_verdict(pair: light.Bench, tmp_path: Path) -> None:
    before = {host.name: process_of(host) for host in pair.hosts}
    done = experiment(pair, tmp_path)

    (report,) = remote.reports(tmp_path)
    found = remote.hosts_of(report)
    assert set(found) == set(before), done.stdout[-6000:]
    for host in pair.hosts:
        verdicts = found[host.name]["verdicts"]
        assert (verdicts["effect"], verdicts["restored"]) == ("pass", "pass"), report.log[-6000:]
        assert process_of(host) != before[host.name]
        (fault,) = found[host.name]["faults"]
        assert fault["injected_at"] < fault["undone_at"]
        assert not [path for kind in ("runs", "locks") for path in (host.state / kind).glob("*")]
    assert set(report.record["verdicts"]) == set(live.PASSED)


@pytest.mark.timeout(120)
def test_without_the_owners_consent_nothing_happens(pair: light.Bench, tmp_path: Path) -> None:
    unwilling = pair.hosts[1]
    consent = unwilling.folder / "etc" / "consent"
    text, before = consent.read_text(), process_of(unwilling)
    consent.unlink()
    try:
        done = experiment(pair, tmp_path, "--limit", f"{unwilling.name}:localhost")
    finally:
        consent.write_text(text)
    assert done.returncode != 0
    assert "consent" in done.stdout
    assert process_of(unwilling) == before
    assert not [path for kind in ("runs", "locks") for path in (unwilling.state / kind).glob("*")]


def experiment(pair: light.Bench, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an experiment on the pair, without its outage and without BPF: neither is about hosts."""
    return remote.playbook(
        pair.inventory, "playbooks/01-database-sudden-death.yml", options=(*pair.options[2:], *words),
        chaos_report_dir=str(folder), database_sudden_death_outage=False, chaos_programs=[],
    )  # fmt: skip


def over_ssh(host: light.Light, command: str) -> str:
    """What a command says that is run as Ansible runs its own."""
    options = str(hosts.ssh_variables(host.port)["ansible_ssh_common_args"]).split()
    words = ["ssh", *options, "-i", str(hosts.key()), "-p", str(host.port), "root@127.0.0.1", command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
