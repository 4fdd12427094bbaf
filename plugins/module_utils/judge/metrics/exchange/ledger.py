# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of the orders, as the reconciliation left it in ledger.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....evidence.evidence import Evidence
from ....evidence.phases import Window, fault_windows
from ....exchange.ledger import PLACEBO
from ..registry import Measured, per_run


@per_run("data_loss", "orders", without_fault=True)
def data_loss(evidence: Evidence, window: Window | None) -> Measured:
    """Acknowledged orders that are not in the database; none counts only where a short loss would have shown.

    A kill loses what was acknowledged in its last milliseconds, so there the loss that would have shown must be as
    short as ``thresholds.loss_visible_ms``. A fault that kills nothing has no such instant.
    """
    counts = _counts(evidence, window)
    lost, shortest = counts.get("lost"), counts.get("shortest_visible_loss_ms")
    if lost is None:
        return Measured(None, "ledger.json: the orders could not be counted")
    acknowledged = int(counts.get("acknowledged") or 0)
    limit = evidence.spec.thresholds.loss_visible_ms
    seen = (
        "no loss would surely have shown"
        if shortest is None
        else f"a loss under {shortest:.3g} ms would not have shown"
    )
    text = f"ledger.json: {lost} of {acknowledged} acknowledged orders lost; {seen}"
    chosen = [window] if window is not None else fault_windows(evidence)
    killed = any(one.in_one_blow and one.id != PLACEBO for one in chosen)
    if lost == 0 and (shortest is None or (killed and shortest > limit)):
        return Measured(None, text if shortest is None else f"{text}; {limit:g} ms are wanted", acknowledged)
    return Measured(int(lost), text, acknowledged)


@per_run("duplicated", "orders", without_fault=True)
def count_duplicated(evidence: Evidence, window: Window | None) -> Measured:
    """Orders that are in the database more than once."""
    return _count(evidence, window, "duplicated", "stored more than once")


@per_run("unacknowledged_applied", "orders", without_fault=True)
def unacknowledged_applied(evidence: Evidence, window: Window | None) -> Measured:
    """Orders in the database of which the client saw an error or nothing."""
    return _count(evidence, window, "unacknowledged_applied", "stored without acknowledgement")


def _count(evidence: Evidence, window: Window | None, key: str, what: str) -> Measured:
    counts = _counts(evidence, window)
    if counts.get(key) is None:
        return Measured(None, "ledger.json: the orders could not be counted")
    return Measured(
        int(counts[key]), f"ledger.json: {counts[key]} orders {what}", int(counts.get("acknowledged") or 0)
    )


def _counts(evidence: Evidence, window: Window | None) -> Mapping[str, Any]:
    ledger = evidence.ledger or {}
    return ledger if window is None else ledger.get("per_fault", {}).get(window.id) or {}
