# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault's argument passes few rooms on its way from the role to the undo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import journeys

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("argument", "most"), [("peer", 10), ("ttl", 8)])
def test_an_argument_passes_few_rooms(argument: str, most: int) -> None:
    rooms = journeys.follow_argument(ROOT, argument)
    assert 3 < len(rooms) <= most, rooms


def test_of_experiments_the_one_with_the_most_rooms_counts() -> None:
    shared, one = (
        ["plugins/module_utils/run/journal.py", "roles/chaos/tasks/fault.yml"],
        ["roles/a/vars/main.yml"],
    )
    several = ["roles/b/tasks/main.yml", "roles/b/vars/main.yml"]
    assert journeys.choose_role(shared) == shared
    assert journeys.choose_role([*shared, *one, *several]) == [*shared, *several]


def test_only_the_whole_word_is_a_room(tmp_path: Path) -> None:
    (tmp_path / "roles" / "a" / "vars").mkdir(parents=True)
    text = tmp_path / "roles" / "a" / "vars" / "main.yml"
    for words, found in (("# peer\npeer_addresses: []\n", 0), ("peer: api\n", 1)):
        text.write_text(words)
        assert len(journeys.follow_argument(tmp_path, "peer")) == found
