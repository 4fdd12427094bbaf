# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroups of one container, version 1 or 2 by what is there, and the limit files in them. Source: cgroups(7).

Only a folder whose path carries the container's own id is ever handed out: never the root's, the host's, another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..common.errors import ChaosError, Unsupported

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
#: The file by which a controller is known, in version 1 and 2.
_KNOWN_BY: Mapping[str, tuple[str, str]] = {
    "cpu": ("cpu.cfs_quota_us", "cpu.max"),
    "cpuacct": ("cpuacct.usage", "cpu.stat"),
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "blkio": ("blkio.throttle.write_bps_device", "io.max"),
    "freezer": ("freezer.state", "cgroup.freeze"),
    "pids": ("pids.max", "pids.max"),
}
#: Version 2 has these names for a device without limits.
_NO_LIMITS = {"rbps": "max", "wbps": "max", "riops": "max", "wiops": "max"}


@dataclass(frozen=True)
class Cgroup:
    """A container's cgroup in one hierarchy: ``path`` the container's own, ``leaf`` that of its main process."""

    version: int
    path: Path
    leaf: Path

    def offers(self, name: str) -> bool:
        """Return whether the kernel offers this file here."""
        return (self.path / name).exists()

    def read(self, name: str) -> str:
        """Return a file's text without its line end. Raises ChaosError when the cgroup is gone or closed to us."""
        try:
            return (self.path / name).read_text().strip()
        except OSError as error:
            raise ChaosError(f"{self.path / name} cannot be read ({error.strerror}).") from error

    def read_number(self, name: str) -> int:
        """Return the number in a file. Raises ChaosError when it is none (such as ``max``)."""
        text = self.read(name)
        try:
            return int(text)
        except ValueError:
            raise ChaosError(f"{self.path / name} holds {text!r}, not a number.") from None

    def read_table(self, name: str) -> dict[str, int]:
        """Return a flat keyed file (``key number`` a line) as a dictionary."""
        pairs = (line.split() for line in self.read(name).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}

    def write(self, name: str, text: str) -> None:
        """Write a file. Raises ChaosError with the kernel's reason."""
        try:
            (self.path / name).write_text(text)
        except OSError as error:
            raise ChaosError(
                f"{self.path / name} would not take {text!r} ({error.strerror}); nothing else was tried in its stead."
            ) from error

    def processes(self) -> list[int]:
        """Return the processes of the container, those in cgroups below its own included."""
        found = []
        for path in [self.path, *(one for one in self.path.rglob("*") if one.is_dir())]:
            try:
                found += [int(word) for word in (path / "cgroup.procs").read_text().split()]
            except OSError:
                continue
        return found

    def join(self, pid: int) -> None:
        """Move a process of ours beside the container's main process. Raises ChaosError with the kernel's reason."""
        try:
            (self.leaf / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise ChaosError(f"A process could not join {self.leaf} ({error.strerror}).") from error


def find_cgroup(
    controller: str, pid: int, container_id: str, *, root: Path = ROOT, proc: Path = PROC
) -> Cgroup:
    """Return the cgroup that limits a container for a controller: cpu, cpuacct, memory, blkio, freezer or pids.

    ``pid`` is its main process. Raises Unsupported when this host has no such controller, ChaosError when the process
    is gone or lives in a cgroup that is not the container's own.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError as error:
        raise ChaosError(
            f"Process {pid} of container {container_id[:12]} is gone ({error.strerror})."
        ) from error
    first, second = _KNOWN_BY[controller]
    for line in lines:
        _number, names, path = line.split(":", 2)
        if controller in names.split(","):
            for folder in dict.fromkeys((root / controller, root / names)):
                found = _own(1, folder, path, container_id)
                if found.offers(first):
                    return found
    for line in lines:
        _number, names, path = line.split(":", 2)
        if not names:
            for folder in (root, root / "unified"):
                found = _own(2, folder, path, container_id)
                if found.offers(second):
                    return found
    raise Unsupported(
        f"The kernel offers no cgroup controller {controller} for container {container_id[:12]} under {root}; "
        "enable it on the kernel's command line (such as cgroup_enable=memory)."
    )


def _own(version: int, folder: Path, path: str, container_id: str) -> Cgroup:
    """Return the container's folder, cut after the part that carries its id; what is below is its own affair."""
    parts = [part for part in path.split("/") if part]
    place = next((index for index, part in enumerate(parts) if container_id and container_id in part), None)
    if place is None or ".." in parts:
        raise ChaosError(
            f"The main process of container {container_id[:12]} lives in cgroup {path}, which is not the container's "
            "own; limits there would reach others."
        )
    return Cgroup(version, folder.joinpath(*parts[: place + 1]), folder.joinpath(*parts))


def device_line(cgroup: Cgroup, name: str, device: str) -> str:
    """Return a device's line (``major:minor`` …) of a limit file, that of no limit where the file has none."""
    for line in cgroup.read(name).splitlines():
        if line.split()[:1] == [device]:
            return " ".join(line.split())
    return f"{device} 0" if cgroup.version == 1 else device_limits(device, {})


def device_limits(device: str, limits: Mapping[str, str], before: str = "") -> str:
    """Return the line of version 2's ``io.max`` with some limits changed (rbps, wbps, riops, wiops)."""
    known = {**_NO_LIMITS, **dict(word.split("=", 1) for word in before.split()[1:])}
    return " ".join([device, *(f"{key}={value}" for key, value in {**known, **limits}.items())])
