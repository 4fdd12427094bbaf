# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind of fault says of itself, as ``KIND`` in its own file. Nothing outside that file names a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..run.folder import RunDir


@dataclass(frozen=True)
class Process:
    """A process of the kind's own: the command of the runtime that starts it, and its module below ``faults``."""

    command: str
    module: str


@dataclass(frozen=True)
class Required:
    """A proof without which the effect does not pass: read of the target itself, by the kernel or the engine.

    ``name`` is that of the :class:`..contract.Proof`; ``fact`` and ``source`` are shown where it was not tried.
    ``at_end``: read when a held fault is undone, else when it was applied.
    """

    name: str
    fact: str
    source: str = "kernel"
    at_end: bool = False


Translation = Callable[[Mapping[str, Any]], dict[str, Any]]


def _in_the_same_words(given: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """What others must know of a kind of fault.

    arguments: those of its module beyond what all faults share, as AnsibleModule takes them.
    as_entry: what of a fault's entry its module's arguments say in other words; as_arguments: the other way round.
    required: the proofs that must not fail.
    ends_target: a process of the target ends by it, so that its restart is what was meant.
    in_one_blow: all of the target ends in one instant that the fault chooses: what was acknowledged just before is at
        stake, and a loss must be visible to the millisecond.
    waits_for_disk: it makes the exchange wait for its disk, so that such waiting is nobody else's doing.
    needs_root: what it does on the host that only root may; empty where it works without.
    roles: roles of services (``database``, …) that must run besides the target.
    process: a process of its own.
    sample: called in the run's events observer, before the first fault, with the services such faults aim at.
    """

    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    as_entry: Translation = _in_the_same_words
    as_arguments: Translation = _in_the_same_words
    required: Sequence[Required] = ()
    ends_target: bool = False
    in_one_blow: bool = False
    waits_for_disk: bool = False
    needs_root: str = ""
    roles: Sequence[str] = ()
    process: Process | None = None
    sample: Callable[[RunDir, Sequence[str]], None] | None = None
