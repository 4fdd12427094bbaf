# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run without a capture, a host without a record: what stands in its place is the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import Evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.capture import describe_capture
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import NO_CAPTURE, RunDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host

NOTHING = {
    "status": "absent", "programs": [], "events": 0, "lost": 0, "positive_control": None, "cpu_s": None,
}  # fmt: skip


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null"])
def test_no_word_of_a_capture_is_none_at_all(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "capture.json").write_text(text)
    assert RunDir(tmp_path).read_capture() == NO_CAPTURE
    assert describe_capture(RunDir(tmp_path).read_capture()) == NOTHING


def test_what_the_capture_said_counts_and_the_rest_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "capture.json").write_text('{"status": "attached", "events": 3, "positive_control": true}')
    said = RunDir(tmp_path).read_capture()
    assert describe_capture(said, seen=5) == {
        **NOTHING, "status": "attached", "events": 5, "positive_control": True,
    }  # fmt: skip
    assert describe_capture(said, seen=2)["events"] == 3


def test_it_is_the_same_for_a_host_that_sent_nothing_and_for_evidence_without_one() -> None:
    assert make_missing_host("alpha", "invalid", "it is gone")["bpf"] == NOTHING
    assert Evidence.__dataclass_fields__["capture"].default_factory() == NO_CAPTURE  # type: ignore[misc]


def test_nobody_s_changes_are_seen_by_the_next(tmp_path: Path) -> None:
    RunDir(tmp_path).read_capture()["status"] = "attached"
    assert RunDir(tmp_path).read_capture()["status"] == "absent"
