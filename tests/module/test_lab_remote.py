"""The role lab on a remote host: beside somebody else's exchange, with an engine it has to start, and away again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench import hosts
from tests.bench.machine import Machine, build_image, wait_until

pytestmark = [pytest.mark.alone, pytest.mark.full, pytest.mark.timeout(900)]

SERVICE = "com.docker.compose.service"
HOME = "/var/lib/exchange-chaos-lab"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A host of our own, with the images of the exchange lent where this machine has them."""
    if os.geteuid() != 0:
        pytest.skip("a remote host in a container needs root")
    made = Machine("exchange-chaos-lab-remote")
    try:
        hosts.start(made, build_image("host", hosts.PACKAGES), consent=False)
        hosts.give_image(hosts.Bench((made,), Path()), *hosts.lab_images())
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def inventory(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(yaml.safe_dump({"exchange": {"hosts": {"remote": hosts.inventory_entry(machine)}}}))
    return path


def playbook(root: Path, inventory: Path, name: str) -> str:
    """Run one of our playbooks against the host; its whole output."""
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), f"playbooks/{name}"],
        cwd=root,
        env={
            **os.environ,
            "PATH": f"{root}/.venv/bin:{os.environ['PATH']}",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def ours(machine: Machine) -> dict[str, list[str]]:
    """What the host's engine has of ours, by kind."""
    label = ("--filter", "label=exchange.chaos.lab")
    return {
        "containers": machine.output("docker", "ps", "--all", "--quiet", *label).split(),
        "networks": machine.output("docker", "network", "ls", "--quiet", *label).split(),
        "volumes": machine.output("docker", "volume", "ls", "--quiet", *label).split(),
        "images": machine.output("docker", "images", "--quiet", *label).split(),
    }


def ports(machine: Machine) -> dict[str, int]:
    """The port on the host of each of our services."""
    ids = machine.output(
        "docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=exchange-chaos-lab"
    )
    found = {}
    for item in json.loads(machine.output("docker", "inspect", *ids.split())):
        (binding,) = next(iter(item["HostConfig"]["PortBindings"].values()))
        found[item["Config"]["Labels"][SERVICE]] = int(binding["HostPort"])
    return found


def test_beside_somebody_else_s_exchange(machine: Machine, inventory: Path, root: Path) -> None:
    image = machine.output("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split()[0]
    theirs = ("--label", f"{SERVICE}=trading-api", "--label", "com.docker.compose.project=exchange")
    # An image of theirs, so that it does not carry our label.
    machine.output(
        "sh", "-c", f"docker create --name donor {image} true && docker export donor | docker import - theirs"
    )
    machine.output("docker", "rm", "donor")
    machine.output(
        *("docker", "run", "--detach", "--name", "exchange-trading-api-1", *theirs),
        *("--publish", "8080:8080", "theirs", "sleep", "infinity"),
    )
    # One that is stopped will want its port again.
    machine.output(
        "docker", "create", "--name", "exchange-redis-1", "--publish", "6379:6379", "theirs", "true"
    )
    before = machine.output("docker", "inspect", "exchange-trading-api-1", "exchange-redis-1")

    output = playbook(root, inventory, "lab.yml")

    chosen = ports(machine)
    assert (chosen["trading-api"], chosen["redis"], chosen["nginx"]) == (18080, 16379, 80)
    assert "API http://127.0.0.1:18080" in output
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:18080/ready').status)"
    assert machine.output("python3", "-c", ask).strip() == "200"
    assert "changed=0" in playbook(root, inventory, "lab.yml")
    assert ports(machine) == chosen

    playbook(root, inventory, "lab-down.yml")
    assert ours(machine) == {"containers": [], "networks": [], "volumes": [], "images": []}
    assert machine.call("test", "-e", HOME) == 1
    assert machine.output("docker", "inspect", "exchange-trading-api-1", "exchange-redis-1") == before
    assert "changed=0" in playbook(root, inventory, "lab-down.yml")


def test_an_engine_that_it_started_it_also_ends(machine: Machine, inventory: Path, root: Path) -> None:
    machine.output("sh", "-c", "docker rm --force $(docker ps --all --quiet)")
    engine = machine.output("cat", "/var/run/docker.pid").strip()
    machine.output("sh", "-c", f"kill {engine}; while kill -0 {engine} 2>/dev/null; do sleep 0.1; done")

    # No image is left: this also makes the base image from the distribution's packages.
    playbook(root, inventory, "lab.yml")
    state = json.loads(machine.output("cat", f"{HOME}/engine.json"))
    wait_until("the engine that the role started", f"kill -0 {state['pid']}", machine=machine, seconds=1)
    assert set(ports(machine).values()) == {5433, 6379, 80, 8080, 8081, 8082}

    playbook(root, inventory, "lab-down.yml")
    assert machine.call("kill", "-0", str(state["pid"])) != 0
    assert machine.call("test", "-e", HOME) == 1
    assert "changed=0" in playbook(root, inventory, "lab-down.yml")
