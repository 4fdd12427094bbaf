# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange's weaknesses, each by name: what an experiment should find when one is switched on."""

from __future__ import annotations

SWITCHES: dict[str, str] = {
    "ack_before_store": "answers 201 first and stores later; an order that cannot be stored then is dropped",
    "die_with_database": "the trading API exits when it loses the database (the restart policy brings it back)",
    "no_reconnect": "once lost, the database is never connected again until the API is restarted",
    "no_retry": "an order fails at the first store error instead of being tried again for a second",
    "duplicate_on_retry": "after a reconnect the orders of the last second are sent again under new ids",
    "synchronous_commit_off": "commits are answered before they are on disk",
    "silent_errors": "failures answer 500 with an empty body, and nothing is logged",
    "slow_ready": "readiness is looked at every 5 seconds only, and the last answer is repeated meanwhile",
    "shallow_ready": "readiness looks whether a connection is open, and asks nothing through it",
    "no_timeout": "no time limit on connects, queries and orders: a silent peer means waiting for ever",
    "lookup_per_order": "the database's name is looked up anew for every order, and an order fails without it",
    "memory_leak": "10 KiB stay behind with every order",
    "cpu_hungry": "every order burns 5 ms of processor time",
    "no_group_commit": "one transaction for each order, however many are waiting",
    "connection_per_order": "no pool: each order opens a database connection of its own",
    "chatty_store": "ten more round trips to the database for every order",
    "no_cache_fallback": "no cache, no service: without Redis orders and order books fail",
    "no_redis_resubscribe": "a lost price subscription is never taken up again",
    "overload_collapse": "above 150 orders per second a queue without a bound makes each order dearer, while any come",
    "bears_thirty": "30 orders per second and no more: the others are refused with 503 at once",
    "abrupt_proxy": "nginx is asked to end by the signal that has it drop what it has begun",
    "ignores_sigterm": "the trading API does not listen to SIGTERM, so that whoever stops it has to kill it",
    "few_connections": "orders of eight connections alone are taken, first come; the others are refused with 503",
    "static_upstream": "nginx looks the names of its backends up once, when it starts",
}

# What the profile `fragile` switches on: everything but what would keep the exchange from coming back by
# itself (no_reconnect, static_upstream), but how much it bears, and but what another switch in here would hide
# (shallow_ready would hide slow_ready).
FRAGILE: tuple[str, ...] = (
    "ack_before_store",
    "die_with_database",
    "synchronous_commit_off",
    "silent_errors",
    "slow_ready",
    "no_timeout",
    "memory_leak",
    "no_cache_fallback",
    "no_redis_resubscribe",
)


def parse(text: str) -> frozenset[str]:
    """Names from the environment variable EXCHANGE_FRAGILE: a comma list, in which `fragile` is the profile.

    Raises ValueError with one sentence when a name is unknown.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if "fragile" in names:
        names = (names - {"fragile"}) | set(FRAGILE)
    unknown = sorted(names - set(SWITCHES))
    if unknown:
        raise ValueError(
            f"EXCHANGE_FRAGILE names unknown switches: {', '.join(unknown)}; known are {', '.join(SWITCHES)}."
        )
    return frozenset(names)
