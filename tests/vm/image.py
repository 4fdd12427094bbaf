"""The disk of an exchange host as its owner has it: stock Debian with systemd, a Docker engine, sshd; made once.

A recipe (packages, files, sizes) makes one disk, which lies in `.cache/vm` under the recipe's checksum and is never
written to again: the machine runs on a copy of it. Needs root, mmdebstrap, sfdisk and mke2fs; the packages come
from wherever this machine's own come from, and none are fetched once the machine runs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import run

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".cache" / "vm"
SUITE = "bookworm"
#: The stock kernel and what a host is run with; then the engine, and what role lab and the collection ask of a host.
#: No kernel headers, no compiler, no chrony: what a production host has.
PACKAGES = (
    *("linux-image-amd64", "initramfs-tools", "systemd-sysv", "udev", "dbus", "kmod", "zstd"),
    *("openssh-server", "ca-certificates", "iproute2", "iptables", "nftables", "procps", "apparmor"),
    *("docker.io", "docker-compose"),
    *("python3", "python3-docker", "python3-jmespath", "python3-pyroute2", "python3-bpfcc", "python3-yaml"),
)
SIZE_MB = 8192
#: Where the only partition begins, MiB: a host's disk has one, and limits are set on the disk under it.
FIRST_MB = 1
FILES = {
    "etc/hostname": "vm\n",
    "etc/hosts": "127.0.0.1 localhost vm\n::1 localhost\n",
    "etc/fstab": "/dev/vda1 / ext4 defaults,noatime 0 1\n",
    "etc/systemd/network/10-dhcp.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=ipv4\n",
    "etc/ssh/sshd_config.d/bench.conf": "PermitRootLogin prohibit-password\nUseDNS no\n",
    # small, so that the emulated processor does not unpack drivers for machines it is not
    "etc/initramfs-tools/conf.d/bench": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
}
ENABLED = ("systemd-networkd.service", "ssh.service", "docker.service")
#: Units that take minutes of an emulated processor and are nobody's need here.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "man-db.timer",
)


@dataclass(frozen=True)
class Disk:
    """A host's disk, and the kernel and initial file system on it, taken out so that no boot loader is needed."""

    path: Path
    kernel: Path
    initrd: Path


def key() -> Path:
    """Return the private key that opens the machine, made on first use."""
    path = STATE / "id_ed25519"
    if not path.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "exchange-chaos vm", "-f", path)
    return path


def disk() -> Disk:
    """Return the disk of the recipe, made if it is not there. Raises BenchError with what a tool said."""
    public = key().with_suffix(".pub").read_text()
    recipe = json.dumps([SUITE, PACKAGES, SIZE_MB, FIRST_MB, FILES, ENABLED, MASKED, public])
    folder = STATE / hashlib.sha256(recipe.encode()).hexdigest()[:12]
    made = Disk(folder / "disk.img", folder / "vmlinuz", folder / "initrd.img")
    if not made.initrd.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STATE) as scratch:
            tree = Path(scratch) / "root"
            _debian(tree, Path(scratch) / "files", public)
            _partitioned(tree, made.path)
            shutil.copy(tree / "vmlinuz", made.kernel)
            shutil.copy(tree / "initrd.img", folder / "initrd.new")
            (folder / "initrd.new").replace(made.initrd)  # the last: it tells that the rest is whole
    return made


def _debian(tree: Path, files: Path, public: str) -> None:
    """Make the file system: packages, and the few files that make it this host."""
    for name, text in {**FILES, "root/.ssh/authorized_keys": public}.items():
        path = files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (files / "root").chmod(0o700)
    (files / "root/.ssh").chmod(0o700)
    inside = (
        f'chroot "$1" systemctl enable {" ".join(ENABLED)} && chroot "$1" systemctl mask {" ".join(MASKED)}'
    )
    run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        # before the kernel's package makes its initial file system, and once more over what packages laid
        f'--essential-hook=cp -a {files}/. "$1"/',
        f'--customize-hook=cp -a {files}/. "$1"/',
        '--customize-hook=chroot "$1" update-initramfs -u',
        f"--customize-hook={inside}",
        *(
            '--customize-hook=rm -f "$1"/etc/resolv.conf && echo \'nameserver 10.0.2.3\' > "$1"/etc/resolv.conf',
        ),
        *(SUITE, tree),
    )


def _partitioned(tree: Path, path: Path) -> None:
    """Lay the tree on the first partition of a new disk, no byte of it mounted."""
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        stream.truncate(SIZE_MB * 1024 * 1024)
    run("sfdisk", "--quiet", path, stdin=f"start={FIRST_MB}MiB, type=83\n".encode())
    size = f"{SIZE_MB - FIRST_MB - 1}M"
    run(
        *("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", tree),
        *("-E", f"offset={FIRST_MB * 1024 * 1024},lazy_itable_init=1", path, size),
    )
