# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rush of orders met: borne, shed or collapsed, from which rate on, and whether all clients fared alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ....common.stats import find_median
from ....evidence.evidence import DROPPED, MARKET, Evidence, Order
from ....evidence.phases import Window, orders_within
from ..registry import SPEED, Measured, per_fault

#: What becomes of orders that are more than usual, best first: all are taken, some are refused at once, some are lost
#: in between: late, broken off, failed.
ANSWERS = ("borne", "shed", "collapsed")
#: Statuses by which an exchange says that it takes no more now.
_REFUSALS = (429, 503)
#: Shares of all orders from which refusals, and failures that are none, count.
_SOME, _MANY = 0.01, 0.05
#: A slice of so many seconds with a larger share of bad orders is where errors begin; one of fewer says nothing.
_SLICE_S, _BAD, _FEWEST = 0.5, 0.02, 10


@per_fault("rush_answer", None, scale=ANSWERS, rests_on=SPEED)
def rush_answer(evidence: Evidence, window: Window) -> Measured:
    """How the exchange bore it: borne (all but a few orders taken), shed (refused by 429 or 503), or collapsed."""
    sent = _sent(evidence, window)
    if not sent:
        return Measured(None, "load.jsonl: no orders in the rush")
    refused = sum(not order.ok and order.status in _REFUSALS for order in sent)
    failed = sum(not order.ok and order.status not in _REFUSALS for order in sent)
    text = f"load.jsonl: of {len(sent)} orders {refused} refused by 429 or 503, {failed} failed otherwise"
    if failed > _MANY * len(sent):
        return Measured("collapsed", text, len(sent))
    return Measured("shed" if refused + failed > _SOME * len(sent) else "borne", text, len(sent))


@per_fault("errors_begin_rate", "orders/s", rests_on=SPEED)
def errors_begin_rate(evidence: Evidence, window: Window) -> Measured:
    """Rate of the first half second of the rush of which more than 2 % were not taken; of none: at least the most."""
    slices: dict[int, list[Order]] = defaultdict(list)
    for order in _sent(evidence, window):
        slices[int((order.sent - window.injected) / _SLICE_S)].append(order)
    told = {number: orders for number, orders in sorted(slices.items()) if len(orders) >= _FEWEST}
    if not told:
        return Measured(None, "load.jsonl: no half second of the rush had orders enough")
    for number, orders in told.items():
        bad = sum(not order.ok for order in orders)
        if bad > _BAD * len(orders):
            text = f"load.jsonl: {bad} of {len(orders)} orders not taken from {number * _SLICE_S:g} s of the rush on"
            return Measured(len(orders) / _SLICE_S, text, len(orders))
    most = max(map(len, told.values()))
    text = f"load.jsonl: none of {len(told)} half seconds had so many bad orders"
    return Measured(most / _SLICE_S, text, most, at_least=True)


@per_fault("rush_fairness", "ratio", rests_on=SPEED)
def rush_fairness(evidence: Evidence, window: Window) -> Measured:
    """Share of orders taken of the client that fared worst, against the median client that came by the same way."""
    sent: Counter[tuple[str, int]] = Counter()
    taken: Counter[tuple[str, int]] = Counter()
    for order in _sent(evidence, window):
        if order.client is not None:
            sent[order.way, order.client] += 1
            taken[order.way, order.client] += order.ok
    worst: list[tuple[float, str]] = []
    for way in sorted({way for way, _client in sent}):
        shares = {client: taken[way, client] / sent[way, client] for by, client in sent if by == way}
        middle = find_median(list(shares.values())) or 0.0
        least = min(shares, key=lambda client: shares[client])
        if len(shares) > 1 and middle:
            text = f"{way}: {shares[least]:.0%} of client {least}'s taken, {middle:.0%} at the median of {len(shares)}"
            worst.append((min(1.0, shares[least] / middle), text))
    if not worst:
        return Measured(None, "load.jsonl: no two clients of whom one was served")
    value, _text = min(worst)
    return Measured(value, "load.jsonl: " + "; ".join(text for _share, text in worst), sum(sent.values()))


@per_fault("rush_accepted", "ratio", rests_on=SPEED)
def rush_accepted(evidence: Evidence, window: Window) -> Measured:
    """Share of the orders of the rush itself that were taken; the evidence has its densest second."""
    rush = [order for order in _sent(evidence, window) if order.stream == MARKET]
    if not rush:
        return Measured(None, "load.jsonl: no orders of a rush")
    good = sum(order.ok for order in rush)
    seconds = Counter(int(order.sent - window.injected) for order in rush)
    taken = Counter(int(order.end - window.injected) for order in rush if order.ok)
    text = (
        f"load.jsonl: {good} of {len(rush)} orders taken; in the densest second {max(seconds.values())} sent and "
        f"{max(taken.values(), default=0)} taken"
    )
    return Measured(good / len(rush), text, len(rush))


def _sent(evidence: Evidence, window: Window) -> Sequence[Order]:
    """Return the orders of users and of the rush that went out while it lasted; those never sent are left out."""
    end = window.undone or window.end
    found = orders_within(evidence.orders, window.injected, end)
    return [order for order in found if order.kind != DROPPED and (order.of_users or order.stream == MARKET)]
