# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per kind of fault: its plan (pure), how it is applied, how it is undone, what proves it.

A kind is a module here with two functions that others call by the kind's name, so that a new fault changes
nothing elsewhere:

``undo(entry, engine) -> str``
    Undo a journal entry, whatever state the host is in, and say how; safe to call again.
``in_force(entry, engine) -> list[Proof]``
    Read, at the end of the fault window, what shows that the fault still holds.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..engine import Engine
from ..errors import ChaosError
from ..journal import Entry

#: What lies beside the kinds and is none.
_HELPERS = {"inject", "planning"}


@dataclass(frozen=True)
class Proof:
    """One fact that shows a fault held or not: ``source`` is kernel, engine, tcp or fault; ``t`` is boottime."""

    source: str
    fact: str
    value: Any
    t: float
    holds: bool

    def fields(self) -> dict[str, Any]:
        """Return the proof as the fields of a timeline event."""
        return asdict(self)


class Fault(Protocol):
    """What a module of this package offers."""

    def undo(self, entry: Entry, engine: Engine) -> str: ...

    def in_force(self, entry: Entry, engine: Engine) -> list[Proof]: ...


def by_kind(kind: str) -> Fault:
    """Return the fault module of a journaled kind. Raises ChaosError for what is no kind of this package."""
    known = {found.name for found in pkgutil.iter_modules(__path__)} - _HELPERS
    if kind not in known:
        raise ChaosError(f"The journal names a fault of kind {kind!r}, which this runtime does not know.")
    fault: Fault = importlib.import_module(f".{kind}", __name__)
    return fault
