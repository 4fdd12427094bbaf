"""A host with nothing but Docker and Python is prepared, offline and online, is ready, and is left as it was found.

Offline here means that the host has no way to any archive or index: its package sources are taken away, and pip is
pointed at a closed port. Units are only laid where systemd runs, which is in no container: the VM's tests see those.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import wheels

from tests.bench import hosts
from tests.bench.machine import Machine, build_image, run, wait_until
from tests.e2e import support

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
NAME = "exchange-chaos-bare-host"
#: An owner's host before anybody thought of us: no Python library, no pip, no venv package, no bcc.
PACKAGES = ("openssh-server", "ca-certificates", "iproute2", "iptables", "procps", "docker.io", "python3")
#: These two have nothing of ours to show; what counts is how many tasks changed something.
RECAP = ("setup-hosts", "remove-hosts")
COMPOSE = "Docker Compose was not found; it is not needed for a run, but recovery commands would name it"
#: Numbers of all experiments, and of the one that such a host is not made for: its database shares a disk.
EXPERIMENTS = sorted(
    path.name[:2] for path in (support.ROOT / "playbooks").glob("[0-9][0-9]-*.yml") if path.name[:2] != "00"
)
NEEDS_A_DISK = "15"
VENV = "/usr/local/lib/exchange-chaos/venv"
#: Where the role that sets the exchange up has what its description is made of.
VARIABLES = ("defaults/main.yml", "vars/main/images.yml", "vars/main/main.yml")
#: Where the machine works on its own: state of Docker, of the package manager and of Ansible's connection, and logs.
BUSY = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/lib/docker", "/var/log", "/root/.ansible"),
    *("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/etc/apt", "/etc/pip.conf", "/var/lib/containerd"),
)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The bare host, with the embedded exchange brought to its engine from outside: nothing on it knows how."""
    if os.geteuid() != 0:
        pytest.skip("a remote host in a container needs root")
    image = run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "exchange-chaos-lab").split()
    if not image:
        pytest.skip("the embedded exchange's image is not built yet")
    made = Machine(NAME)
    try:
        made.create(build_image("bare-host", PACKAGES), "--publish", "127.0.0.1::22")
        made.write("/root/.ssh/authorized_keys", hosts.key().with_suffix(".pub").read_text(), mode="0600")
        made.output("sh", "-c", "mkdir -p /run/sshd && exec /usr/sbin/sshd")
        engine = (
            "setsid nohup dockerd -H unix:// -H tcp://0.0.0.0:2375 > /var/log/dockerd.log 2>&1 < /dev/null &"
        )
        made.output("sh", "-c", engine)
        wait_until("its Docker engine", "docker info", machine=made, seconds=30)
        exchange(made, image[0])
        yield made
    finally:
        made.remove()


def exchange(machine: Machine, image: str) -> None:
    """Start the embedded exchange on the machine's engine, by this machine's Compose."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
        subprocess.run(
            ["docker", "exec", "--interactive", machine.name, "docker", "load", "--quiet"],
            stdin=save.stdout, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    folder = hosts.STATE / NAME
    folder.mkdir(parents=True, exist_ok=True)
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "roles/lab" / name) for name in VARIABLES],
        "vars": {"role_path": str(ROOT / "roles/lab"), "__lab_ports": "{{ lab_ports }}"},
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": str(ROOT / "roles/lab/templates/compose.yml.j2"),
                    "dest": str(folder / "compose.yml"),
                },
                "vars": {"__lab_way": "packages"},
            }
        ],
    }
    (folder / "render.yml").write_text(yaml.safe_dump([play]))
    done = support.ansible(str(folder / "render.yml"))
    assert done.returncode == 0, done.stdout[-2000:]
    address = run(
        *("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", NAME)
    ).strip()
    plugin = (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )
    compose = ["docker", "compose"] if plugin else ["docker-compose"]
    subprocess.run(
        [*compose, "--project-name", support.PROJECT, "--file", str(folder / "compose.yml"), "up", "--detach"],
        env={**os.environ, "DOCKER_HOST": f"tcp://{address}:2375"}, check=True, capture_output=True,
    )  # fmt: skip
    api = f"docker inspect --format '{{{{.State.Health.Status}}}}' {support.PROJECT}-nginx | grep -qx healthy"
    wait_until("its exchange", api, machine=machine, seconds=60)


@pytest.fixture(scope="module")
def inventory(machine: Machine) -> Path:
    """The inventory with the bare host in group `exchange`."""
    path = hosts.STATE / "bare-host.yml"
    path.write_text(yaml.safe_dump({"exchange": {"hosts": {"bare": hosts.inventory_entry(machine)}}}))
    return path


class Playing:
    """Playbooks against the bare host."""

    def __init__(self, inventory: Path) -> None:
        self.inventory = inventory

    def __call__(self, name: str, *options: str, code: int = 0, **variables: str) -> str:
        """Play one, see that it ends with ``code``, and return what it said."""
        shown = {"ANSIBLE_STDOUT_CALLBACK": "default"} if name in RECAP else {}
        done = subprocess.run(
            [*support.command(f"playbooks/{name}.yml", **variables), "-i", str(self.inventory), *options],
            cwd=ROOT, env={**support.environment(), **shown}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=500,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-6000:]
        return done.stdout

    def setup(self, *options: str, code: int = 0, **variables: str) -> str:
        """Play setup-hosts.yml, the owner willing."""
        return self("setup-hosts", *options, code=code, host_consent="the bench", **variables)


@pytest.fixture(scope="module")
def play(inventory: Path) -> Playing:
    return Playing(inventory)


def files(machine: Machine) -> set[str]:
    """Every file and folder of the machine, but for where it works on its own, and compiled Python."""
    pruned = [word for folder in BUSY for word in ("-path", folder, "-o")][:-1]
    listing = machine.output("find", "/", "-xdev", "(", *pruned, ")", "-prune", "-o", "-print")
    return {line for line in listing.splitlines() if "__pycache__" not in line}


def packages(machine: Machine) -> set[str]:
    listing = machine.output("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n")
    return {line for line in listing.splitlines() if line.startswith("installed")}


def readiness(said: str) -> dict[str, str]:
    """What preflight's table says, by number of the experiment: ready, degraded or impossible, and why."""
    return dict(re.findall(r"\b(\d\d)  [A-Za-z/ -]+?  [^\w\s] ((?:ready|degraded|impossible).*)", said))


def changed(said: str) -> int:
    return int(re.findall(r"^bare\s.*changed=(\d+)", said, re.MULTILINE)[-1])


def importable(machine: Machine, name: str) -> bool:
    return machine.call("/usr/bin/python3", "-c", f"import {name}") == 0


@pytest.fixture
def cut_off(machine: Machine) -> Iterator[None]:
    """The host without a way to any archive or index."""
    settings = machine.output("cat", "/etc/pip.conf")
    machine.output("mv", "/etc/apt", "/etc/apt-away")
    machine.output("mkdir", "-p", "/etc/apt/sources.list.d")
    machine.write("/etc/pip.conf", "[global]\nindex-url = http://127.0.0.1:9/simple\nretries = 0\n")
    yield
    machine.output("rm", "-rf", "/etc/apt")
    machine.output("mv", "/etc/apt-away", "/etc/apt")
    machine.write("/etc/pip.conf", settings)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("cut_off")
def test_offline_a_bare_host_is_prepared_from_what_the_controller_carries(
    machine: Machine, play: Playing, tmp_path: Path
) -> None:
    for wheel in wheels.find_wheels(None):  # made by this controller's pip, as the documentation says
        (tmp_path / wheel.name).write_bytes(wheel.read_bytes())
    before, had = files(machine), packages(machine)
    assert not any(importable(machine, name) for name in ("docker", "jmespath", "pyroute2", "bcc", "pip"))

    unprepared = play("00-preflight")
    assert "consent" in unprepared
    machine.write(hosts.CONSENT, "yes\n")
    assert "playbooks/setup-hosts.yml brings it" in play("00-preflight")
    machine.output("rm", "-r", str(Path(hosts.CONSENT).parent))

    offline = {"chaos_offline": "true", "host_wheels": str(tmp_path)}
    assert changed(play.setup("--check", **offline)) > 0
    assert files(machine) == before, "--check changes nothing"

    said = play.setup(**offline)
    assert "goes without bcc" in said
    assert packages(machine) == had
    assert machine.call(f"{VENV}/bin/python", "-c", "import docker, jmespath, pyroute2, urllib3") == 0
    assert not importable(machine, "docker"), "the system's Python is as it was"
    assert changed(play.setup(**offline)) == 0

    rows = readiness(play("00-preflight"))
    assert sorted(rows) == EXPERIMENTS
    for number, row in rows.items():
        assert row.startswith("impossible" if number == NEEDS_A_DISK else "degraded"), f"{number}: {row}"
        assert "bcc is missing" in row or number == NEEDS_A_DISK

    assert changed(play("remove-hosts", "--check")) > 0
    play("remove-hosts")
    assert files(machine) == before
    assert changed(play("remove-hosts")) == 0


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("cut_off")
def test_wheels_that_are_not_there_are_named_before_anything_is_changed(
    machine: Machine, play: Playing, tmp_path: Path
) -> None:
    before = files(machine)
    said = play.setup(code=2, chaos_offline="true", host_wheels=str(tmp_path))
    assert "lacks the pure wheels of docker" in said
    assert files(machine) == before


@pytest.mark.timeout(500)
def test_online_bcc_comes_from_the_distribution_and_goes_again(machine: Machine, play: Playing) -> None:
    before, had = files(machine), packages(machine)
    play.setup()
    came = {line.split()[1] for line in packages(machine) - had}
    assert "python3-bpfcc" in came
    noted = json.loads(machine.output("cat", "/etc/exchange-chaos/packages.json"))["installed"]
    assert set(noted) == came
    assert importable(machine, "bcc")
    assert not importable(machine, "docker")
    assert changed(play.setup()) == 0

    rows = readiness(play("00-preflight"))
    assert sorted(rows) == EXPERIMENTS
    assert "give the volume a filesystem of its own" in rows.pop(NEEDS_A_DISK)
    for number, row in rows.items():
        # The bare host has no Compose, which is not needed and said to be missing; nothing else is.
        why = row.removeprefix("degraded").strip().removesuffix(COMPOSE).strip()
        assert why in ("", "ready"), f"{number}: {row}"

    said = play("remove-hosts", host_remove_packages="true")
    assert "python3-bpfcc" not in said
    assert packages(machine) == had
    assert files(machine) == before


@pytest.mark.timeout(600)
def test_an_experiment_passes_on_a_host_that_setup_prepared(
    machine: Machine, play: Playing, tmp_path: Path
) -> None:
    play.setup()
    try:
        play("01-database-sudden-death", chaos_report_dir=str(tmp_path), **support.SHORT)
    finally:
        play("remove-hosts")
    (path,) = tmp_path.glob("chaos-exp-01-*.json")
    record = json.loads(path.read_text())
    assert record["outcome"] == "passed"
    assert record["hosts"][0]["bpf"]["positive_control"] is True


@pytest.mark.timeout(600)
def test_offline_bcc_comes_from_package_files(machine: Machine, play: Playing, tmp_path: Path) -> None:
    """The files are made as the documentation says, on a machine like the host: on the host, while it has a way."""
    if machine.call("dpkg-query", "--show", "python3-bpfcc") == 0:
        machine.output("sh", "-c", "dpkg --purge python3-bpfcc")
    script = (
        "mkdir -p /tmp/packages/partial && apt-get update -qq && apt-get install --quiet --yes --download-only "
        "--no-install-recommends --option Dir::Cache::archives=/tmp/packages python3-bpfcc"
    )
    machine.output("sh", "-c", script)
    run("docker", "cp", f"{NAME}:/tmp/packages", str(tmp_path))
    machine.output("rm", "-rf", "/tmp/packages")
    had = packages(machine)
    machine.output("mv", "/etc/apt", "/etc/apt-away")
    machine.output("mkdir", "-p", "/etc/apt/sources.list.d")
    try:
        offline = {"chaos_offline": "true", "host_package_files": str(tmp_path / "packages")}
        play.setup(**offline)
        assert importable(machine, "bcc")
        assert machine.call("test", "-e", "/usr/local/lib/exchange-chaos/packages") != 0
        assert changed(play.setup(**offline)) == 0
        play("remove-hosts", host_remove_packages="true")
    finally:
        machine.output("rm", "-rf", "/etc/apt")
        machine.output("mv", "/etc/apt-away", "/etc/apt")
    assert packages(machine) == had
