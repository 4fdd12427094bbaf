# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who and what may be touched at all: the owner's consent, and containers that share nothing with others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..common.errors import ChaosError
from .docker_engine import Container

#: Where the owner of a remote host agrees to experiments: a regular file of root's that nobody else can write, in a
#: folder of the same kind, since whoever writes there may move another file of root's to its place.
CONSENT = Path("/etc/exchange-chaos/consent")


def require_consent(path: Path = CONSENT) -> None:
    """Raise ChaosError unless the consent file is there and can only be root's word."""
    try:
        found, folder = os.lstat(path), path.parent.stat()
    except OSError:
        raise ChaosError(
            f"This remote host has not been prepared for experiments: its owner's consent, {path}, is missing."
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
