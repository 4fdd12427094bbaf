# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel saw of a slow disk: the target's own fsyncs, beside those of ours by which the fault is timed."""

from __future__ import annotations

from ...evidence.evidence import Evidence
from ...evidence.histograms import SeriesTotal, series_total, why_unwatched
from ...evidence.phases import BASELINE, Window
from .proof import ProofOutcome
from .registry import observed_proofs

_FSYNC = "fsync latency"
#: The target's fsyncs take at least so many times longer, or its disk is not the one that was slowed.
_SLOWER = 1.5


@observed_proofs
def disk_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return whether the target's own fsyncs were slower than before: required where only its share is limited.

    Medians, since a few of ours may be among them. What was not seen is untried.
    """
    limited = window.spec.more.get("mode") != "contention"
    fact = f"fsyncs of {window.target} itself, median (tracepoint)"
    reason = why_unwatched(evidence, "fsync")
    during = series_total(evidence, window.id, _FSYNC, window.targets)
    before = series_total(evidence, BASELINE, _FSYNC, window.targets)
    was, now = before.percentile(50), during.percentile(50)
    if reason or not was or not now:
        untold = reason or f"{before.count} before, {during.count} during the fault"
        return [ProofOutcome("kernel", fact, f"not tried: {untold}", window.injected, None, required=limited)]
    value = f"{_describe(during, now)}, before: {_describe(before, was)}"
    return [ProofOutcome("kernel", fact, value, window.injected, now >= _SLOWER * was, required=limited)]


def _describe(found: SeriesTotal, median: float) -> str:
    return f"{median / 1000:.3g} ms of {found.count}"
