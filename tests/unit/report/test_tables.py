# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for the screen: what a suite came to, and what hosts are ready for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import tables

GOOD = {"effect": "pass", "hypothesis": "pass", "restored": "pass"}


def one(number: int, outcome: str, **verdicts: str) -> dict[str, Any]:
    return {
        "number": number,
        "name": f"experiment_{number}",
        "title": f"Experiment {number}",
        "outcome": outcome,
        "verdicts": {**GOOD, **verdicts},
        "record": f"/tmp/{number}.json",
    }


def test_a_suite_shows_each_outcome_with_its_verdicts_and_counts() -> None:
    lines = tables.render_suite(
        [one(1, "passed"), one(10, "failed", hypothesis="fail"), one(3, "skipped", effect="unknown")]
    )
    assert lines[-1] == "1 of 3 passed"
    assert "✓ passed" in lines[2]
    assert "✗ failed" in lines[3]
    assert "✗ fail " in lines[3]
    assert "? unknown" in lines[4]
    assert lines[5:8] == ["record 01: /tmp/1.json", "record 10: /tmp/10.json", "record 03: /tmp/3.json"]
    assert len({line.index("✓ pass", 30) for line in lines[2:4]}) == 1, "the columns stand below each other"


def test_the_table_of_a_suite_fits_eighty_columns() -> None:
    longest = {
        **one(6, "failed", effect="unknown", hypothesis="unknown"),
        "title": "Connection pool exhaustion",
    }
    assert max(len(line) for line in tables.render_suite([longest]) if not line.startswith("record")) <= 80


def test_a_suite_without_experiments_says_so() -> None:
    assert tables.render_suite([]) == ["No experiment of this suite was run."]


@pytest.mark.parametrize(
    ("outcome", "may_skip", "named"),
    [
        ("passed", [], False),
        ("failed", [], True),
        ("invalid", ["experiment_5"], True),
        ("skipped", [], True),
        ("skipped", ["experiment_5"], False),
        ("skipped", ["experiment_6"], True),
    ],
)
def test_what_did_not_pass_is_named(outcome: str, may_skip: list[str], named: bool) -> None:
    found = tables.not_passed([one(1, "passed"), one(5, outcome)], may_skip)
    assert found == ([f"experiment_5: {outcome}"] if named else [])


def test_readiness_is_a_table_for_each_host_with_its_reasons() -> None:
    rows = [
        {"host": "a", "number": 1, "title": "One", "ready": "ready", "why": []},
        {"host": "b", "number": 1, "title": "One", "ready": "impossible", "why": ["no root", "no bcc"]},
        {"host": "a", "number": 9, "title": "Nine", "ready": "degraded", "why": ["no netem"]},
    ]
    lines = tables.render_readiness(rows)
    assert lines[0] == "READINESS of a"
    assert lines[3] == "READINESS of b"
    assert lines[4].endswith("✗ impossible  no root; no bcc")
    assert lines[2].endswith("⚠ degraded  no netem")
    assert tables.render_readiness([]) == ["No host was looked at."]
