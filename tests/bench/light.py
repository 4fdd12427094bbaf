"""Light hosts, many of them: each an sshd in namespaces of its own, with one small service for an exchange.

Usage: python -m tests.bench.light up [COUNT] | down

A light host has its own port, host name, owner's consent and state folder; the engine, the kernel and its clock are
this machine's. Its compose project is one container at a fixed address that takes orders and has them looked up
(light_exchange.py), so that every module, the lifecycle and the observers run as on any other host, at small rates.
`up` makes what is not there yet and prints the path of an Ansible inventory with the hosts in group `exchange`;
`down` takes all of them away, every process of theirs and every container. From a test:

    with light.bench(20) as bench:
        ansible_playbook("-i", bench.inventory, *bench.options, …)

What an inventory may not set is in light_rates.yml: the rates of the probes, for `-e`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench import command, hosts
from tests.bench.accounting import CpuGroup
from tests.bench.machine import LABEL, BenchError, run

ROOT = Path(__file__).resolve().parents[2]
STATE = hosts.STATE / "light"
PREFIX = "exchange-chaos-light"
SERVICE = "exchange"
EXCHANGE = Path(__file__).with_name("light_exchange.py")
RATES = Path(__file__).with_name("light_rates.yml")
#: An address of its own for every container: one that is killed comes back where it was, and never as a neighbour.
NETWORK, FIRST = "10.83.77", 10
#: What each light host has of its own, by where it looks for it.
OWN = {"etc": Path("/etc/exchange-chaos"), "state": Path("/var/lib/exchange-chaos")}
#: What every Python on a host does first. All clocks of this machine are one, and the kernel lends no namespace for the
#: time of day: so Python is told another on a host that is to have one of its own; CLOCK_BOOTTIME, which has no meaning
#: between hosts, is left alone. And the processes of a run (observers, watchdogs) are counted apart from the modules.
FIRST_OF_ALL = """import sys, time
_true = time.time
if {ahead_s}:
    time.time = lambda: _true() + {ahead_s}
if any(word.endswith("/chaos.pyz") for word in sys.orig_argv):
    open("{observers}/cgroup.procs", "w").write("0")
"""
#: The exchange of the inventory's every host: one service plays all parts, at rates that fifty can have at once.
VARIABLES: dict[str, Any] = {
    "chaos_services": {
        **dict.fromkeys(("database", "cache", "api", "proxy", "simulator"), SERVICE),
        "order_flow": "",
    },
    "chaos_ports": dict.fromkeys(("database", "cache", "api", "proxy"), 8080),
    # nothing is looked for: what is not named here is as the embedded exchange has it
    "chaos_discover": False,
    # what stands for psql there knows these two, and has no catalogue
    "chaos_database": {
        "name": "trading_db",
        "user": "trading_user",
        "lookup": "SELECT price FROM orders WHERE price BETWEEN {first} AND {last}",
        "open": "SELECT price, id FROM waiting WHERE price BETWEEN {first} AND {last}",
    },
    # Fifty hosts on two cores: what their observers do, and how often, must leave the cores to what is measured. Of
    # ten seconds without a sample nobody there may be surprised.
    "chaos_rate": 0.4,
    "chaos_watch_rate": 0,
    "chaos_burst_rate": 0,
    "chaos_burst_s": 0,
    "chaos_floor": 0.05,
    # Each is noise to the other forty-nine.
    "chaos_accept_noise": True,
    # They answer late, which is no news about them.
    "chaos_thresholds": {"error_ratio": 0.5, "p99_ms": 10000, "loss_visible_ms": 10},
    "chaos_client_timeout_s": 10,
    "chaos_baseline_s": 12,
    "chaos_baseline_timeout_s": 120,
    "chaos_steady_s": 6,
    "chaos_recovery_timeout_s": 120,
    "database_sudden_death_crash_window_s": 10,
    "database_sudden_death_outage_s": 8,
    # A pass of preflight over all of them takes two minutes here, a shorter module half a minute: a lease must outlast
    # the one, a fault several of the others.
    "chaos_slow_host": 10,
    "chaos_ttl_margin_s": 300,
}


@dataclass(frozen=True)
class Light:
    """One light host by its number, from 1 on."""

    number: int

    @property
    def name(self) -> str:
        """How inventory and reports call it."""
        return f"light-{self.number}"

    @property
    def project(self) -> str:
        """Its compose project, and its only container's name."""
        return f"{PREFIX}-{self.number}"

    @property
    def address(self) -> str:
        """Its container's."""
        return f"{NETWORK}.{FIRST + self.number}"

    @property
    def folder(self) -> Path:
        """Where what it has of its own lies."""
        return STATE / str(self.number)

    @property
    def cpu(self) -> CpuGroup:
        """The processes of the host: sshd and what Ansible runs there."""
        return CpuGroup(self.project)

    @property
    def observers(self) -> CpuGroup:
        """Of these the processes that live as long as a run does."""
        return CpuGroup(f"{self.project}-observers")

    @property
    def port(self) -> int:
        """The port of its sshd on 127.0.0.1."""
        return int((self.folder / "port").read_text())

    @property
    def state(self) -> Path:
        """Its state folder, as this machine sees it."""
        return self.folder / "state"

    def docker(self) -> None:
        """Start its exchange's container, unless it runs."""
        if run("docker", "ps", "--quiet", "--filter", f"name=^{self.project}$").strip():
            return
        labels = {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": SERVICE,
            "com.docker.compose.container-number": "1",
            LABEL: PREFIX,
        }
        run("docker", "rm", "--force", self.project, check=False)
        run(
            *("docker", "run", "--detach", "--name", self.project, "--restart", "always"),
            *(word for key, value in labels.items() for word in ("--label", f"{key}={value}")),
            *("--network", PREFIX, "--ip", self.address, "--stop-signal", "SIGKILL"),
            *("--volume", f"{EXCHANGE}:/exchange.py:ro", "--volume", f"{EXCHANGE}:/usr/local/bin/psql:ro"),
            *(image(), "python3", "/exchange.py"),
        )

    def sshd(self, ahead_s: float = 0.0) -> None:
        """Start its sshd, unless it runs. What Python runs there sees a clock that is ``ahead_s`` seconds ahead."""
        if self.cpu.pids():
            return
        for group in (self.cpu, self.observers):
            group.remove()
            group.create()
        for name in OWN:
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        (self.folder / "etc" / "consent").write_text("exchange.chaos bench: experiments are welcome here\n")
        (self.folder / "port").write_text(str(free_port()))
        (self.folder / "sitecustomize.py").write_text(
            FIRST_OF_ALL.format(ahead_s=ahead_s, observers=self.observers.path)
        )
        (self.folder / "passwd").write_text(without_startup_files(Path("/etc/passwd").read_text()))
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {hosts.key()}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {hosts.key().with_suffix('.pub')}\nStrictModes no\nPermitRootLogin prohibit-password\n"
            f"SetEnv PYTHONPATH={self.folder}\n"
            "MaxStartups 200\nMaxSessions 50\nSubsystem sftp internal-sftp\n"
        )
        own = {**OWN, "passwd": "/etc/passwd"}
        binds = "".join(f"mount --bind {self.folder / name} {path} && " for name, path in own.items())
        script = f"hostname {self.name} && {binds} exec /usr/sbin/sshd -D -e -f {config}"
        with (self.folder / "sshd.log").open("w") as log:
            subprocess.Popen(
                self.cpu.within("unshare", "--mount", "--uts", "sh", "-c", script),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until its sshd answers and its exchange is up. Raises BenchError."""
        for address, port in (("127.0.0.1", self.port), (self.address, 8080)):
            until = time.monotonic() + seconds
            while True:
                with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
                    break
                if time.monotonic() > until:
                    raise BenchError(f"{self.name}: {address}:{port} did not open within {seconds:g} s")
                time.sleep(0.05)

    def up(self, ahead_s: float = 0.0) -> None:
        """Bring it up whole."""
        self.sshd(ahead_s)
        self.docker()
        self.wait()


@dataclass(frozen=True)
class Bench:
    """What `up` made: the hosts in order, the inventory that names them, and what ansible-playbook wants besides."""

    hosts: tuple[Light, ...]
    inventory: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Words for ansible-playbook: the inventory, the rates, and all hosts at a time."""
        return ("-i", str(self.inventory), "-e", f"@{RATES}", "--forks", str(len(self.hosts)))


def image() -> str:
    """Return the embedded exchange's image, whose Python runs the small ones. Raises BenchError if it is not there."""
    found = run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "exchange-chaos-lab").split()
    if not found:
        raise BenchError("the embedded exchange's image is not here: run `make lab` once")
    return found[0]


def without_startup_files(accounts: str) -> str:
    """Return the lines of a passwd(5) file with a login shell for root that reads no file before a command.

    sshd starts the account's shell for every command, and bash then reads its owner's ~/.bashrc: what whoever works
    on this machine has put there is no cost of an experiment.
    """
    lines = [line.split(":") for line in accounts.splitlines()]
    return "".join(":".join([*line[:-1], "/bin/sh"] if line[0] == "root" else line) + "\n" for line in lines)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def entry(host: Light) -> dict[str, Any]:
    """How Ansible reaches the host, and which exchange is its own."""
    return {
        **hosts.ssh_variables(host.port),
        # this machine's own Python has none of the libraries; the checkout's has
        "ansible_python_interpreter": str(ROOT / ".venv" / "bin" / "python"),
        "chaos_project": host.project,
    }


def favour_engine(nice: int) -> None:
    """Have the engine and its helpers run before all else, or (0) as usual.

    Fifty hosts have fifty engines. Here they share one, which among as many busy groups would get a fiftieth of the
    processors, and answer too late.
    """
    names = ("dockerd", "containerd", "containerd-shim")
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError):
            if (task.parents[1] / "exe").resolve().name.startswith(names):
                os.setpriority(os.PRIO_PROCESS, int(task.name), nice)


def up(count: int, ahead_s: Mapping[int, float] | None = None) -> Bench:
    """Bring up light hosts 1 to ``count`` where they are not up yet, and write their inventory.

    ``ahead_s`` has, by number of a host, how many seconds its clock is ahead.
    """
    if os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists():
        raise BenchError("light hosts need root and openssh-server")
    for folder in (Path("/run/sshd"), *OWN.values()):
        folder.mkdir(parents=True, exist_ok=True)
    if not run("docker", "network", "ls", "--quiet", "--filter", f"name=^{PREFIX}$").strip():
        run(
            "docker",
            "network",
            "create",
            "--label",
            f"{LABEL}={PREFIX}",
            "--subnet",
            f"{NETWORK}.0/24",
            PREFIX,
        )
    made = tuple(Light(number) for number in range(1, count + 1))
    hosts.key()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: host.up((ahead_s or {}).get(host.number, 0.0)), made))
    favour_engine(-15)
    inventory = STATE / f"hosts-{count}.yml"
    entries = {host.name: entry(host) for host in made}
    group = {"exchange": {"hosts": entries, "vars": VARIABLES}}
    inventory.write_text(yaml.safe_dump(group, explicit_start=True))
    return Bench(made, inventory)


def down() -> None:
    """Take every light host away, whoever brought it up: its processes, its container, what it had of its own."""
    for group in CpuGroup("x").path.parent.glob(f"{PREFIX}-*"):
        CpuGroup(group.name).remove()
    ids = run("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={PREFIX}").split()
    if ids:
        run("docker", "rm", "--force", "--volumes", *ids)
    run("docker", "network", "rm", PREFIX, check=False)
    favour_engine(0)
    shutil.rmtree(STATE, ignore_errors=True)
    with contextlib.suppress(OSError):  # this machine's own: only where nothing else made it
        OWN["etc"].rmdir()


@contextlib.contextmanager
def bench(count: int, ahead_s: Mapping[int, float] | None = None) -> Iterator[Bench]:
    """Light hosts for the time of a test."""
    try:
        yield up(count, ahead_s)
    finally:
        down()


if __name__ == "__main__":
    sys.exit(command.main(__doc__, lambda count: up(count).inventory, down, 10))
