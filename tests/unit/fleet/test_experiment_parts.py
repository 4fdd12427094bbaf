# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What experiments state alike stands once, and each says only what is its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet.experiment_parts import (
    PartError,
    build_blows,
    complete_findings,
)

ROOT = Path(__file__).resolve().parents[3]
SHARED = {
    "lost": {"title": "Lost", "metric": "data_loss", "max": 0, "unit": "orders"},
    "clear": {"title": "Clear", "metric": "error_clarity", "unit": "ratio"},
}
BLOW = {"kind": "kill", "target": "redis"}


def test_a_finding_is_completed_by_its_id_and_what_it_says_goes_before() -> None:
    whole = {"id": "mine", "title": "Mine", "metric": "data_loss"}
    given = [{"id": "lost"}, whole, {"id": "clear", "min": 0.9}, {"id": "lost", "informational": True}]
    assert complete_findings(given, SHARED) == [
        {"id": "lost", **SHARED["lost"]},
        whole,
        {"id": "clear", **SHARED["clear"], "min": 0.9},
        {"id": "lost", "title": "Lost", "metric": "data_loss", "unit": "orders", "informational": True},
    ]
    with pytest.raises(PartError, match=r"Finding unknown has no metric.*; shared are: clear, lost"):
        complete_findings([{"id": "unknown"}], SHARED)


@pytest.mark.parametrize(
    ("crash", "outage", "ids"),
    [(True, True, ["crash", "outage"]), (True, False, ["crash"]), (False, True, ["outage"])],
)
def test_a_crash_is_a_single_blow_and_an_outage_is_held(crash: bool, outage: bool, ids: list[str]) -> None:
    found = build_blows(BLOW, crash=crash, crash_window_s=10, outage=outage, outage_s=15)
    assert [fault["id"] for fault in found] == ids
    times = {"crash": (0, 10), "outage": (15, 15)}
    for fault in found:
        assert (fault["hold_s"], fault["window_s"]) == times[fault["id"]]
        assert (fault["kind"], fault["target"]) == ("kill", "redis")


def test_no_finding_is_stated_whole_by_more_than_two_experiments() -> None:
    stated: Counter[str] = Counter()
    for path in (ROOT / "roles").glob("*/vars/main.yml"):
        for name, found in (yaml.safe_load(path.read_text()) or {}).items():
            if name.endswith("_findings") and isinstance(found, list):
                stated.update(str(sorted(one.items())) for one in found if "metric" in one)
    assert stated
    assert [finding for finding, times in stated.items() if times > 2] == []
