"""A light host is one of its own, and what this machine's owner keeps for himself is not run there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.bench import hosts, light


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


def over_ssh(host: light.Light, command: str) -> str:
    """What a command says that is run as Ansible runs its own."""
    options = str(hosts.ssh_variables(host.port)["ansible_ssh_common_args"]).split()
    words = ["ssh", *options, "-i", str(hosts.key()), "-p", str(host.port), "root@127.0.0.1", command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
