# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's tracer saw of an impaired path: the round trip times of the exchange's own connections on it."""

from __future__ import annotations

from ...evidence.evidence import Evidence
from ...evidence.histograms import why_unwatched
from ...evidence.phases import BASELINE, Window
from ..metrics.kernel.histograms import total_rtt
from .proof import ProofOutcome
from .registry import observed_proofs

#: The smoothed time follows a delay slowly, so the mean of a window rises by less than what was added.
_RISE = 0.5


@observed_proofs
def impair_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return whether the smoothed round trip time rose with the delay that was asked for.

    It supports the fault's own measure and proves nothing alone: retransmits are left out of it, and a path that
    nobody used has none.
    """
    delay = float(window.spec.more.get("delay_ms") or 0)
    if not delay or why_unwatched(evidence, "rtt"):
        return []
    during, before = total_rtt(evidence, window, window.id).mean, total_rtt(evidence, window, BASELINE).mean
    if during is None or before is None:
        return []
    fact = f"mean round trip of {window.target}'s own connections on the path (tracepoint)"
    value = f"{during / 1000:.3g} ms, {before / 1000:.3g} ms before"
    return [ProofOutcome("tcp", fact, value, window.injected, during - before >= _RISE * delay * 1000)]
