# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of experiments under noise calls a false alarm and a missed one by their names."""

from __future__ import annotations

import dataclasses

import pytest

from tests.bench import noise
from tests.unit import fleets


def cell(profile: str, kind: str, outcome: str) -> noise.Cell:
    """A cell of experiment 01 that came to an outcome."""
    record = {**fleets.sample("passed"), "outcome": outcome}
    return noise.read_cell(record, profile, kind, 61.24, "abc1234")


@pytest.mark.parametrize(
    ("profile", "kind", "outcome", "breaks"),
    [
        ("resilient", "quiet", "passed", ""),
        ("resilient", "quiet", "invalid", "a good exchange on a quiet machine is invalid"),
        ("resilient", "quiet", "failed", "a good exchange on a quiet machine is failed"),
        ("resilient", "processors", "invalid", ""),
        ("resilient", "disk", "failed", "a good exchange failed"),
        ("fragile", "passing", "passed", "a weak exchange passed"),
        ("fragile", "passing", "invalid", ""),
        ("fragile", "quiet", "failed", ""),
    ],
)
def test_a_false_alarm_and_a_missed_one_break_the_rule(
    profile: str, kind: str, outcome: str, breaks: str
) -> None:
    assert cell(profile, kind, outcome).breaks == breaks


def test_an_open_question_stands_beside_the_outcome() -> None:
    record = {**fleets.sample("passed"), "open_questions": ["data loss not measured"]}
    one = noise.read_cell(record, "resilient", "quiet", 61.24, "abc1234")
    assert (one.outcome, one.breaks, one.seconds) == ("passed, data loss not measured", "", 61.2)


def test_the_page_says_what_is_in_it_and_marks_what_breaks_the_rule() -> None:
    good = cell("resilient", "quiet", "passed")
    bad = dataclasses.replace(cell("resilient", "disk", "failed"), failed=("recovery",), unknown=3)
    page = noise.show_page([good, bad])
    assert "2 cells, 1 of which break the rule." in page
    assert f"| 01 | disk | failed **✗** | recovery | 3 | 61 | {bad.run} | abc1234 |" in page
    assert "fragile exchange\n\n" not in page


def test_every_experiment_has_one_playbook() -> None:
    assert all(noise.playbook(number).startswith(f"playbooks/{number:02d}-") for number in range(1, 17))
    with pytest.raises(LookupError, match=r"There is no experiment 17\."):
        noise.playbook(17)
    with pytest.raises(LookupError, match="There is no experiment 00"):
        noise.playbook(0)
