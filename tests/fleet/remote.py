"""Running experiments on several remote hosts, and looking at each of them without the collection's eyes."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from tests.bench import hosts
from tests.bench.machine import Machine, run
from tests.e2e import live, machine, support

PROJECT = f"label=com.docker.compose.project={support.PROJECT}"
#: What the engine tells of health checks, which go on all the time.
_ROUTINE = ("exec_create", "exec_start", "exec_die", "health_status")


def command(inventory: Path, *playbooks: str, options: tuple[str, ...] = (), **variables: Any) -> list[str]:
    """The words of an ansible-playbook call on a fleet."""
    words = [str(support.ROOT / ".venv" / "bin" / "ansible-playbook"), "-i", str(inventory), *options]
    return [*words, *playbooks, "-e", json.dumps(variables)]


def playbook(
    inventory: Path, *playbooks: str, options: tuple[str, ...] = (), timeout: float = 400, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run playbooks on a fleet in one command, to their end; output and errors together."""
    return subprocess.run(
        command(inventory, *playbooks, options=options, **variables), cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=timeout,
    )  # fmt: skip


def up(profiles: Mapping[str, str]) -> hosts.Bench:
    """Bring up hosts 1 to n, each with an exchange in its profile (by name: host-1, …)."""
    variables = {name: {"lab_profile": profile} for name, profile in profiles.items()}
    bench = hosts.up(len(profiles), variables=variables)
    hosts.give_image(bench, *hosts.lab_images())
    done = playbook(bench.inventory, "playbooks/lab.yml")
    assert done.returncode == 0, done.stdout[-4000:]
    return bench


def name_of(one: Machine) -> str:
    """How the inventory calls a machine."""
    return one.name.removeprefix("exchange-chaos-")


def reports(folder: Path) -> list[support.Report]:
    """The reports in a folder, by number of the experiment; each with a record that is one."""
    found = [support.Report(log.with_suffix("")) for log in sorted(folder.glob("chaos-exp-*.log"))]
    for report in found:
        jsonschema.validate(report.record, live.SCHEMA)
    return found


def hosts_of(report: support.Report) -> dict[str, dict[str, Any]]:
    """What a record says of each host, by name."""
    return {host["host"]: dict(host) for host in report.record["hosts"]}


def outcomes(report: support.Report) -> dict[str, str]:
    """The outcome of each host."""
    return {name: host["outcome"] for name, host in hosts_of(report).items()}


def raw(report: support.Report, host: str, what: str) -> list[dict[str, Any]]:
    """A host's raw file's lines."""
    path = report.stem.parent / f"{report.stem.name}.{host}.{what}.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [line for line in lines if "anchor" not in line]


def containers(one: Machine) -> dict[str, dict[str, Any]]:
    """What a machine's own engine says of the exchange's containers, by service."""
    ids = one.output("docker", "ps", "-aq", "--filter", PROJECT).split()
    found = json.loads(one.output("docker", "inspect", *ids))
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in found}


def addresses(one: Machine) -> dict[str, str]:
    """The containers' addresses, by service."""
    return {
        service: network["IPAddress"]
        for service, item in containers(one).items()
        for network in item["NetworkSettings"]["Networks"].values()
        if network["IPAddress"]
    }


def now(one: Machine) -> str:
    """The time by a machine's engine, to ask for events by."""
    return one.output("date", "+%s.%N").strip()


def events(one: Machine, since: str) -> list[str]:
    """What happened to a machine's containers and networks since then, but for health checks of the services."""
    text = one.output("docker", "events", "--since", since, "--until", now(one), "--format", "{{json .}}")
    found = [json.loads(line) for line in text.splitlines()]
    return [
        f"{item['Type']} {item['Action']} {item['Actor']['Attributes'].get('name', '')}"
        for item in found
        if not _routine(str(item["Action"]))
    ]


def _routine(action: str) -> bool:
    """Whether it is one of the services' own health checks; the run's look-ups are psql's, and none of them."""
    return action.startswith(_ROUTINE) and "psql" not in action


def running(one: Machine, service: str) -> bool:
    """Whether a service runs, as the machine's own engine tells it."""
    return bool(containers(one)[service]["State"]["Running"])


@contextlib.contextmanager
def cut(one: Machine) -> Iterator[None]:
    """Cut every SSH connection to a machine meanwhile, open ones and new ones; its engine, and we, still get in.

    It is cut on this machine's side, so that nothing is changed on the other.
    """
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    peer = run("docker", "inspect", "--format", address, one.name).strip()
    rule = ["OUTPUT", "-d", peer, "-p", "tcp", "--dport", "22", "-j", "REJECT", "--reject-with", "tcp-reset"]
    run("iptables", "-I", *rule)
    try:
        yield
    finally:
        run("iptables", "-D", *rule)


def seen(one: Machine) -> dict[str, Any]:
    """What an experiment may change on a machine, by other tools than the collection's."""
    names = {address: f"<{service}>" for service, address in addresses(one).items()}
    pid = int(run("docker", "inspect", "--format", "{{.State.Pid}}", one.name))
    found: dict[str, Any] = {
        "network": machine.network(pid, names),
        "processes": processes(pid),
        "files": one.output("sh", "-c", "find /var/lib/exchange-chaos /etc/exchange-chaos -type f | sort"),
    }
    for service, item in containers(one).items():
        found[service] = {
            **{key: item[key] for key in ("Id", "Config", "HostConfig", "RestartCount")},
            "state": {key: item["State"][key] for key in ("Running", "Pid", "StartedAt")},
            "limits": limits(item["Id"]),
        }
        if item["State"]["Running"]:
            found[service]["network"] = machine.network(item["State"]["Pid"], names)
    return found


def limits(identity: str) -> dict[str, str]:
    """The limits of a container's own cgroup that this kernel has."""
    return {
        path.name: path.read_text()
        for name in machine.LIMITS
        for path in Path("/sys/fs/cgroup").rglob(name)
        if identity in path.parent.name
    }


def processes(pid: int) -> list[str]:
    """Programs that run on the machine whose first process is ``pid``, outside its containers; not SSH's sessions.

    Health checks start programs of the engine all the time: what counts is what two looks, 2 s apart, have seen.
    """
    before = _commands(pid)
    time.sleep(2)
    return sorted(command for identity, command in _commands(pid).items() if before.get(identity) == command)


def _commands(pid: int) -> dict[str, str]:
    here = os.readlink(f"/proc/{pid}/ns/mnt")
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(path / "ns" / "mnt") != here:
                continue
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] and not words[0].startswith(b"sshd:") and Path(os.fsdecode(words[0])).name != "runc":
            found[path.name] = b" ".join(words).decode(errors="replace")
    return found


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
