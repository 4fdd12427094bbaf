"""A container that stands for a whole machine: it can run a Docker engine, and sees its kernel as a host does.

The machine shares the host's pid namespace, because the kernel's tracepoints report pids of that one: an engine on a
real host and the kernel under it agree on them, so they must here. Its engine keeps its containers under a cgroup of
the machine's own, which `remove` empties: nothing of it outlives the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LABEL = "exchange-chaos.bench"
CGROUP_ROOT = Path("/sys/fs/cgroup")
# All a nested engine needs where even --privileged is too much to ask (no CAP_SYS_RESOURCE to give away).
PRIVILEGES = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device-cgroup-rule", "a *:* rwm"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup"),
    *("--pid", "host"),
    *("--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
)
#: udev makes this on every machine; in a container nobody does.
TUN = "mkdir -p /dev/net && { [ -e /dev/net/tun ] || mknod -m 666 /dev/net/tun c 10 200; }"
# How programs here are told which authorities and proxies to trust and use; a new machine is told the same.
CARRIED_ENVIRONMENT = re.compile(
    r"^(PIP_.*|SSL_CERT_(FILE|DIR)|\w+_CA_BUNDLE|GIT_SSL_CAINFO|(https?|no|all)_proxy)$", re.I
)


class BenchError(Exception):
    """The bench could not be set up: what was run, and what it said."""


def run(*command: str | Path, stdin: bytes | None = None, check: bool = True) -> str:
    """Run a command to its end and return its output; with ``check`` a failure raises BenchError with its words."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
    )
    if check and done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        raise BenchError(f"{' '.join(map(str, command[:6]))} …: exit {done.returncode}: {words[-2000:]}")
    return done.stdout.decode(errors="replace")


def wait_until(what: str, condition: str, *, machine: Machine, seconds: float) -> None:
    """Wait until a shell ``condition`` holds in ``machine``; raises BenchError naming ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while machine.call("sh", "-c", condition) != 0:
        if time.monotonic() > end:
            raise BenchError(f"{machine.name}: {what} did not come up within {seconds:.0f} s")
        time.sleep(0.2)


def build_image(kind: str, packages: tuple[str, ...]) -> str:
    """Return the image of a minimal Debian with ``packages``, made from the archive if it is not there."""
    recipe = hashlib.sha256(json.dumps([kind, sorted(packages)]).encode()).hexdigest()[:12]
    image = f"exchange-chaos-{kind}:{recipe}"
    if run("docker", "image", "ls", "--quiet", image).strip():
        return image
    with tempfile.TemporaryDirectory() as scratch:
        tar = Path(scratch) / "root.tar"
        run("mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", "bookworm", tar)
        run("docker", "import", "--change", f"LABEL {LABEL}={kind}", tar, image)
    return image


@dataclass(frozen=True)
class Machine:
    """One machine by its name; it may or may not exist."""

    name: str

    @property
    def volume(self) -> str:
        return f"{self.name}-docker"

    @property
    def running(self) -> bool:
        return (
            run("docker", "inspect", "--format", "{{.State.Running}}", self.name, check=False).strip()
            == "true"
        )

    def create(self, image: str, *options: str) -> None:
        """Start the machine with nothing running in it, and carry over how packages are fetched here."""
        self.remove()
        labels = ("--label", f"{LABEL}={self.name}")
        run("docker", "volume", "create", *labels, self.volume)
        run(
            *(
                "docker",
                "run",
                "--detach",
                "--name",
                self.name,
                "--hostname",
                self.name,
                *labels,
                *PRIVILEGES,
            ),
            *("--volume", f"{self.volume}:/var/lib/docker"),
            *options,
            *(image, "sleep", "infinity"),
        )
        self.write("/etc/docker/daemon.json", json.dumps({"cgroup-parent": f"/{self.name}"}))
        self.call("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing")
        self.call("sh", "-c", TUN)
        self._carry_package_settings()

    def call(self, *command: str, stdin: bytes | None = None) -> int:
        """Run a command in the machine, quietly; returns its exit code."""
        words = ["docker", "exec", *(["--interactive"] if stdin is not None else []), self.name, *command]
        return subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    def output(self, *command: str) -> str:
        """Run a command in the machine; returns its output, raises BenchError if it fails."""
        return run("docker", "exec", self.name, *command)

    def stream(self, script: str, folder: str = "/root") -> int:
        """Run a shell script in the machine, its output to ours as it comes; returns its exit code."""
        environment = [f"--env={name}" for name in os.environ if CARRIED_ENVIRONMENT.match(name)]
        command = ["docker", "exec", "--workdir", folder, *environment, self.name, "bash", "-euc", script]
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in the machine, its folder too."""
        script = f'umask 077; mkdir -p -m 0755 "$(dirname {path})"; cat > {path}; chmod {mode} {path}'
        run("docker", "exec", "--interactive", self.name, "sh", "-c", script, stdin=text.encode())

    def copy_folder(self, source: Path, target: str) -> None:
        """Copy what is in ``source`` into ``target``, links as what they point to."""
        tar = subprocess.run(
            ["tar", "--create", "--dereference", "--directory", str(source), "."],
            stdout=subprocess.PIPE,
            check=True,
        )
        self.output("mkdir", "-p", target)
        run(
            *(
                "docker",
                "exec",
                "--interactive",
                self.name,
                "tar",
                "--extract",
                "--no-same-owner",
                "--directory",
                target,
            ),
            stdin=tar.stdout,
        )

    def _carry_package_settings(self) -> None:
        """Give the machine this one's package sources, authorities and pip settings, whatever they are."""
        for folder in ("/etc/apt", "/usr/local/share/ca-certificates"):
            if Path(folder).is_dir():
                self.output("rm", "-rf", folder)
                self.copy_folder(Path(folder), folder)
        self.output("update-ca-certificates")
        pip_config = run(Path(__file__).resolve().parents[2] / "tools" / "pip-config")
        self.write("/etc/pip.conf", pip_config)

    def remove(self) -> None:
        """Take the machine away with all it started; does nothing if it is not there."""
        if self.running:
            self.call("sh", "-c", "docker ps --quiet | xargs --no-run-if-empty docker kill")
            # The pid is of the host's namespace: if that engine died, it may be anybody's by now.
            self.call(
                "sh", "-c", 'p=$(cat /var/run/docker.pid); [ "$(cat /proc/$p/comm)" = dockerd ] && kill "$p"'
            )
        run("docker", "rm", "--force", "--volumes", self.name, check=False)
        self._empty_cgroups()
        run("docker", "volume", "rm", "--force", self.volume, check=False)

    def _cgroups(self) -> Iterator[Path]:
        """The cgroups of the machine's engine in every hierarchy, innermost first."""
        for root in (*CGROUP_ROOT.glob(f"*/{self.name}"), CGROUP_ROOT / self.name):
            for folder, _subfolders, _files in os.walk(root, topdown=False):
                yield Path(folder)

    def _empty_cgroups(self) -> None:
        """Kill what the machine's containers left running (pids are the host's), drop the cgroups."""
        for _attempt in range(50):
            groups = list(self._cgroups())
            if not groups:
                return
            for group in groups:
                with contextlib.suppress(OSError):
                    for pid in (group / "cgroup.procs").read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    group.rmdir()
            time.sleep(0.1)
        raise BenchError(f"processes of {self.name} do not end: see /sys/fs/cgroup/*/{self.name}")
