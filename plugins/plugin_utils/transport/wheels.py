# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheels of a host's private libraries, on the controller: given in a folder, or downloaded once into the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ...module_utils.common.programs import Unanswered, ask_program
from .cache import find_cache

REQUIREMENTS = Path(__file__).resolve().parents[3] / "roles" / "host" / "files" / "requirements.txt"
#: What every Python of every host can use: pure wheels that the oldest supported Python takes.
_ANY = (
    *("--only-binary=:all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
    *("--python-version", "3.9"),
)
_TIMEOUT_S = 600


class WheelError(Exception):
    """There are no wheels to carry to the host; the message is one sentence with what would help."""


def download_command(python: str, folder: Path) -> list[str]:
    """Return the command that fills a folder with what a host needs: run here, or by hand where there is a way."""
    return [
        *(python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *_ANY),
        *("--requirement", str(REQUIREMENTS), "--dest", str(folder)),
    ]


def parse_pins(requirements: str) -> dict[str, str]:
    """Return {name: version} of a list of pins, names as wheels spell them."""
    pins = (line.partition("==") for line in requirements.splitlines() if "==" in line and line[0] != "#")
    return {_normal(name): version.strip() for name, _sign, version in pins}


def choose_wheels(folder: Path, pins: Mapping[str, str]) -> list[Path]:
    """Return the wheel of each pin in a folder. Raises WheelError naming those that are not there."""
    found = {}
    for path in sorted(folder.glob("*-none-any.whl")):
        name, version = path.name.split("-")[:2]
        found[_normal(name), version] = path
    lacking = [f"{name} {version}" for name, version in pins.items() if (name, version) not in found]
    if lacking:
        command = shlex.join(download_command("python3", folder))
        raise WheelError(
            f"{folder} on the controller lacks the pure wheels of {', '.join(lacking)}; made with: {command}"
        )
    return [found[pin] for pin in pins.items()]


def find_wheels(folder: str | None) -> list[Path]:
    """Return the wheels to carry: those of the folder named, else those of the cache, downloaded if need be.

    Raises WheelError.
    """
    pins = parse_pins(REQUIREMENTS.read_text())
    if folder:
        return choose_wheels(Path(os.path.expanduser(folder)), pins)
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    cache = find_cache()
    target = cache / f"wheels-{digest}"
    with (cache / "wheels.lock").open("w") as lock:  # every host of the play comes here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _download(target)
    return choose_wheels(target, pins)


def pack_wheels(wheels: list[Path], folder: Path) -> Path:
    """Return a zip of the wheels in ``folder``, to be carried as one file."""
    path = folder / "wheels.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for wheel in wheels:
            archive.write(wheel, wheel.name)
    return path


def hash_wheels(wheels: list[Path]) -> dict[str, str]:
    """Return {file name: SHA-256} of the wheels."""
    return {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}


def _download(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="wheels-new-") as scratch:
        command = download_command(sys.executable, Path(scratch) / "wheels")
        try:
            told = ask_program(command, seconds=_TIMEOUT_S)
            words = told.last_words if told.code else ""
        except Unanswered as error:
            words = str(error)
        if words:
            by_hand = shlex.join(download_command("python3", Path("wheels")))
            raise WheelError(
                f"The controller could not download the host's libraries ({words}); where there is a "
                f"way to a package index, run {by_hand} and name that folder in host_wheels."
            )
        os.replace(Path(scratch) / "wheels", target)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
