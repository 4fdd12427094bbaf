# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application whose dependency hangs: when it gives up, what waits meanwhile, what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ....common.stats import find_median
from ....evidence.evidence import Evidence, Order, Sample
from ....evidence.phases import Window, fault_onset, find_baseline, users_orders
from ..registry import SPEED, Measured, per_fault

#: What readiness says while orders fail, best first: that it is not ready, nothing at all, that all is well.
SAID = ("not_ready", "silent", "ready")
#: What it may say for so long before it is held to it, seconds: it asks itself only so often.
_GRACE_S = 2.0
#: It says something if so much of its answers do.
_SOME = 0.1
#: An answer of this status, or a higher one, is the application's own failure.
_SERVER_ERROR = 500


@per_fault("gives_up_s", "s", rests_on=SPEED)
def gives_up_s(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the fault to the first order that the application answered with its own failure.

    An order that the client gave up waiting for is none: then the application has not given up at all.
    """
    start, end = _held(evidence, window)
    met = [order for order in evidence.orders if order.end >= start and order.sent < end and order.telling]
    refused = [order for order in met if order.status >= _SERVER_ERROR]
    if refused:
        first = min(refused, key=lambda order: order.end)
        usual = find_median([order.latency_ms for order in refused]) or 0.0
        text = (
            f"load.jsonl: order {first.n} answered {first.status} at {evidence.anchor.iso(first.end)}; "
            f"{len(refused)} of {len(met)} orders answered so, after {usual:.0f} ms at the median"
        )
        return Measured(first.end - start, text, len(met))
    left = [order for order in met if order.failed]
    text = (
        f"load.jsonl: none of {len(met)} orders answered with a failure, {len(left)} given up by the client"
    )
    return Measured(end - start, text, len(met), never=bool(left)) if left else Measured(None, text, len(met))


@per_fault("waiting_at_once", "orders", without_fault=True, rests_on=SPEED)
def waiting_at_once(evidence: Evidence, window: Window) -> Measured:
    """The most orders that waited for an answer at one instant while the fault was held: each holds a connection."""
    start, end = _held(evidence, window)
    sent = users_orders(evidence.orders, start, end)
    if not sent:
        return Measured(None, "load.jsonl: no orders while the fault was held")
    before = find_baseline(evidence)
    usual = 0 if before is None else _most(users_orders(evidence.orders, before.start, before.end))
    text = f"load.jsonl: of {len(sent)} orders sent while held; before at most {usual} at once"
    return Measured(_most(sent), text, len(sent), seconds=end - start)


@per_fault("readiness_said", None, scale=SAID, rests_on=SPEED)
def readiness_said(evidence: Evidence, window: Window) -> Measured:
    """What readiness said while the fault was held, 2 s after it began: not_ready, silent, or ready; the worst of them.

    A tenth of the samples is enough for a word to count.
    """
    start, end = _held(evidence, window)
    asked = [
        one
        for one in evidence.probes
        if one.role == "readiness" and start + _GRACE_S <= one.at and one.end <= end
    ]
    if not asked:
        return Measured(None, "probes.jsonl: readiness was not asked while the fault was held")
    counts = {word: sum(_word(one) == word for one in asked) for word in SAID}
    said = next(word for word in reversed(SAID) if counts[word] >= _SOME * len(asked))
    told = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counts.items())
    return Measured(said, f"probes.jsonl: of {len(asked)} answers {told}", len(asked))


def _word(sample: Sample) -> str:
    if sample.ok:
        return "ready"
    return "not_ready" if sample.status else "silent"


def _most(orders: Sequence[Order]) -> int:
    """Return how many were under way at once, at most."""
    steps = sorted([(order.sent, 1) for order in orders] + [(order.end, -1) for order in orders])
    return max(accumulate(step for _at, step in steps), default=0)


def _held(evidence: Evidence, window: Window) -> tuple[float, float]:
    return fault_onset(evidence, window), window.undone or window.end
