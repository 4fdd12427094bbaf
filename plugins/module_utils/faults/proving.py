# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind of fault requires to be proved, set against what was read: written into the timeline, untried or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..run import timeline
from ..run.folder import RunDir
from .contract import Proof
from .kind import Kind


def with_untried(proofs: Sequence[Proof], kind: Kind, at: float, *, at_end: bool) -> list[Proof]:
    """Return the proofs, and one that says so for each required one that was not tried, at boottime ``at``."""
    read = {proof.name for proof in proofs}
    return [
        *proofs,
        *(
            Proof(one.source, one.fact, "not tried", at, None, name=one.name)
            for one in kind.required
            if one.at_end == at_end and one.name not in read
        ),
    ]


def note_proof(run: RunDir, fault: str, proof: Proof, kind: Kind, **more: Any) -> None:
    """Put a proof into the timeline, with whether its kind requires it: who judges knows no kinds.

    What a full disk refuses is kept in mind, as :meth:`RunDir.note` does.
    """
    required = {"required": True} if proof.name in {one.name for one in kind.required} else {}
    run.note(timeline.PROOF, fault=fault, **proof.fields(), **required, **more)
