# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of a rush: each has its turn, by its own way, and none is always first."""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.rush import Rush
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.clients import Clients


@pytest.mark.parametrize(("clients", "proxied"), [(40, 20), (10, 3), (3, 0), (2, 2), (1, 1)])
def test_turns_are_fair_and_ways_are_mixed(clients: int, proxied: int) -> None:
    rush = Rush(100.0, 10.0, clients, "http://127.0.0.1:9" if proxied else "", proxied)
    made: Clients[int] = Clients(rush, "http://127.0.0.1:9", timeout=1.0)
    try:
        turns = [made.take_turn()[0] for _ in range(clients * clients)]
        counts = Counter(one.number for one in turns)
        assert set(counts.values()) == {clients}
        first = [turns[start].number for start in range(0, len(turns), clients)]
        assert sorted(first) == list(range(clients)), "each is the first of a round once"
        ways = Counter(one.way for one in turns[:clients])
        assert ways["proxy"] == proxied
        if clients == 2 * proxied:
            assert {tuple(one.way for one in turns[at : at + 2]) for at in range(0, clients, 2)} == {
                ("direct", "proxy")
            }
    finally:
        made.close()
