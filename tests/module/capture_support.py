"""What the capture's tests need: two containers of a project of their own, work in them, and a capture to watch it.

The work is done by Python processes of this machine that join a container's cgroup and network namespace, so the
images need nothing, and the kernel cannot tell them from the container's own processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

PYTHON = "/usr/bin/python3"
IMAGE = "exchange-chaos-test-busybox:1"
OPEN, CLOSED = 5432, 5433
ROOT = Path(__file__).resolve().parents[2]

_JOIN = """
import ctypes, errno, os, socket, struct, sys, time
pid = int(sys.argv[1])
mounts = [line.split() for line in open("/proc/mounts")]
for line in open(f"/proc/{pid}/cgroup"):
    number, names, path = line.strip().split(":", 2)
    for _, where, kind, options, *_ in mounts:
        words = options.split(",")
        if (kind == "cgroup2" and not names) or (kind == "cgroup" and names and set(names.split(",")) <= set(words)):
            try:
                open(f"{where}{path}/cgroup.procs", "w").write(str(os.getpid()))
            except OSError:
                pass
            break
if ctypes.CDLL(None).setns(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), 0x40000000):
    raise SystemExit("setns failed")
time.sleep(PAUSE)
"""
_CONNECT = """
def connect(address, port, timeout=2.0):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(timeout)
    try:
        s.connect((address, port))
    except OSError:
        pass
    return s
"""


def run(*command: str, check: bool = True) -> str:
    """Run a command and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def missing() -> str:
    """Return why these tests cannot run here, "" if they can."""
    if os.geteuid() != 0:
        return "needs root"
    if subprocess.run([PYTHON, "-c", "import bcc"], capture_output=True, check=False).returncode != 0:
        return "needs bcc for the system's Python"
    if shutil.which("docker") is None or not run(
        "docker", "version", "--format", "{{.Server.Version}}", check=False
    ):
        return "needs a Docker engine"
    return ""


def cgroup2() -> str | None:
    """Return where cgroup version 2 is mounted, None if it is not."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((words[1] for words in mounts if words[2] == "cgroup2"), None)


def image() -> str:
    """Return an image with one static busybox, made from the distribution's package if it is not there."""
    if run("docker", "image", "ls", "--quiet", IMAGE):
        return IMAGE
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            ["apt-get", "download", "busybox-static"], cwd=scratch, check=True, capture_output=True
        )
        package = next(Path(scratch).glob("busybox-static*.deb"))
        run("dpkg-deb", "-x", str(package), f"{scratch}/root")
        binary = next(path for path in Path(scratch, "root").rglob("bin/busybox"))
        tree = Path(scratch, "tree/bin")
        tree.mkdir(parents=True)
        shutil.copy(binary, tree / "busybox")
        run("tar", "-C", f"{scratch}/tree", "-cf", f"{scratch}/root.tar", "bin")
        run("docker", "import", f"{scratch}/root.tar", IMAGE)
    return IMAGE


@dataclass
class Exchange:
    """A project of two services: ``api`` sleeps, ``store`` listens on OPEN and on nothing else."""

    project: str = field(default_factory=lambda: f"chaos-capture-{uuid.uuid4().hex[:8]}")

    def start(self, service: str, project: str | None = None) -> str:
        """Start a container of a service and return its id."""
        name = project or self.project
        main = ("httpd", "-f", "-p", str(OPEN)) if service == "store" else ("sleep", "100000")
        return run(
            *(
                "docker",
                "run",
                "--detach",
                "--restart",
                "always",
                "--network",
                self.project,
                "--no-healthcheck",
            ),
            *("--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
            *(
                "--label",
                f"com.docker.compose.project={name}",
                "--label",
                f"com.docker.compose.service={service}",
            ),
            *("--label", f"chaos-capture-test={self.project}"),
            *(image(), "/bin/busybox", *main),
        )

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Return a service's containers as a run's specification lists them."""
        ids = run(
            *("docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        found = []
        for item in json.loads(run("docker", "inspect", *ids)) if ids else []:
            addresses = [net["IPAddress"] for net in item["NetworkSettings"]["Networks"].values()]
            found.append(
                {
                    "id": item["Id"],
                    "name": item["Name"].lstrip("/"),
                    "pid": item["State"]["Pid"],
                    "addresses": addresses,
                }
            )
        return found

    def pid(self, service: str) -> int:
        """Return the main process of a service."""
        return int(self.containers(service)[0]["pid"])

    def address(self, service: str) -> str:
        """Return the address of a service."""
        return str(self.containers(service)[0]["addresses"][0])

    def spec(self, **capture: Any) -> dict[str, Any]:
        """Return a run's specification with what the capture reads of it."""
        return {
            "run_id": "exp-00-capture-test",
            "project": self.project,
            "anchor": asdict(clock.take_anchor()),
            "containers": {service: self.containers(service) for service in ("api", "store")},
            "capture": {
                "programs": ["tcp", "exit"],
                "services": ["api", "store"],
                "ports": {str(OPEN): "store", str(CLOSED): "nobody"},
                "control": {"from": "api", "to": "store", "port": OPEN},
                **capture,
            },
        }

    def remove(self) -> None:
        """Take everything of this project away."""
        ids = run("docker", "ps", "-aq", "--filter", f"label=chaos-capture-test={self.project}").split()
        if ids:
            run("docker", "rm", "-f", *ids)
        run("docker", "network", "rm", self.project, check=False)


@contextlib.contextmanager
def exchange() -> Iterator[Exchange]:
    """Give a fresh project with both services up."""
    made = Exchange()
    run("docker", "network", "create", made.project)
    try:
        for service in ("api", "store"):
            made.start(service)
        yield made
    finally:
        made.remove()


def joining_script(script: str, pause: float = 0.0) -> str:
    """Return Python that first joins the container of the process whose pid is its first argument."""
    return f"{_JOIN.replace('PAUSE', str(pause))}{script}"


def work(pid: int, script: str, *arguments: object, pause: float = 0.0, code: int = 0) -> int:
    """Run Python inside the container of process ``pid`` and return the pid it had; ``connect()`` is defined."""
    text = joining_script(f"{_CONNECT}{script}\ntime.sleep({pause})\n", pause)
    child = subprocess.Popen([PYTHON, "-c", text, str(pid), *map(str, arguments)])
    ended = child.wait(60)
    assert ended == code, f"exit code {ended}"
    return child.pid


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is resident now, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) / 1024  # type: ignore[union-attr]


def connects(pid: int, address: str, port: int, count: int, pause: float = 0.0) -> int:
    """Connect ``count`` times from inside the container of ``pid``; returns the pid that did it."""
    script = f"for _ in range({count}):\n    connect({address!r}, {port}).close()"
    return work(pid, script, pause=pause)


@dataclass
class Capture:
    """A capture in a run's folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def status(self) -> dict[str, Any]:
        """Return capture.json."""
        found: dict[str, Any] = json.loads((self.folder / "capture.json").read_text())
        return found

    @property
    def ready(self) -> bool:
        """Has it said that it works (or cannot)?"""
        return (self.folder / "processes" / "capture.json").exists()

    def wait_for_events(self, count: int, within: float = 10.0, **wanted: Any) -> None:
        """Wait until so many events have these fields, or for ``within`` seconds; whether they have, the test says."""
        until = time.monotonic() + within
        while len(self.events(**wanted)) < count and time.monotonic() < until:
            time.sleep(0.1)

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the events that have these fields, controls left out unless asked for."""
        found = jsonl.read_lines(self.folder / "bpf.jsonl")
        wanted.setdefault("control", False)
        return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]

    def logs(self) -> list[str]:
        """Return its lines for people, each as "level text"."""
        lines = jsonl.read_lines(self.folder / "timeline.jsonl")
        return [f"{line['level']} {line['text']}" for line in lines if line["event"] == "log"]

    def stop(self) -> int:
        """End it and return its exit code."""
        time.sleep(0.15)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until it is ready; fails with its own words otherwise."""
        end = time.monotonic() + seconds
        while not self.ready:
            words = (self.folder / "err").read_text()
            assert self.process.poll() is None, words
            assert time.monotonic() < end, words
            time.sleep(0.02)


@contextlib.contextmanager
def capture(folder: Path, spec: Mapping[str, Any], prelude: str = "") -> Iterator[Capture]:
    """Give a capture that is ready. prelude: Python to run in its process first, with ``exchange_chaos`` importable."""
    archive = folder / "chaos.pyz"
    archive.write_bytes(runtime.build_archive().read_bytes())
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "deadline.json").write_text(json.dumps({"t": clock.read() + 120}))
    main = f"import sys; sys.path.insert(0, {str(archive)!r})\n{prelude}\n"
    main += f"from exchange_chaos.entry import main\nsys.exit(main(['chaos', 'capture', {str(folder)!r}]))"
    command = [PYTHON, "-c", main] if prelude else [PYTHON, str(archive), "capture", str(folder)]
    with (folder / "err").open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors, start_new_session=True)
    running = Capture(folder, process)
    try:
        running.wait()
        yield running
    finally:
        running.stop()
