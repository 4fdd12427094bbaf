# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What observers saw of a kind of fault: the files of this folder, each called as its kind, registered by decorators.

A kind without a file here has no observers' proofs. A file is loaded when a fault of its kind is judged.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from ...common import archive
from ...evidence.evidence import Evidence
from ...evidence.phases import Window
from .. import proofs
from .proof import ProofOutcome

Seen = Callable[[Evidence, Window], list[ProofOutcome]]
Spared = Callable[[Evidence, Window], list[str]]
Share = Callable[[Evidence, Window, float], Optional[float]]


@dataclass
class Observers:
    """What a kind's file offers. Each part may be missing.

    seen: proofs of the effect. spared: those of several targets that nobody saw it take effect on.
    share: the part (0..1) of the held window, until a boottime, in which it was in force; None if nothing shows it.
    """

    seen: Seen | None = None
    spared: Spared | None = None
    share: Share | None = None


_OBSERVERS: dict[str, Observers] = {}


def observed_proofs(function: Seen) -> Seen:
    """Register what observers saw of the kind whose file this is."""
    _of_file(function).seen = function
    return function


def spared_targets(function: Spared) -> Spared:
    """Register which targets nobody saw it take effect on."""
    _of_file(function).spared = function
    return function


def share_in_force(function: Share) -> Share:
    """Register how observers tell for how long it was in force."""
    _of_file(function).share = function
    return function


def observers_of(kind: str) -> Observers:
    """Return what observers can tell of a kind of fault; nothing where it has no file here."""
    if kind not in _OBSERVERS and kind in archive.modules_in(proofs):
        importlib.import_module(f".{kind}", proofs.__name__)
    return _OBSERVERS.get(kind, Observers())


def _of_file(function: Callable[..., object]) -> Observers:
    return _OBSERVERS.setdefault(function.__module__.rpartition(".")[2], Observers())
