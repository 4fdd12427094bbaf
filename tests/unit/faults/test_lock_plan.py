# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a lock: what is taken, in whose name, and for how much of its window it was held."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import lock
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import lock_holder

from tests.unit.containers import down, target

SITE = Site([], True)
FAULT: dict[str, Any] = {
    "id": "lock", "table": "trading.orders", "user": "trading_user", "database": "trading_db", "hold_s": 20,
}  # fmt: skip


def test_the_plan_says_the_statement_and_how_it_ends() -> None:
    planned = lock.from_spec({**FAULT, "password": "hidden"}, [target()], SITE)
    assert planned.lines() == [
        "hold a lock in database trading_db of lab-postgres-1 (postgres) by a session of role trading_user: "
        "LOCK TABLE trading.orders IN ACCESS EXCLUSIVE MODE; "
        "undo: end the process that holds the session, whose end rolls it back"
    ]
    undo = planned.undo()
    assert (undo["held"], undo["table"], undo["administrator"]) == (True, "trading.orders", "postgres")
    assert "hidden" not in repr(planned) + repr(undo)


def test_rows_are_locked_as_a_forgotten_transaction_does() -> None:
    planned = lock.from_spec({**FAULT, "table": "trading.users", "where": "name = 'x'"}, [target()], SITE)
    assert planned.statement == (
        "SELECT count(*) FROM (SELECT 1 FROM trading.users WHERE name = 'x' FOR UPDATE) AS locked"
    )
    begin, *bounds, _lock = lock_holder.take_statements("t", "")
    assert begin == "BEGIN"
    assert any("idle_in_transaction_session_timeout" in one for one in bounds), (
        "PostgreSQL ends it by itself, too"
    )
    assert any("lock_timeout" in one for one in bounds), "our own wait for it has a bound"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"table": "orders; DROP TABLE users"}, "must be a name such as trading.orders"),
        ({"table": ""}, "must be a name such as trading.orders"),
        ({"table": '"Desk"; DROP TABLE "users"'}, "must be a name such as trading.orders"),
        ({"where": "true; DELETE FROM orders"}, "must be one condition"),
        ({"hold_s": 0}, "has no hold_s"),
        ({"user": ""}, "has no user"),
        ({"replicas": "all"}, "replicas must be one"),
        ({"port": 0.5}, "must be from 1 to 65535"),
    ],
)
def test_wrong_arguments_are_told_before_any_host_is_asked(change: dict[str, Any], says: str) -> None:
    assert lock.check(FAULT) == []
    (found,) = lock.check({**FAULT, **change})
    assert says in found


def test_a_database_that_does_not_run_is_refused() -> None:
    with pytest.raises(ChaosError, match="in a running database only; lab-postgres-1 is exited"):
        lock.from_spec(FAULT, [down()], SITE)


def test_it_was_held_for_as_long_as_the_holder_says_and_no_longer() -> None:
    """A sample every quarter second; the holder's session is lost after two seconds of four."""
    samples = [{"t": 100 + number / 4, "held": number < 8} for number in range(9)]
    assert lock.held_share(samples, 100.0, 104.0) == pytest.approx(0.5)
    assert lock.held_share(samples[:2], 100.0, 110.0) == pytest.approx((0.25 + 1.5) / 10), (
        "it died or stands still"
    )
    assert lock.held_share([], 100.0, 110.0) == 0.0
