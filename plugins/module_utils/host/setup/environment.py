# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private environment of libraries on a host: what it should hold, what it holds, and making it so.

The environment is a virtual one without pip (venv(3)'s ``--without-pip``), because distributions split pip and its
bundle from their Python. The wheels come from the controller, pip's own among them, which runs straight from its file
(a wheel is a zip that can be imported) with no index and none of the host's settings: nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.errors import ChaosError, Unsupported
from ...common.json_files import read_object
from ...common.programs import Unanswered, ask_program
from .. import libraries

#: What says which wheels the environment was made of, and for which Python; written last.
STAMP = "exchange-chaos.json"
#: Beside the environment while one is made: the new one until it is whole, and then for a moment the one before.
_NEW, _OLD = f"{libraries.ENVIRONMENT}.new", f"{libraries.ENVIRONMENT}.old"
_SELINUX = Path("/sys/fs/selinux/enforce")
_TIMEOUT_S = 300
_WHEEL = re.compile(r"^(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<tags>[^-]+-none-any)\.whl$")


@dataclass(frozen=True)
class Python:
    """The Python that the environment is made by, and for."""

    executable: str
    version: tuple[int, int]

    @classmethod
    def running(cls) -> Python:
        """Return the one that runs this."""
        return cls(sys.executable, (sys.version_info[0], sys.version_info[1]))


def parse_wheel_name(filename: str) -> tuple[str, str]:
    """Return (name, version) of a wheel, as its dist-info folder spells them (packaging.python.org, binary format).

    Raises ChaosError for one that is not pure Python, or none at all.
    """
    found = _WHEEL.match(filename)
    if found is None:
        raise ChaosError(
            f"{filename} is no wheel for every platform (…-none-any.whl); the host's libraries must be."
        )
    return found["name"], found["version"]


def make_stamp(python: Python, manifest: Mapping[str, str]) -> dict[str, Any]:
    """Return what the stamp of an environment made of these wheels ({file name: SHA-256}) says."""
    return {"python": [python.executable, *python.version], "wheels": dict(sorted(manifest.items()))}


def explain_remake(folder: Path, python: Python, manifest: Mapping[str, str], owner: int = 0) -> str:
    """Return why the environment has to be made (again), "" when it is as it should be. Looks, and changes nothing.

    owner: user id of the only one who may write to it.
    """
    site = libraries.locate_packages(folder, python.version)
    found = read_object(folder / libraries.ENVIRONMENT / STAMP)
    if not found:
        return "there is none yet"
    wanted = make_stamp(python, manifest)
    if found.get("python") != wanted["python"]:
        return "it was made for another Python"
    if found.get("wheels") != wanted["wheels"]:
        return "it was made of other wheels"
    for filename in manifest:
        name, version = parse_wheel_name(filename)
        if name != "pip" and not (site / f"{name}-{version}.dist-info" / "RECORD").is_file():
            return f"{name} {version} is gone from it"
    if not libraries.is_trusted(site, folder, owner):
        return "others than root could write to it, so nothing is imported from it"
    return ""


def plan_commands(target: Path, python: Python, wheels: Path, names: Sequence[str]) -> list[list[str]]:
    """Return the commands that make the environment ``target`` of the wheels ``names`` in ``wheels``, in order."""
    kept = [str(wheels / name) for name in sorted(names) if parse_wheel_name(name)[0] != "pip"]
    pip = ["-m", "pip", "install", "--no-index", "--find-links", str(wheels), "--no-cache-dir", "--quiet"]
    return [
        [python.executable, "-m", "venv", "--symlinks", "--without-pip", str(target)],
        [str(target / "bin" / "python"), *pip, "--disable-pip-version-check", *kept],
    ]


def pip_environ(environ: Mapping[str, str], wheels: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of the commands: pip's own wheel, and none of the host's pip settings.

    Raises ChaosError when pip's wheel is not among the wheels.
    """
    pip = next((name for name in names if parse_wheel_name(name)[0] == "pip"), None)
    if pip is None:
        raise ChaosError("pip's own wheel is missing among the wheels; it installs the others on the host.")
    kept = {
        key: value for key, value in environ.items() if not key.startswith(("PIP_", "PYTHON", "VIRTUAL_ENV"))
    }
    return {**kept, "PYTHONPATH": str(wheels / pip), "PIP_CONFIG_FILE": os.devnull, "LC_ALL": "C"}


def plan_relabel(folder: Path, *, selinux: bool, restorecon: str | None) -> list[str]:
    """Return the command that gives the folder the SELinux labels of its place; none without SELinux or the program."""
    return [restorecon, "-R", str(folder)] if selinux and restorecon else []


def own_folder(folder: Path) -> Path:
    """Make the folder root's alone; returns the place in it where a new environment is to be made, which is free."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, 0, 0)
    folder.chmod(0o755)
    return _away(folder / _NEW)


def put_in_place(folder: Path) -> None:
    """Put the new environment in the place of the one before, which whoever imports from there has had until now."""
    place, old = folder / libraries.ENVIRONMENT, _away(folder / _OLD)
    if os.path.lexists(place):
        place.rename(old)
    (folder / _NEW).rename(place)
    _away(old)


def _away(path: Path) -> Path:
    """Take away what is there, a link but not what it leads to; returns the path."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    return path


def make_environment(folder: Path, python: Python, archive: Path, manifest: Mapping[str, str]) -> None:
    """Make the environment from a zip of the wheels. Raises ChaosError or Unsupported with what went wrong.

    It is made beside the one before, which stays in use until this is whole: what undoes a fault imports from it.
    """
    if os.geteuid() != 0:
        raise ChaosError("The host's libraries are laid by root: run this with become.")
    os.umask(0o022)  # readable by whoever runs experiments without root
    target = own_folder(folder)
    with tempfile.TemporaryDirectory(prefix="exchange-chaos-") as scratch:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(scratch)
        around = pip_environ(os.environ, Path(scratch), list(manifest))
        for command in plan_commands(target, python, Path(scratch), list(manifest)):
            _run(command, around)
    label = plan_relabel(folder, selinux=_SELINUX.exists(), restorecon=shutil.which("restorecon"))
    if label:
        _run(label, dict(os.environ))
    text = json.dumps(make_stamp(python, manifest), indent=1)
    (target / STAMP).write_text(f"{text}\n")
    put_in_place(folder)
    if not libraries.is_trusted(libraries.locate_packages(folder, python.version), folder):
        raise ChaosError(f"{folder} could be written to by others than root, so nothing is imported from it.")


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    try:
        told = ask_program(command, seconds=_TIMEOUT_S, env=dict(environ), cwd="/")
    except Unanswered as error:
        raise ChaosError(f"{command[0]} could not be run: {error}.") from error
    if told.code != 0:
        if "No module named venv" in told.last_words:
            raise Unsupported(
                f"{command[0]} has no module venv; install the rest of its standard library (Debian: python3, "
                "not python3-minimal alone)."
            )
        raise ChaosError(
            f"The private environment could not be made ({' '.join(command[:4])}): {told.last_words}"
        )
