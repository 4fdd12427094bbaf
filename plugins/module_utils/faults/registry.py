# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of fault there is: the files of ``kinds/``, each loaded when it is asked for and not before."""

from __future__ import annotations

import importlib

from ..common import archive
from ..common.errors import ChaosError
from . import kinds
from .contract import Fault
from .kind import Kind


def known_kinds() -> list[str]:
    """Return the names of all kinds, sorted."""
    return archive.modules_in(kinds)


def by_kind(kind: str) -> Fault:
    """Return the module of a kind of fault. Raises ChaosError for what is none of this runtime's."""
    if kind not in known_kinds():
        raise ChaosError(f"There is no kind of fault {kind!r} that this runtime knows.")
    fault: Fault = importlib.import_module(f".{kind}", kinds.__name__)
    return fault


def describe_kind(kind: str) -> Kind:
    """Return what a kind says of itself. Raises ChaosError for what is none."""
    return by_kind(kind).KIND


def process_module(command: str) -> str | None:
    """Return the module behind a command of the runtime that a kind of fault brings, None where none brings it."""
    for kind in known_kinds():
        process = describe_kind(kind).process
        if process is not None and process.command == command:
            return f"faults.{process.module}"
    return None
