# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of the distribution: which are there, and how setup has its package manager bring or remove some.

The managers are data: their commands, and nothing else about them is known elsewhere. Setup alone calls this, never a
run. What setup brought is noted in a file of root's, so that it can be told, and on request removed, from what the
owner had already.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common import bounds
from ...common.errors import ChaosError, Unsupported
from ...common.files import read_regular
from ...common.programs import Told, Unanswered, ask_program

_TIMEOUT_S = 900
#: No questions, no other language; and Ubuntu's needrestart must not restart an exchange's services on its own.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}


@dataclass(frozen=True)
class Manager:
    """Commands of one package manager, as argument lists that package names or files are added to.

    ``listing`` prints the names of what is installed, a line each; ``refresh`` fetches the archive's lists (none where
    the manager does so itself); ``carried`` installs from files and downloads nothing; ``suffix`` is that of the files;
    ``rehearse`` fails when something else needs what is to be removed, and ``remove`` removes it.
    """

    listing: tuple[str, ...]
    refresh: tuple[str, ...]
    install: tuple[str, ...]
    carried: tuple[str, ...]
    suffix: str
    rehearse: tuple[str, ...]
    remove: tuple[str, ...]


MANAGERS: Mapping[str, Manager] = {
    "apt": Manager(
        listing=("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"),
        refresh=("apt-get", "--quiet", "update"),
        install=("apt-get", "--quiet", "--yes", "--no-install-recommends", "--no-remove", "install"),
        carried=(
            *("apt-get", "--quiet", "--yes", "--no-install-recommends", "--no-remove", "--no-download"),
            *("--option", "APT::Sandbox::User=root", "install"),
        ),
        suffix=".deb",
        rehearse=("dpkg", "--no-act", "--purge"),
        remove=("dpkg", "--purge"),
    ),
    "dnf": Manager(
        listing=("rpm", "--query", "--all", "--queryformat", "installed %{NAME}\n"),
        refresh=(),
        install=("dnf", "--quiet", "--assumeyes", "--setopt=install_weak_deps=False", "install"),
        carried=(
            *("dnf", "--quiet", "--assumeyes", "--setopt=install_weak_deps=False"),
            *("--disablerepo=*", "install"),
        ),
        suffix=".rpm",
        rehearse=("rpm", "--erase", "--test"),
        remove=("rpm", "--erase"),
    ),
}


def parse_listing(listing: str) -> frozenset[str]:
    """Return the names of what is installed, from a manager's listing; what is only half there is not.

    The archives' keys, which rpm lists beside packages, are none: a first install imports them, and they stay.
    """
    pairs = (line.split() for line in listing.splitlines())
    names = frozenset(pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "installed")
    return names - {"gpg-pubkey"}


def list_installed(manager: Manager) -> frozenset[str]:
    """Return the names of all packages on this host. Raises Unsupported where the manager is not this host's."""
    told = _run(manager.listing)
    if not told.whole:
        raise ChaosError(
            f"{manager.listing[0]} lists more than {bounds.format_size(bounds.EXEC_OUTPUT)} of packages."
        )
    return parse_listing(bounds.clean(told.out))


def list_lacking(wanted: Sequence[str], present: Iterable[str]) -> list[str]:
    """Return those of the wanted packages that are not there, in their order."""
    there = set(present)
    return [name for name in wanted if name not in there]


def install_packages(manager: Manager, names: Sequence[str], files: Path | None, record: Path) -> list[str]:
    """Install packages from the distribution's archive, or from ``files``, and note what came.

    Returns what was installed, dependencies included. Raises ChaosError with the manager's own words, or when it is
    content and what was wanted is still not there; what it had installed by then is noted all the same.
    """
    before = list_installed(manager)
    try:
        if files is not None:
            carried = sorted(str(path) for path in files.glob(f"*{manager.suffix}"))
            if not carried:
                raise ChaosError(
                    f"There is no {manager.suffix} file in the folder of packages that was carried over."
                )
            _run([*manager.carried, *carried])
        else:
            if manager.refresh:
                _run(manager.refresh)
            _run([*manager.install, *names])
    finally:
        present = list_installed(manager)
        came = sorted(present - before)
        if came:
            _note(record, sorted({*read_noted(record), *came}))
    still = list_lacking(names, present)
    if still:
        where = "the package files that were carried over do not hold it" if files else "its archive has none"
        raise ChaosError(f"{' and '.join(still)} did not come: {where}.")
    return came


def read_noted(record: Path) -> list[str]:
    """Return the packages that setup brought to this host."""
    try:
        return [str(name) for name in json.loads(read_regular(record))["installed"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ChaosError(
            f"{record} cannot be read, so nobody knows which packages setup brought: {error}."
        ) from error


def remove_packages(manager: Manager, record: Path) -> list[str]:
    """Remove what setup brought, all of it or nothing. Raises ChaosError when something else needs it by now."""
    names = sorted(set(read_noted(record)) & list_installed(manager))
    if names:
        try:
            _run([*manager.rehearse, *names])
        except ChaosError as error:
            raise ChaosError(
                f"Nothing was removed: others need what setup brought by now, or it cannot go: {error}"
            ) from error
        _run([*manager.remove, *names])
    record.unlink(missing_ok=True)
    return names


def _note(record: Path, names: Sequence[str]) -> None:
    record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps({"installed": list(names)}, indent=1) + "\n")
    temporary.chmod(0o644)
    os.replace(temporary, record)


def _run(command: Sequence[str]) -> Told:
    if shutil.which(command[0]) is None:
        raise Unsupported(f"{command[0]} is not on this host, so its packages cannot be looked at.")
    try:
        told = ask_program(command, seconds=_TIMEOUT_S, env={**os.environ, **_ENVIRONMENT})
    except Unanswered as error:
        raise ChaosError(f"{command[0]} did not do its work: {error}.") from error
    if told.code != 0:
        said = bounds.clean(told.err + told.out)
        lines = [line for line in said.splitlines() if line.strip()]
        why = [line for line in lines if line.startswith(("E:", "dpkg:", "Error", "error:", "\t"))] or lines[
            -1:
        ]
        raise ChaosError(f"{' '.join(command[:3])} failed: {' '.join(line.strip() for line in why)[:600]}")
    return told
