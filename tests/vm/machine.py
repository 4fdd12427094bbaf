"""An exchange host with a kernel of its own: QEMU without virtualisation, reached by SSH on a port of 127.0.0.1.

Usage: python -m tests.vm.machine up | down | ssh WORD...

The machine cannot reach anything but this one (restrict=on): whatever a run needs on it must be there. It may stay up
between calls; its disk lies beside it and keeps what was done.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench.machine import BenchError, run
from tests.vm import image

STATE = image.STATE
CPUS, MEMORY_MB = 2, 4096
NAME = "vm"
#: Its console goes to a file. Workarounds for weaknesses of processors are left out: an emulated one has none of them,
#: and they cost it dearly.
KERNEL = "root=/dev/vda1 ro console=ttyS0 net.ifnames=0 mitigations=off"
BOOT_S = 300.0
_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=24"),
)


@dataclass(frozen=True)
class Vm:
    """The one machine of this checkout, up or not; ``folder`` has its disk, its console and who it is."""

    folder: Path = STATE / "machine"

    @property
    def pid(self) -> int | None:
        """The process that is the machine, None while it is down."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that leads to its sshd."""
        return int((self.folder / "port").read_text())

    def start(self, *, fresh: bool) -> float:
        """Boot it, from a new copy of the image if ``fresh`` or there is no disk; returns the seconds until SSH."""
        if self.pid:
            raise BenchError("the machine is up already")
        disk, own = image.disk(), self.folder / "disk.img"
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not own.exists():
            run("cp", "--sparse=always", "--reflink=auto", disk.path, own)
        (self.folder / "port").write_text(f"{_free_port()}\n")
        begin = time.monotonic()
        with (self.folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(disk), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.folder / "pid").write_text(f"{process.pid}\n")
        while not self.answers():
            if process.poll() is not None:
                raise BenchError(f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-1000:]}")
            if time.monotonic() > begin + BOOT_S:
                process.kill()
                raise BenchError(
                    f"no SSH within {BOOT_S:.0f} s; its console is {self.folder / 'console.log'}"
                )
            time.sleep(1)
        return time.monotonic() - begin

    def _command(self, disk: image.Disk) -> list[str]:
        """What starts it. cache=unsafe: its disk must survive a reset of the machine, not one of this machine."""
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", str(CPUS), "-m", str(MEMORY_MB)),
            *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", KERNEL),
            *("-drive", f"file={self.folder / 'disk.img'},format=raw,if=virtio,cache=unsafe"),
            *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
            *("-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"),
            *("-display", "none", "-serial", f"file:{self.folder / 'console.log'}"),
            *("-monitor", f"unix:{self.folder / 'monitor'},server=on,wait=off"),
        ]

    def monitor(self, command: str) -> None:
        """Give QEMU's monitor a command, such as ``system_reset``: the button on the machine's front."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.folder / "monitor"))
            said = b""
            while b"(qemu)" not in said:
                heard = line.recv(4096)
                if not heard:
                    raise BenchError(f"QEMU's monitor hung up before {command}")
                said += heard
            line.sendall(command.encode() + b"\n")
            time.sleep(0.5)

    def pause(self, paused: bool = True) -> None:
        """Let it stand still, or go on: it takes no processor of this machine meanwhile, and its clocks stand, too."""
        self.monitor("stop" if paused else "cont")

    def ssh_options(self) -> list[str]:
        """The options by which ssh gets in."""
        return ["-i", str(image.key()), *_OPTIONS]

    def ssh(self, *words: str) -> list[str]:
        """The words that run a command in the machine."""
        return ["ssh", *self.ssh_options(), "-p", str(self.port), "root@127.0.0.1", shlex.join(words)]

    def output(self, *words: str) -> str:
        """Run a command in the machine; returns its output, raises BenchError if it fails."""
        return run(*self.ssh(*words))

    def call(self, *words: str) -> int:
        """Run a command in the machine, quietly; returns its exit code."""
        quiet = subprocess.DEVNULL
        return subprocess.run(
            self.ssh(*words), stdin=quiet, stdout=quiet, stderr=quiet, check=False
        ).returncode

    def answers(self) -> bool:
        """Whether somebody can log in."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as probe:
            probe.settimeout(10)
            return probe.recv(4) == b"SSH-" and self.call("true") == 0
        return False

    def boot_id(self) -> str:
        """What the kernel calls this boot."""
        return self.output("cat", "/proc/sys/kernel/random/boot_id").strip()

    def wait_for_boot_after(self, boot: str, within: float = BOOT_S) -> float:
        """Wait until it is up again with another boot; returns the seconds."""
        begin = time.monotonic()
        while time.monotonic() < begin + within:
            with contextlib.suppress(BenchError):
                if self.answers() and self.boot_id() != boot:
                    return time.monotonic() - begin
            time.sleep(1)
        raise BenchError(f"not up again within {within:.0f} s; its console is {self.folder / 'console.log'}")

    def stop(self) -> None:
        """Shut it down as its owner would, and pull the plug if that takes too long."""
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(OSError, BenchError):
            self.pause(False)  # one that stands still hears nothing
        self.call("systemctl", "poweroff")
        until = time.monotonic() + 60
        while self.pid and time.monotonic() < until:
            _reap(pid)
            time.sleep(0.5)
        if self.pid:
            os.kill(pid, signal.SIGKILL)
            _reap(pid)

    def give_images(self, *names: str) -> None:
        """Load images of this machine's engine into its own, where they are missing."""
        wanted = [name for name in names if self.call("docker", "image", "inspect", name) != 0]
        if not wanted:
            return
        with subprocess.Popen(["docker", "save", *wanted], stdout=subprocess.PIPE) as save:
            load = subprocess.run(
                self.ssh("docker", "load", "--quiet"),
                stdin=save.stdout,
                stdout=subprocess.DEVNULL,
                check=False,
            )
        if save.returncode != 0 or load.returncode != 0:
            raise BenchError(f"the machine did not take the images {', '.join(wanted)}")

    def inventory(self) -> Path:
        """Write the inventory in which it is the only exchange host, and return its path."""
        entry = {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(image.key()),
            # without compression, which costs an emulated processor more than the wire it saves
            "ansible_ssh_args": f"{shlex.join(_OPTIONS)} -o ControlMaster=auto -o ControlPersist=300s",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        path = self.folder / "hosts.yml"
        path.write_text(yaml.safe_dump({"exchange": {"hosts": {NAME: entry}}}, explicit_start=True))
        return path


def _reap(pid: int) -> None:
    """Take note of the end of a child of ours, if it is one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", "down", "ssh"])
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    vm = Vm()
    if options.what == "ssh":
        os.execvp("ssh", vm.ssh(*options.words))
    if options.what == "down":
        vm.stop()
    elif vm.pid is None:
        print(f"✓ up after {vm.start(fresh=False):.0f} s, port {vm.port}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
