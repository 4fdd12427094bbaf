# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks under containers: which one carries a volume, how busy it is, how long an fsync takes inside a cgroup.

Sources: proc(5) (mountinfo), the kernel's Documentation/admin-guide/iostats, open(2) (O_TMPFILE).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.errors import ChaosError, Unsupported
from .cgroups import Cgroup
from .docker_engine import Container

PROC = Path("/proc")
SYS = Path("/sys")
#: What an engine mounts into every container beside its volumes.
_ENGINE_FILES = ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts")
#: What a filesystem of the ext family has in its first folder from the beginning.
_LOST_AND_FOUND = "lost+found"
#: More processes of a container than this are not looked at.
_MOST_PROCESSES = 2000
#: One trial's write.
BYTES = 16 * 1024


@dataclass(frozen=True)
class Mount:
    """A mount of a container: where, of which kind and source, and its device as ``major:minor``.

    ``root``: the folder of its filesystem that is mounted there.
    """

    point: str
    kind: str
    source: str
    device: str
    root: str = "/"


def read_mounts(pid: int, *, proc: Path = PROC) -> list[Mount]:
    """Return the mounts that process ``pid`` sees. Raises ChaosError when they cannot be read."""
    try:
        lines = (proc / str(pid) / "mountinfo").read_text(errors="replace").splitlines()
    except OSError as error:
        raise ChaosError(f"The mounts of process {pid} cannot be read ({error.strerror}).") from error
    found = []
    for line in lines:
        left, _dash, right = line.partition(" - ")
        words, kind_source = left.split(), right.split()
        point = words[4].encode().decode("unicode_escape")
        root = words[3].encode().decode("unicode_escape")
        found.append(Mount(point, kind_source[0], kind_source[1], words[2], root))
    return found


def find_volume(container: Container, path: str = "", *, proc: Path = PROC) -> Mount:
    """Return the mount that holds a container's data: that of ``path``, else where its database works, else its volume.

    Raises ChaosError when it has none, or several on different devices and ``path`` names none of them; Unsupported
    when the data lies on no disk.
    """
    known = read_mounts(container.pid, proc=proc)
    data = path or find_data_folder(container.pid, proc=proc)
    if data:
        mount = _on_a_disk(container, data, _mount_over(container, known, data))
        log = "" if path else _find_log_folder(container.pid, data, proc=proc)
        beside = _mount_over(container, known, log) if log else mount
        if beside.device != mount.device:
            raise ChaosError(
                f"{container.name} keeps its data in {data} and its write-ahead log in {log}, which lie on two "
                f"devices; name one by path: commits wait for {log}."
            )
        return mount
    volumes = [one for one in known if one.source.startswith("/") and one.point not in _ENGINE_FILES]
    volumes = [
        one
        for one in volumes
        if one.point != "/"
        and one.kind not in ("proc", "sysfs", "tmpfs", "cgroup")
        and not (proc / str(container.pid) / "root" / one.point.lstrip("/")).is_file()
    ]
    if not volumes:
        raise Unsupported(
            f"Container {container.name} of service {container.service} keeps nothing on a volume, so there is no disk "
            "whose speed could be limited for it alone; give it a volume for its data."
        )
    if len({one.device for one in volumes}) > 1:
        points = ", ".join(one.point for one in volumes)
        raise ChaosError(f"{container.name} has volumes on several devices ({points}); name one by path.")
    return volumes[0]


def find_data_folder(pid: int, *, proc: Path = PROC) -> str:
    """Return the folder in which a container's PostgreSQL keeps its data, as the container sees it; empty if none runs.

    The server's first process works in it (its current folder), and it holds PG_VERSION. ``pid`` is the container's
    main process: the server itself, or what started it.
    """
    for one in (pid, *_descendants(pid, proc)):
        folder = proc / str(one) / "cwd"
        try:
            if (folder / "PG_VERSION").is_file():
                return os.readlink(folder)
        except OSError:
            continue
    return ""


def _mount_over(container: Container, known: Sequence[Mount], folder: str) -> Mount:
    """Return the mount that a folder of a container lies on."""
    over = [one for one in known if folder == one.point or folder.startswith(one.point.rstrip("/") + "/")]
    if not over:
        raise ChaosError(f"{folder} is on no mount of {container.name}.")
    return max(over, key=lambda one: len(one.point))


def _find_log_folder(pid: int, data: str, *, proc: Path) -> str:
    """Return where PostgreSQL writes its log ahead, as the container sees it: ``pg_wal`` or where that link leads."""
    below = proc / str(pid) / "root" / data.lstrip("/") / "pg_wal"
    try:
        return os.path.normpath(os.path.join(data, os.readlink(below)))
    except OSError:
        return os.path.join(data, "pg_wal")


def _descendants(pid: int, proc: Path) -> list[int]:
    """Return the children of a process and theirs (proc(5): task/<tid>/children)."""
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < _MOST_PROCESSES:
        one = waiting.pop()
        try:
            told = (proc / str(one) / "task" / str(one) / "children").read_text().split()
        except OSError:
            continue
        children = [int(word) for word in told]
        found += children
        waiting += children
    return found


def _on_a_disk(container: Container, folder: str, mount: Mount) -> Mount:
    """Return the mount. Raises Unsupported, with what would help, where it is memory or the container's own layer."""
    why = {
        "tmpfs": "in memory (tmpfs)",
        "ramfs": "in memory (ramfs)",
        "overlay": "in its own layer, not on a volume",
    }
    if mount.kind in why:
        raise Unsupported(
            f"Container {container.name} of service {container.service} keeps {folder} {why[mount.kind]}, so there is "
            "no disk whose speed could be limited for it; give it a volume on a disk to learn how it bears a slow one."
        )
    return mount


def find_others(pid: int, mount: Mount, data: str = "", *, proc: Path = PROC) -> str:
    """Return what else a filesystem holds than the folder ``data`` of a mount; empty where it holds nothing.

    Without ``data`` it is the mount's own folder. Looked at from the filesystem's first folder down to the one that is
    meant, as it is mounted in the container of ``pid``, else on this host. Where it is nowhere whole, that is said.
    """
    below = os.path.relpath(data, mount.point) if data else "."
    parts = [part for part in (*mount.root.split("/"), *below.split("/")) if part not in ("", ".")]
    folder = proc / str(pid) / "root" / mount.point.lstrip("/")
    if mount.root != "/":
        known = read_mounts(os.getpid(), proc=proc)
        whole = [one for one in known if one.device == mount.device and one.root == "/"]
        if not whole:
            return "nobody can look at all of it from here"
        folder = Path(whole[-1].point)
    for part in parts:
        try:
            beside = sorted({one.name for one in os.scandir(folder)} - {part, _LOST_AND_FOUND})
        except OSError as error:
            return f"{folder} cannot be read: {error.strerror}"
        if beside:
            return f"such as {folder / beside[0]}"
        folder /= part
    return ""


def find_disk(mount: Mount, *, sys: Path = SYS) -> str:
    """Return the whole disk under a mount as ``major:minor``: of a partition, the disk it is part of.

    Raises Unsupported for a file system that lies on no block device of its own (a network's, an overlay).
    """
    device = mount.device
    folder = sys / "dev" / "block" / device
    if not folder.exists() and mount.source.startswith("/dev/"):
        # btrfs and its like have devices of their own making; the source is the real one
        status = os.stat(mount.source)
        device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        folder = sys / "dev" / "block" / device
    if not folder.exists():
        raise Unsupported(
            f"{mount.point} lies on {mount.source} ({mount.kind}), which is no disk of this host; its speed can't be "
            "limited here."
        )
    real = folder.resolve()
    if (real / "partition").exists():
        return (real.parent / "dev").read_text().strip()
    return device


def disk_of(path: Path, *, sys: Path = SYS) -> str:
    """Return the whole disk under a path of the host, empty when there is none."""
    number = os.stat(path).st_dev
    mount = Mount(str(path), "", "", f"{os.major(number)}:{os.minor(number)}")
    try:
        return find_disk(mount, sys=sys)
    except Unsupported:
        return ""


def name_disk(device: str, *, sys: Path = SYS) -> str:
    """Return a disk's name, such as ``sda``."""
    return (sys / "dev" / "block" / device).resolve().name


def busy_s(device: str, *, sys: Path = SYS) -> float:
    """Return the seconds in which a disk had something to do since boot (field 10 of its statistics)."""
    return int((sys / "dev" / "block" / device / "stat").read_text().split()[9]) / 1000


def count_bytes(cgroup: Cgroup, device: str) -> dict[str, int]:
    """Return the bytes a cgroup has read and written on a disk, as the kernel's throttle counts them: {read, write}."""
    if cgroup.version == 2:
        for line in cgroup.read("io.stat").splitlines():
            words = line.split()
            if words[:1] == [device]:
                pairs = dict(word.split("=", 1) for word in words[1:])
                return {"read": int(pairs.get("rbytes", 0)), "write": int(pairs.get("wbytes", 0))}
        return {"read": 0, "write": 0}
    found = {"read": 0, "write": 0}
    for line in cgroup.read("blkio.throttle.io_service_bytes").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == device and words[1].lower() in found:
            found[words[1].lower()] = int(words[2])
    return found


def folder_for(container: Container, mount: Mount, device: str, ours: Path) -> Path:
    """Return where a trial may write: our own folder if it is on that disk, else the volume itself, by its process."""
    if disk_of(ours) == device:
        return ours
    return Path(f"/proc/{container.pid}/root{mount.point}")


def time_fsyncs(cgroup: Cgroup, folder: Path, count: int, within: float) -> list[float]:
    """Return the seconds that ``count`` writes of 16 KiB took until they were on disk, by a child inside the cgroup.

    Its file has no name, so that nothing is left whatever happens. A trial that is not over after ``within`` seconds
    counts with the time it has taken so far, and is the last. Raises ChaosError when nothing could be written.
    """
    reader, writer = os.pipe()
    begun = clock.read()
    child = os.fork()
    if child == 0:
        _trials(cgroup, folder, count, writer)
    os.close(writer)
    try:
        said = _heard(reader, begun + within, count)
    finally:
        os.close(reader)
    if len(said) >= count or any("error" in one for one in said):
        os.waitpid(child, 0)
    else:
        # it waits for the disk and cannot be ended before; then it finds its pipe closed
        os.waitpid(child, os.WNOHANG)
    found = [float(one["s"]) for one in said if "s" in one]
    errors = [str(one["error"]) for one in said if "error" in one]
    if errors:
        raise ChaosError(f"No fsync could be tried in {folder}: {errors[0]}.")
    if len(found) < count:
        found.append(clock.read() - begun - sum(found))
    return found


def _trials(cgroup: Cgroup, folder: Path, count: int, writer: int) -> None:
    """The child: join, write, time; it never returns."""
    try:
        _close_all_but(writer)
        cgroup.join(os.getpid())
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        data = os.urandom(BYTES)
        for number in range(count):
            started = clock.read()
            os.pwrite(fd, data, number * BYTES)
            os.fdatasync(fd)
            os.write(writer, json.dumps({"s": clock.read() - started}).encode() + b"\n")
    except OSError as error:
        _last_word(writer, f"{error.strerror}")
    except ChaosError as error:
        _last_word(writer, str(error).rstrip("."))
    finally:
        os._exit(0)


def _close_all_but(kept: int) -> None:
    """Close what was inherited: a child that waits for the disk must not hold the journal's lock for its parent."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in (0, 1, 2, kept):
            with contextlib.suppress(OSError):
                os.close(int(name))


def _last_word(writer: int, text: str) -> None:
    try:
        os.write(writer, json.dumps({"error": text}).encode() + b"\n")
    except OSError:
        os._exit(1)


def _heard(reader: int, until: float, count: int) -> list[dict[str, Any]]:
    data = b""
    while data.count(b"\n") < count and clock.read() < until:
        if select.select([reader], [], [], max(0.0, until - clock.read()))[0]:
            part = os.read(reader, 4096)
            if not part:
                break
            data += part
            if b'"error"' in data and data.endswith(b"\n"):
                break
    return [json.loads(line) for line in data.split(b"\n")[: data.count(b"\n")]]
