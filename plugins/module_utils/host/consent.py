# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who and what may be touched at all: the owner's consent, and containers that share nothing with others."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..common.errors import ChaosError
from .docker_engine import Container

#: Where the owner of a remote host agrees to experiments: a regular file of root's that nobody else can write, in a
#: folder of the same kind, since whoever writes there may move another file of root's to its place.
CONSENT = Path("/etc/exchange-chaos/consent")
PROC = Path("/proc")
#: How often a container that starts over and over is looked at.
_LOOKS = 3


def require_consent(path: Path = CONSENT) -> None:
    """Raise ChaosError unless the consent file is there and can only be root's word."""
    try:
        found, folder = os.lstat(path), path.parent.stat()
    except OSError:
        raise ChaosError(
            f"This remote host has not been prepared for experiments: its owner's consent, {path}, is missing; "
            "playbooks/setup-hosts.yml brings it."
        ) from None
    if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise ChaosError(
            f"The consent file {path} is not root's alone: it must be a regular file of root's, writable by no other."
        )
    if folder.st_uid != 0 or folder.st_mode & 0o022:
        raise ChaosError(
            f"The folder of the consent, {path.parent}, is not root's alone: it must be root's, writable by no other."
        )


def refuse_shared(container: Container, named: set[str]) -> None:
    """Raise ChaosError when a fault in this container's namespaces would reach the host or an unnamed container.

    ``named`` are the ids of the containers the run was given.
    """
    if container.network_mode == "host":
        raise ChaosError(
            f"Container {container.name} of service {container.service} shares the host's network; "
            "a fault there would reach the host itself: give it a network of its own."
        )
    kind, _colon, other = container.network_mode.partition(":")
    if kind == "container" and other not in named:
        raise ChaosError(
            f"Container {container.name} of service {container.service} shares the network of container {other[:12]}, "
            "which is not part of this experiment."
        )
    if container.pid_mode == "host":
        raise ChaosError(
            f"Container {container.name} of service {container.service} shares the host's processes (pid: host)."
        )
    if (container.host_config.get("CgroupParent") or "") == "/":
        raise ChaosError(
            f"Container {container.name} of service {container.service} lives in the host's root cgroup."
        )


def require_own_process(container: Container, look_again: Callable[[str], Container | None]) -> None:
    """Raise ChaosError when the engine's number for a container's main process is somebody else's on this host.

    In another PID namespace (a container that has the engine's socket) that number names anybody or nobody: to enter
    its namespaces would be to cut a stranger, or the host itself. ``look_again`` asks the engine anew, since the
    container may have been started anew meanwhile.
    """
    found: Container | None = container
    for _look in range(_LOOKS):
        if found is None or not found.running or found.pid <= 0 or _is_its_process(found):
            return
        asked, found = found.pid, look_again(container.id)
        if found is not None and found.pid != asked:
            continue
    if found is not None and not _is_its_process(found):
        raise ChaosError(
            f"The engine says that container {found.name} is process {found.pid}, but on this host that number is not "
            "this container's: the engine's processes are not ours to see. Run on the engine's own host, or in its PID "
            "namespace (pid: host)."
        )


def _is_its_process(container: Container) -> bool:
    """Return whether the process is in a cgroup that bears the container's id; cgroups(7), /proc/[pid]/cgroup."""
    try:
        return container.id in (PROC / str(container.pid) / "cgroup").read_text(errors="replace")
    except OSError:
        return False
