"""Remote exchange hosts to test against over SSH: machines with sshd and a Docker engine of their own.

Usage: python -m tests.bench.hosts up [COUNT] | down

`up` makes what is not there yet, leaves what runs, and prints the path of an Ansible inventory with the hosts in group
`exchange`; `down` takes all of them away. From a test:

    with hosts.bench(1) as bench:
        ansible_playbook("-i", bench.inventory, …)
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench import command
from tests.bench.machine import LABEL, BenchError, Machine, build_image, run, wait_until

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".cache" / "bench"
PREFIX = "exchange-chaos-host-"
# What an owner's host has: an engine, sshd, Python with the libraries of docs/dependencies.md, bcc. Then what role
# lab asks of a host, so that it does not spend the test's time installing it.
PACKAGES = (
    *("openssh-server", "ca-certificates", "iproute2", "iptables", "procps"),
    *("docker.io", "docker-compose"),
    *("python3", "python3-docker", "python3-jmespath", "python3-pyroute2", "python3-bpfcc", "python3-yaml"),
)
#: Machines that are worked on at a time.
PARALLEL = 3
# The sign that the owner of a remote host agrees to experiments there (see docs on setup-hosts).
CONSENT = "/etc/exchange-chaos/consent"


@dataclass(frozen=True)
class Bench:
    """What `up` made: the hosts' machines, in order, and the inventory that names them."""

    machines: tuple[Machine, ...]
    inventory: Path


def key() -> Path:
    """Return the private key that opens every bench host, made on first use."""
    path = STATE / "id_ed25519"
    if not path.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "exchange-chaos bench", "-f", path)
    return path


def start(machine: Machine, image: str, *, consent: bool) -> None:
    """Create one host and bring up its sshd and its engine."""
    machine.create(image, "--publish", "127.0.0.1::22")
    machine.write("/root/.ssh/authorized_keys", key().with_suffix(".pub").read_text(), mode="0600")
    machine.output("sh", "-c", "mkdir -p /run/sshd && exec /usr/sbin/sshd")
    machine.output("sh", "-c", "setsid nohup dockerd > /var/log/dockerd.log 2>&1 < /dev/null &")
    if consent:
        machine.write(CONSENT, "exchange.chaos bench: experiments are welcome here\n")
    wait_until("its Docker engine", "docker info", machine=machine, seconds=30)


def port(machine: Machine) -> int:
    """Return the port on 127.0.0.1 that leads to the machine's sshd."""
    return int(run("docker", "port", machine.name, "22/tcp").split()[0].rpartition(":")[2])


def inventory_entry(machine: Machine) -> dict[str, str | int]:
    """How Ansible reaches the machine: as root over SSH, with the system's Python there."""
    return {**ssh_variables(port(machine)), "ansible_python_interpreter": "/usr/bin/python3"}


def ssh_variables(port: int) -> dict[str, str | int]:
    """How Ansible reaches an sshd of the bench on 127.0.0.1."""
    return {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key()),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
    }


def up(
    count: int = 1, *, consent: bool = True, variables: Mapping[str, Mapping[str, str]] | None = None
) -> Bench:
    """Bring up hosts 1 to ``count`` where they do not run yet, and write their inventory.

    ``variables`` by a host's name (host-1, …) stand in the inventory, such as the ``lab_profile`` of its exchange.
    """
    image = build_image("host", PACKAGES)
    machines = tuple(Machine(f"{PREFIX}{number}") for number in range(1, count + 1))
    key()
    missing = [machine for machine in machines if not machine.running or machine.call("docker", "info") != 0]
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda machine: start(machine, image, consent=consent), missing))
    names = [machine.name.removeprefix("exchange-chaos-") for machine in machines]
    entries = {
        name: {**inventory_entry(machine), **(variables or {}).get(name, {})}
        for name, machine in zip(names, machines)
    }
    inventory = STATE / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"exchange": {"hosts": entries}}, explicit_start=True))
    return Bench(machines, inventory)


def give_image(bench: Bench, *images: str) -> None:
    """Load images of this machine's engine into each host's, where they are missing; they are packed once."""
    wanted = {
        machine: [image for image in images if machine.call("docker", "image", "inspect", image) != 0]
        for machine in bench.machines
    }
    if not any(wanted.values()):
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "images.tar"
        run("docker", "save", "--output", archive, *images)
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda machine: _load(machine, archive), (m for m, some in wanted.items() if some)))


def _load(machine: Machine, archive: Path) -> None:
    command = ["docker", "exec", "--interactive", machine.name, "docker", "load", "--quiet"]
    with archive.open("rb") as stream:
        done = subprocess.run(command, stdin=stream, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise BenchError(f"{machine.name} did not take the images of {archive}")


def lab_images() -> list[str]:
    """Return the images of the embedded exchange that this machine has made."""
    names = run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "exchange-chaos-lab*")
    return [name for name in names.split() if "<none>" not in name]


def down() -> None:
    """Take every bench host away, whoever brought it up."""
    names = run("docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}").split()
    for name in names:
        if name.startswith(PREFIX):
            Machine(name).remove()


@contextlib.contextmanager
def bench(
    count: int = 1, *, consent: bool = True, variables: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Bench]:
    """Hosts for the time of a test."""
    try:
        yield up(count, consent=consent, variables=variables)
    finally:
        down()


if __name__ == "__main__":
    sys.exit(command.main(__doc__, lambda count: up(count).inventory, down, 1))
