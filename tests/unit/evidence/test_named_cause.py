# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a text name what failed? A port that is part of another number names nothing."""

from __future__ import annotations

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.named_cause import cause_pattern
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FaultSpec, Specification

SPEC = Specification.read(
    {
        "services": {"database": "postgres", "api": "trading-api"},
        "capture": {"ports": {"5432": "database"}},
        "probes": [],
        "containers": {"postgres": [{"addresses": ["172.18.0.3"]}]},
    }
)
FAULT = FaultSpec(id="crash", target="postgres")


@pytest.mark.parametrize(
    "text",
    [
        "Connect call failed ('172.18.0.9', 5432)",
        "dial tcp db.internal:5432: connect: connection refused",
        "could not connect to [fd00::3]:5432",
        "port 5432 refused",
        "port=5432",
        "no route to 172.18.0.3",
        "SQL: the DB is gone",
    ],
)
def test_it_is_named(text: str) -> None:
    assert cause_pattern(SPEC, FAULT).search(text)


@pytest.mark.parametrize(
    "text",
    [
        "order 5432 rejected",
        "order 1b2c-5432-99aa rejected",
        "request took 5432 ms",
        "id=a:54321",
        "172.18.0.31 said hello",
        "sqlite is not meant",
    ],
)
def test_a_number_that_happens_to_be_the_port_names_nothing(text: str) -> None:
    assert not cause_pattern(SPEC, FAULT).search(text)
