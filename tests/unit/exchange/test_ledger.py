# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of the orders against every combination of what a client saw and what a database holds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.ledger import (
    FaultWindow,
    faults_struck,
    reconcile_orders,
    shortest_visible_loss_ms,
)

NEVER = float("inf")


def attempt(
    n: int | None, *, ok: bool, at: float = 1.0, took: float = 0.005, kind: str = ""
) -> dict[str, Any]:
    return {
        "n": n,
        "ok": ok,
        "kind": kind or ("ok" if ok else "error"),
        "at": at,
        "sent": at,
        "end": at + took,
    }


@pytest.mark.parametrize(
    ("ok", "rows", "lost", "duplicated", "unacknowledged"),
    [
        (True, 1, 0, 0, 0),
        (True, 0, 1, 0, 0),
        (True, 2, 0, 1, 0),
        (False, 0, 0, 0, 0),
        (False, 1, 0, 0, 1),
        (False, 3, 0, 1, 1),
        (None, 1, 0, 0, 1),
    ],
)
def test_each_order_is_counted_for_what_became_of_it(
    ok: bool | None, rows: int, lost: int, duplicated: int, unacknowledged: int
) -> None:
    """ok None: the database holds a number of which no attempt was written (the observer was killed)."""
    attempts = [] if ok is None else [attempt(5, ok=ok)]
    ledger = reconcile_orders(attempts, {5: rows}, [])
    assert (ledger["lost"], ledger["duplicated"], ledger["unacknowledged_applied"]) == (
        lost,
        duplicated,
        unacknowledged,
    )
    assert ledger["in_database"] == rows
    assert ledger["acknowledged"] == int(ok is True)
    assert ledger["lost_numbers"] == [5] * lost


@pytest.mark.parametrize("seed", range(10))
def test_the_counts_add_up_whatever_happened(seed: int) -> None:
    """A second, slower account, order by order, comes to the same."""
    dice = random.Random(seed)
    attempts = [attempt(n, ok=dice.random() < 0.7) for n in range(1000)]
    rows = {n: dice.choice([0, 1, 1, 1, 2]) for n in range(1000)}
    ledger = reconcile_orders(attempts, {n: count for n, count in rows.items() if count}, [])
    lost = [line["n"] for line in attempts if line["ok"] and rows[line["n"]] == 0]
    assert ledger["lost"] == len(lost)
    assert ledger["lost_numbers"] == lost[:100]
    assert ledger["duplicated"] == sum(count == 2 for count in rows.values())
    assert ledger["in_database"] == sum(rows.values())
    present = sum(count > 0 for count in rows.values())
    assert ledger["acknowledged"] - ledger["lost"] + ledger["unacknowledged_applied"] == present


def test_a_database_that_cannot_be_asked_leaves_nothing_known_but_the_answers() -> None:
    ledger = reconcile_orders(
        [attempt(1, ok=True), attempt(2, ok=False)], None, [FaultWindow("crash", 1.5, NEVER)]
    )
    assert ledger["acknowledged"] == 1
    for counts in (ledger, ledger["per_fault"]["crash"]):
        assert [counts[key] for key in ("lost", "duplicated", "unacknowledged_applied", "in_database")] == [
            None
        ] * 4


def test_an_order_that_was_never_sent_has_no_number_and_no_place_in_the_account() -> None:
    assert reconcile_orders([attempt(None, ok=False, kind="dropped")], {}, [])["acknowledged"] == 0


def test_orders_belong_to_the_fault_that_could_have_lost_them() -> None:
    """What was acknowledged before a kill belongs to it; what came after steady state belongs to the next one."""
    faults = [FaultWindow("crash", 10.0, 15.0), FaultWindow("outage", 20.0, 40.0)]
    attempts = [attempt(1, ok=True, at=9.9), attempt(2, ok=True, at=16.0), attempt(3, ok=True, at=50.0)]
    attempts.append(attempt(4, ok=True, at=12.0))
    ledger = reconcile_orders(attempts, {}, faults)
    assert ledger["lost"] == 4
    assert ledger["per_fault"]["crash"]["lost_numbers"] == [1, 4]
    assert ledger["per_fault"]["outage"]["lost_numbers"] == [2]


def test_faults_are_read_from_the_timeline() -> None:
    timeline = [
        {"t": 9.0, "event": "fault_imminent", "fault": "crash", "kind": "kill", "ends_target": True},
        {"t": 10.0, "event": "fault_injected", "fault": "crash"},
        {"t": 12.0, "event": "log", "level": "ok", "text": "…"},
        {"t": 15.0, "event": "steady", "fault": "crash"},
        {"t": 20.0, "event": "fault_injected", "fault": "outage"},
    ]
    assert faults_struck(timeline) == [FaultWindow("crash", 10.0, 15.0), FaultWindow("outage", 20.0, NEVER)]


def test_the_placebo_has_an_account_of_its_own_and_no_say_in_what_would_have_shown() -> None:
    timeline = [
        {"t": 5.0, "event": "placebo_begin", "ends_target": True},
        {"t": 8.0, "event": "placebo_end"},
        {"t": 10.0, "event": "fault_injected", "fault": "crash"},
    ]
    faults = faults_struck(timeline)
    assert faults == [FaultWindow("placebo", 8.0, 8.0), FaultWindow("crash", 10.0, NEVER)]
    attempts = [attempt(1, ok=True, at=7.5), attempt(2, ok=True, at=9.99)]
    ledger = reconcile_orders(attempts, {2: 1}, faults)
    assert ledger["per_fault"]["placebo"]["lost_numbers"] == [1]
    assert ledger["per_fault"]["crash"]["lost_numbers"] == []
    assert ledger["shortest_visible_loss_ms"] == pytest.approx(5.0)
    assert reconcile_orders(attempts[:1], {1: 1}, faults[:1])["shortest_visible_loss_ms"] == pytest.approx(
        495.0
    )


def test_the_last_acknowledgement_before_the_kill_decides_what_loss_would_show() -> None:
    attempts = [
        attempt(n, ok=True, at=9.0 + n * 0.005, took=0.003) for n in range(199)
    ]  # the last ends at 9.993
    assert shortest_visible_loss_ms(attempts, 10.0) == pytest.approx(7.0)


def test_what_came_after_the_kill_or_was_refused_flatters_nobody() -> None:
    attempts = [
        attempt(1, ok=True, at=9.95, took=0.01),
        attempt(2, ok=False, at=9.99, took=0.005),
        attempt(3, ok=True, at=9.995, took=0.02),
    ]
    assert shortest_visible_loss_ms(attempts, 10.0) == pytest.approx(40.0)


@pytest.mark.parametrize("at", [None, 8.5, 10.5])
def test_without_an_acknowledgement_near_the_kill_nothing_would_have_shown(at: float | None) -> None:
    assert shortest_visible_loss_ms([attempt(1, ok=True, at=at)] if at else [], 10.0) is None


def test_the_whole_run_is_as_good_as_its_worst_fault() -> None:
    attempts = [attempt(1, ok=True, at=9.99), attempt(2, ok=True, at=19.9)]
    faults = [FaultWindow("crash", 10.0, 15.0), FaultWindow("outage", 20.0, 40.0)]
    ledger = reconcile_orders(attempts, {1: 1, 2: 1}, faults)
    assert ledger["per_fault"]["crash"]["shortest_visible_loss_ms"] == pytest.approx(5.0)
    assert ledger["shortest_visible_loss_ms"] == pytest.approx(95.0)
    assert reconcile_orders(attempts[:1], {1: 1}, faults)["shortest_visible_loss_ms"] is None
