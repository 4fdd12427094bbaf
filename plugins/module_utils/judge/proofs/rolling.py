# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's own events say of a rolling restart: signals sent, exit codes, starts, one container at a time."""

from __future__ import annotations

from ...evidence.evidence import Evidence
from ...evidence.phases import Window
from ..restarts import Restart, find_restarts
from .proof import ProofOutcome
from .registry import observed_proofs, spared_targets


@observed_proofs
def restart_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return, for each container, what ended it and when it was started again."""
    return [_proof(one) for one in find_restarts(evidence, window)]


@spared_targets
def unproved_restarts(evidence: Evidence, window: Window) -> list[str]:
    """Return the services of which the engine saw no end and start; none where its events are missing."""
    if not evidence.engine:
        return []
    done = {one.service for one in find_restarts(evidence, window) if one.done}
    return [service for service in window.targets if service not in done]


def _proof(one: Restart) -> ProofOutcome:
    sent = ", ".join(map(str, one.signals)) or "not told"
    if one.died is None:
        return ProofOutcome(
            "engine", f"{one.container} asked to end by signal {sent}", "did not end", one.asked, False
        )
    took = f"ended after {one.died - one.asked:.2f} s with exit code {one.exit_code}"
    back = "not started" if one.started is None else f"started after {one.started - one.died:.2f} s"
    return ProofOutcome("engine", f"{one.container} by signal {sent}", f"{took}, {back}", one.asked, one.done)
