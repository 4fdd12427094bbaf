# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host is and has: versions and abilities, read or tried, never guessed."""

from __future__ import annotations

import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import bounds
from ..common.programs import Unanswered, ask_program

if TYPE_CHECKING:  # who asks for bcc or for root does not ask the engine
    from .docker_engine import DockerEngine

#: Pythons that may have the distribution's bcc, which is installed for the system's own.
SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/libexec/platform-python")
_TIMEOUT_S = 20
#: So many letters of a version are kept, and whoever prints more bytes than these tells none.
_LONGEST, _LARGEST = 80, 64 * bounds.KIB


def read_facts(engine: DockerEngine) -> dict[str, Any]:
    """Return {kernel, capabilities{docker, compose, bcc, python, cgroup, root, systemd, trials}, engine_root}."""
    with ThreadPoolExecutor(
        max_workers=2
    ) as asked:  # programs of others, each of which takes its time to start
        compose, bcc = asked.submit(compose_version), asked.submit(bcc_version)
    return {
        "kernel": platform.release(),
        "engine_root": engine.data_folder(),
        "capabilities": {
            "docker": engine.version(),
            "compose": compose.result(),
            "bcc": bcc.result(),
            "python": platform.python_version(),
            "cgroup": cgroup_version(),
            "root": is_root(),
            "systemd": Path("/run/systemd/system").is_dir(),
            "trials": {},
        },
    }


def is_root() -> bool:
    """Return whether this process may act as root."""
    return os.geteuid() == 0


def kernel_at_least(release: str, wanted: tuple[int, int]) -> bool:
    """Compare the first two numbers of a kernel release such as 5.14.0-427.el9 with (major, minor)."""
    numbers = []
    for word in release.split(".")[:2]:
        digits = "".join(character for character in word.split("-")[0] if character.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers) >= wanted


def cgroup_version() -> str | None:
    """Return v2 where the unified hierarchy holds the controllers, v1 where they have their own, else None."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return "v2"
    return "v1" if (root / "memory").is_dir() or (root / "cpu").is_dir() else None


def bcc_python() -> str | None:
    """Return the system Python that can import bcc and run the capture, None where there is none."""
    return next((python for python in SYSTEM_PYTHONS if _answer(python, "-c", _BCC)), None)


# The capture runs under that Python and needs 3.9; RHEL 8 has its bcc for 3.6.
_BCC = (
    "import sys; sys.version_info < (3, 9) and sys.exit(1); "
    "import bcc; print(getattr(bcc, '__version__', '') or 'unknown')"
)


def bcc_version() -> str | None:
    """Return the version of bcc, None where it is missing or for a Python that is too old."""
    return next(
        (version for python in SYSTEM_PYTHONS for version in [_answer(python, "-c", _BCC)] if version), None
    )


def compose_version() -> str | None:
    """Return the version of Docker Compose (plugin or program), None where it is missing: it is not needed."""
    return _answer("docker", "compose", "version", "--short") or _answer(
        "docker-compose", "version", "--short"
    )


def _answer(program: str, *arguments: str) -> str | None:
    """Return the first line a program prints, clean and cut, None when it is missing, fails or says nothing.

    It is somebody else's, and what it says is shown and kept.
    """
    if shutil.which(program) is None:
        return None
    try:
        told = ask_program([program, *arguments], seconds=_TIMEOUT_S, largest=_LARGEST)
    except Unanswered:
        return None
    first = next(iter(told.out.strip().splitlines()), b"")
    return (bounds.fit_line(first, _LONGEST) or None) if told.code == 0 and told.whole else None
