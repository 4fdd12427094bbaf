# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per kind of fault: its plan (pure), how it is applied, how it is undone, what proves it.

A kind is a file of ``kinds/`` that offers what :class:`Fault` has; others look it up by its name in
:mod:`.registry`, so that a new fault changes nothing elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..common.secret import NO_SECRET, Secret

if TYPE_CHECKING:  # who only asks what a kind says of itself needs nothing of what it acts through
    from ..host.docker_engine import Container, DockerEngine
    from ..run.folder import RunDir
    from ..run.instant import Instant
    from ..run.journal import Entry
    from .kind import Kind


@dataclass(frozen=True)
class Proof:
    """One fact that shows a fault held or not: ``source`` is kernel, engine, tcp or fault; ``t`` is boottime.

    ``share``: the part (0..1) of the fault's window in which it was in force, where the fault can tell.
    ``name``: which of the proofs that its kind requires it is; empty for one that only supports them.
    """

    source: str
    fact: str
    value: Any
    t: float
    holds: bool | None
    share: float | None = None
    name: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the proof as the fields of a timeline event."""
        left_out = {"share": None, "name": ""}
        return {
            key: value for key, value in asdict(self).items() if key not in left_out or value != left_out[key]
        }


@dataclass(frozen=True)
class Applied:
    """What applying gave: the boottime of the change, its proofs, and facts for the journal.

    ``within``: by at most so many seconds the change itself may lie off ``at``, before or after it.
    """

    at: float
    proofs: Sequence[Proof]
    facts: dict[str, Any] = field(default_factory=dict)
    within: float = 0.0


@dataclass(frozen=True)
class Site:
    """What a plan may look at: the project's containers, whether we are root, the engine for reading.

    ``admin``: the password of the database's administrator, where one was given.
    """

    targets: Sequence[Container]
    root: bool
    engine: DockerEngine | None = None
    admin: Secret = NO_SECRET


@dataclass(frozen=True)
class Scene:
    """What a fault acts through: the run it belongs to, the host's engine, the instant that a wave agreed on if any."""

    run: RunDir
    engine: DockerEngine
    agreed: Instant | None = None

    def instant(self) -> contextlib.AbstractContextManager[None]:
        """Return what is entered at the agreed instant, at once if there is none: around the change, and no more.

        Entering raises ChaosError when the run was aborted meanwhile.
        """
        return contextlib.nullcontext() if self.agreed is None else self.agreed.moment()


class Plan(Protocol):
    """What a fault will do. ``service`` is its target."""

    @property
    def service(self) -> str: ...

    def lines(self) -> list[str]:
        """Return the plan in words, one line a change with its undo; the journal keeps these very lines."""

    def undo(self) -> dict[str, Any]:
        """Return the undo as typed data, never a command."""


class Fault(Protocol):
    """What a file of ``kinds/`` offers. ``fault`` is its entry in the run's specification."""

    KIND: Kind

    def check(self, fault: Mapping[str, Any]) -> list[str]:
        """Return one sentence for each wrong argument; pure, before any host is asked."""

    def trial(self, fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> str:
        """Try what the fault needs on this host and say what was found; leaves nothing behind.

        Raises Unsupported when this host cannot do it, ChaosError when something else must be mended first.
        """

    def from_spec(self, fault: Mapping[str, Any], chosen: Sequence[Container], site: Site) -> Any:
        """Return the :class:`Plan` for the chosen containers. Raises ChaosError when it can't be done to them."""

    def apply(self, change: Any, entry: Entry, scene: Scene) -> Applied:
        """Carry the plan out, which is journaled as ``entry``, and read what proves it.

        Prepare what can be prepared; what changes the host is done ``with scene.instant()``.
        """

    def in_force(self, entry: Entry, scene: Scene) -> Sequence[Proof]:
        """Read, at the end of the fault window, what shows that the fault still holds."""

    def undo(self, entry: Entry, scene: Scene) -> str:
        """Undo a journal entry, whatever state the host is in, and say how; safe to call again."""
