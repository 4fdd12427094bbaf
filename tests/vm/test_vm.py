"""Experiments on a stock Debian kernel: netem, cgroup version 2, systemd. Run by make test-vm, in this order.

Every run's own output goes to the terminal as it comes, since docs/test-vm.txt is what these tests printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.bench import hosts
from tests.bench.machine import BenchError
from tests.vm.machine import Vm

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "files" / "record.schema.json").read_text())
VARIABLES = "tests/vm/variables.yml"
PROJECT = "exchange-chaos-lab"
SERVICES = ("postgres", "redis", "trading-api", "market-simulator", "nginx")
STATE = "/var/lib/exchange-chaos"
PASSED = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def vm() -> Iterator[Vm]:
    """The machine, up, from a new disk if VM_FRESH=1, else as it was left; VM_KEEP=1 leaves it up, standing still."""
    machine = Vm()
    fresh = os.environ.get("VM_FRESH") == "1"
    if fresh:
        machine.stop()
    if machine.pid is None:
        say(f"up after {machine.start(fresh=fresh):.0f} s")
    else:
        machine.pause(False)
        machine.call("date", "--set", f"@{time.time():.3f}")  # as a time server would: its clock stood, too
    say(machine.output("uname", "-srv").strip())
    yield machine
    if os.environ.get("VM_KEEP") == "1":
        machine.pause()
    else:
        machine.stop()


@pytest.fixture
def exchange(vm: Vm) -> Vm:
    """The machine with its exchange whole and no record of an earlier test in the way."""
    vm.call("sh", "-c", f"rm -rf {STATE}/records")
    healthy(vm)
    return vm


def say(text: str) -> None:
    """Print for who reads along."""
    print(f"· {text}", flush=True)


def words(vm: Vm, playbook: str, **variables: str) -> list[str]:
    """The words of an ansible-playbook call against the machine."""
    extra = ["-e", json.dumps(variables)] if variables else []
    call = ["ansible-playbook", "-i", str(vm.inventory()), "-e", f"@{VARIABLES}", *extra, playbook]
    print(f"\n$ {shlex.join(call)}", flush=True)
    return call


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "NO_COLOR": "1"}


def changed(vm: Vm, playbook: str, **variables: str) -> int:
    """Run a playbook that must go through; returns how many of its tasks changed something."""
    code, said = play(vm, playbook, {"ANSIBLE_STDOUT_CALLBACK": "default"}, **variables)
    assert code == 0, said
    return int(re.findall(r"^vm\s.*changed=(\d+)", said, re.MULTILINE)[-1])


def play(vm: Vm, playbook: str, more: Mapping[str, str] | None = None, **variables: str) -> tuple[int, str]:
    """Run a playbook to its end, its output to ours as it comes; returns exit code and output.

    more: environment variables besides the usual ones.
    """
    said = []
    with subprocess.Popen(
        words(vm, playbook, **variables), cwd=ROOT, env={**environment(), **(more or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return process.returncode, "".join(said)


def healthy(vm: Vm, within: float = 240) -> None:
    """Wait until every service is healthy."""
    until = time.monotonic() + within
    names = [f"{PROJECT}-{service}" for service in SERVICES]
    states: list[str] = []
    while time.monotonic() < until:
        try:
            states = vm.output("docker", "inspect", "--format", "{{.State.Health.Status}}", *names).split()
        except BenchError:
            states = ["no answer"]
        if states == ["healthy"] * len(names):
            return
        time.sleep(2)
    raise AssertionError(f"the exchange is not healthy: {states}")


def record_of(folder: Path) -> dict[str, Any]:
    """The only record in a folder, valid."""
    (path,) = folder.glob("chaos-exp-*.json")
    record = dict(json.loads(path.read_text()))
    jsonschema.validate(record, SCHEMA)
    return record


def passed(vm: Vm, playbook: str, folder: Path) -> dict[str, Any]:
    """Run an experiment that must pass, with the kernel's own events; returns the host's part of its record."""
    before = limits(vm)
    code, _said = play(vm, playbook, chaos_report_dir=str(folder))
    record = record_of(folder)
    host = dict(record["hosts"][0])
    say(f"outcome {record['outcome']}, verdicts {record['verdicts']}, leftovers {host['leftovers']}")
    for fault in host["faults"]:
        say(f"fault {fault['id']}: engine {fault['engine']}")
    assert (record["outcome"], record["verdicts"], code) == ("passed", PASSED, 0)
    assert host["leftovers"] == []
    assert host["bpf"]["status"] == "attached"
    assert host["bpf"]["events"] > 0
    assert host["bpf"]["positive_control"] is True
    assert any(
        proof["source"] == "kernel" and proof["holds"] for fault in host["faults"] for proof in fault["proof"]
    )
    assert left(vm) == []
    assert limits(vm) == before
    return host


def limits(vm: Vm) -> dict[str, str]:
    """The limits of every container of the exchange, straight from cgroup version 2, and the engine's own."""
    script = (
        "import glob, json, subprocess\n"
        f"names = {[f'{PROJECT}-{service}' for service in SERVICES]!r}\n"
        "found = {}\n"
        "for one in json.loads(subprocess.check_output(['docker', 'inspect', *names])):\n"
        "    for name in ('memory.max', 'memory.swap.max', 'cpu.max', 'io.max'):\n"
        "        for path in glob.glob(f\"/sys/fs/cgroup/**/docker-{one['Id']}.scope/{name}\", recursive=True):\n"
        "            found[one['Name'] + ' ' + name] = open(path).read().strip()\n"
        "    config = one['HostConfig']\n"
        "    keys = ('Memory', 'MemorySwap', 'NanoCpus', 'CpuQuota', 'CpuPeriod', 'RestartPolicy')\n"
        "    found[one['Name'] + ' config'] = json.dumps([config[key] for key in keys])\n"
        "print(json.dumps(found))\n"
    )
    found = dict(json.loads(vm.output("python3", "-c", script)))
    assert f"/{PROJECT}-trading-api memory.max" in found, found
    return found


def left(vm: Vm) -> list[str]:
    """What of ours is on the machine: processes of a run, runs, locks, queues, tables, and what could not be seen."""
    script = (
        f"pgrep -af '[c]haos.pyz.*{STATE}/runs' ; ls -d {STATE}/runs/* {STATE}/locks/* 2>/dev/null; "
        "docker ps -q | grep -q . || echo there are no containers; "
        "for id in $(docker ps -q); do pid=$(docker inspect -f '{{.State.Pid}}' $id); "
        "{ nsenter -t $pid -n tc qdisc && nsenter -t $pid -n nft list tables; } || echo chaos unseen in $id; "
        "done | grep -E 'netem|htb|chaos'; true"
    )
    return vm.output("sh", "-c", script).splitlines()


def test_the_machine_is_what_it_stands_for(vm: Vm) -> None:
    """Stock kernel, cgroup version 2 alone, systemd; no kernel headers."""
    assert vm.output("stat", "-fc", "%T", "/sys/fs/cgroup").strip() == "cgroup2fs"
    assert vm.output("cat", "/proc/1/comm").strip() == "systemd"
    assert vm.output("uname", "-r").strip().endswith("-amd64")
    headers = "ls -d /lib/modules/$(uname -r)/build/ /usr/src/linux-headers-* 2>/dev/null; true"
    assert vm.output("sh", "-c", headers) == ""
    assert vm.call("modprobe", "sch_netem") == 0
    driver = vm.output(
        "docker", "info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}} {{.Driver}}"
    ).strip()
    say(f"Docker {vm.output('docker', 'version', '--format', '{{.Server.Version}}').strip()}: {driver}")
    assert driver.startswith("systemd 2")


def test_the_host_is_set_up(vm: Vm) -> None:
    """Consent and units by setup-hosts, which fetches nothing; once more it changes nothing; all of it goes."""
    for again in (False, True):
        changed(vm, "playbooks/setup-hosts.yml", host_consent="make test-vm")
        assert vm.output("cat", "/etc/exchange-chaos/consent").strip() == "make test-vm"
        assert vm.output("systemctl", "is-enabled", "exchange-chaos-recover.service").strip() == "enabled"
        assert vm.output("systemctl", "is-active", "exchange-chaos-recover.timer").strip() == "active"
        assert (
            vm.output("systemctl", "show", "-P", "NeedDaemonReload", "exchange-chaos-recover.timer") == "no\n"
        )
        assert changed(vm, "playbooks/setup-hosts.yml", host_consent="make test-vm") == 0
        if not again:
            changed(vm, "playbooks/remove-hosts.yml")
            units = "/etc/systemd/system/*exchange-chaos* /etc/systemd/system/*.wants/*exchange-chaos*"
            ours = f"ls -d /etc/exchange-chaos /usr/local/lib/exchange-chaos {units} 2>/dev/null; true"
            assert vm.output("sh", "-c", ours) == ""
            assert "exchange-chaos-recover" not in vm.output("systemctl", "list-units", "--all", "--plain")


def test_the_exchange_is_up(vm: Vm) -> None:
    """By role lab, with the image of this machine's exchange; it fetches nothing either."""
    vm.give_images(*hosts.lab_images())
    code, said = play(vm, "playbooks/lab.yml")
    assert code == 0, said
    healthy(vm)


def test_preflight(exchange: Vm) -> None:
    code, said = play(exchange, "playbooks/00-preflight.yml")
    assert code == 0
    assert "cgroup v2" in said
    rows = dict(re.findall(r"\b(\d\d)  [A-Za-z/ -]+?  [^\w\s] ((?:ready|degraded|impossible).*)", said))
    assert len(rows) == 10, said
    for number in ("01", "02", "03", "04", "05", "09"):  # what is run here
        assert rows[number].startswith("ready"), f"{number}: {rows[number]}"


def test_01_database_sudden_death(exchange: Vm, tmp_path: Path) -> None:
    host = passed(exchange, "playbooks/01-database-sudden-death.yml", tmp_path)
    assert [fault["id"] for fault in host["faults"]] == ["crash", "outage"]


def test_02_network_partition(exchange: Vm, tmp_path: Path) -> None:
    host = passed(exchange, "playbooks/02-network-partition.yml", tmp_path)
    assert host["faults"][0]["engine"] == "nftables"


def test_03_memory_oom_kill(exchange: Vm, tmp_path: Path) -> None:
    host = passed(exchange, "playbooks/03-memory-oom-kill.yml", tmp_path)
    assert host["capabilities"]["cgroup"] == "v2"
    finding = {found["id"]: found["value"] for found in host["findings"]}
    assert finding["right_victim"] is True
    assert finding["marked_victim"] is True
    assert finding["limits_back"] is True


def test_05_disk_io_starvation(exchange: Vm, tmp_path: Path) -> None:
    host = passed(exchange, "playbooks/05-disk-io-starvation.yml", tmp_path)
    assert host["faults"][0]["engine"] == "cgroup v2"


def test_09_network_latency(exchange: Vm, tmp_path: Path) -> None:
    host = passed(exchange, "playbooks/09-network-latency.yml", tmp_path)
    assert {fault["engine"] for fault in host["faults"]} == {"netem"}


@pytest.mark.parametrize(
    ("playbook", "name", "how", "variables"),
    [
        # charged slowly, so that the kernel has not killed yet
        pytest.param(
            "playbooks/03-memory-oom-kill.yml", "memory.max", "system_reset", {"memory_oom_kill_rate_mb": "1"},
            id="03-power",
        ),
        pytest.param("playbooks/04-cpu-throttling.yml", "cpu.max", "systemctl reboot", {}, id="04-reboot"),
    ],
)  # fmt: skip
def test_a_reboot_while_the_limit_is_in_force(
    exchange: Vm, tmp_path: Path, playbook: str, name: str, how: str, variables: dict[str, str]
) -> None:
    """The controller is killed and the host reboots in the fault window: everything is back, nobody asked for it."""
    before, boot = limits(exchange), exchange.boot_id()
    usual = before[f"/{PROJECT}-trading-api {name}"]
    call = words(exchange, playbook, chaos_report_dir=str(tmp_path), **variables)
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            call, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        path, now = wait_for_limit(exchange, name, usual, process)
        say(f"in force: {path.rpartition('/')[2]} {now}, before: {usual}")
        if how == "system_reset":
            exchange.monitor("system_reset")
        else:
            exchange.call("systemctl", "reboot")
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself: the output says why
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        print((tmp_path / "output").read_text(), flush=True)
    say(f"{how}; the controller was killed; up again after {exchange.wait_for_boot_after(boot):.0f} s")

    until = time.monotonic() + 240
    while exchange.call("sh", "-c", f"ls {STATE}/records/*/record.json") != 0:
        assert time.monotonic() < until, exchange.output(
            "journalctl", "-b", "-u", "exchange-chaos-recover.service"
        )
        time.sleep(2)
    print(
        exchange.output("journalctl", "-b", "--no-pager", "-u", "exchange-chaos-recover.service"), flush=True
    )
    healthy(exchange)
    assert limits(exchange) == before
    assert left(exchange) == []
    journal = exchange.output("sh", "-c", f"cat {STATE}/records/*/journal.jsonl")
    last = {entry["seq"]: entry["entry"] for entry in map(json.loads, filter(None, journal.splitlines()))}
    print(journal, flush=True)
    assert set(last.values()) == {"undone"}, journal
    record = json.loads(exchange.output("sh", "-c", f"cat {STATE}/records/*/record.json"))
    say(
        f"record kept: outcome {record['outcome']}, verdicts {record['verdicts']}, leftovers {record['leftovers']}"
    )
    for fault in record["faults"]:
        say(f"fault {fault['id']} undone by {fault['undone_by']}")
    assert {fault["undone_by"] for fault in record["faults"]} == {"boot"}
    assert record["outcome"] == "aborted"
    assert record["verdicts"]["restored"] == "pass"


def wait_for_limit(vm: Vm, name: str, before: str, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Wait until a limit of the API's cgroup is another one; returns its path and text as the fault has it."""
    script = (
        f"i=$(docker inspect -f '{{{{.Id}}}}' {PROJECT}-trading-api); "
        f"p=$(ls -d /sys/fs/cgroup/system.slice/docker-$i.scope)/{name}; "
        f'for _ in $(seq 150); do b=$(cat $p); [ -z "$b" ] || [ "$b" = "{before}" ] || '
        '{ echo "$p|$b"; exit; }; sleep 0.2; done'
    )
    until = time.monotonic() + 900
    while time.monotonic() < until and process.poll() is None:
        path, _bar, text = vm.output("sh", "-c", script).strip().partition("|")
        if path:
            return path, text
    raise AssertionError(f"{name} stayed as it was; exit code {process.poll()}")
