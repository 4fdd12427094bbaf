# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the records of hosts to the record of a run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import merge, read

DATA = Path(__file__).resolve().parents[1] / "data"
RUN = {
    "run_id": "r",
    "experiment": {"number": 1, "name": "database_sudden_death", "title": "Database sudden death"},
    "started_at": "2026-11-23T18:00:00.000Z",
    "ended_at": "2026-11-23T18:01:00.000Z",
    "collection_version": "0.1.0",
}


def host(
    outcome: str = "passed", restored: str = "pass", effect: str = "pass", wave: int = 1
) -> dict[str, Any]:
    verdicts = {"effect": effect, "hypothesis": "pass", "restored": restored}
    return {"host": f"{outcome}-{wave}", "wave": wave, "outcome": outcome, "verdicts": verdicts}


def test_precedence() -> None:
    order = [host("aborted"), host("invalid"), host("failed"), host("skipped"), host("passed")]
    for worse, better in itertools.combinations(order, 2):
        assert (
            merge.worst_outcome([better, worse]) == worse["outcome"] == merge.worst_outcome([worse, better])
        )


@pytest.mark.parametrize("outcome", ["aborted", "invalid", "failed", "passed", "skipped"])
def test_not_restored_beats_all(outcome: str) -> None:
    assert merge.worst_outcome([host(), host(outcome), host("passed", restored="fail")]) == "failed"
    assert merge.worst_outcome([host("aborted", restored="fail")]) == "failed"


def test_verdicts() -> None:
    assert merge.worst_verdict(["pass", "unknown", "fail"]) == "fail"
    assert merge.worst_verdict(["pass", "unknown"]) == "unknown"
    assert merge.worst_verdict(["pass"]) == "pass"
    assert merge.worst_verdict([]) == "unknown"


def test_merge_takes_the_worst_of_each_and_the_order_of_the_waves() -> None:
    merged = merge.merge_hosts([host(wave=2), host("failed", effect="unknown", wave=1)], **RUN)
    assert merged["outcome"] == "failed"
    assert merged["verdicts"] == {"effect": "unknown", "hypothesis": "pass", "restored": "pass"}
    assert [each["wave"] for each in merged["hosts"]] == [1, 2]


def test_merge_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one host"):
        merge.merge_hosts([], **RUN)


def test_merged_samples_match_the_schema() -> None:
    samples = [json.loads(path.read_text())["hosts"][0] for path in sorted(DATA.glob("record-*.json"))]
    merged = merge.merge_hosts(samples, **RUN)
    assert read.check_record(merged, "it") is merged
    assert merged["outcome"] == "failed"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not valid JSON: Expecting value: line 1 column 1 (char 0)."),
        (b"\xff\xfe", "is not text in UTF-8."),
        (b"[]", "is not a record of exchange.chaos: it has no schema_version."),
        (b'{"a": 1}', "is not a record of exchange.chaos: it has no schema_version."),
        (b'{"schema_version": 2}', "has schema_version 2, this collection reads version 1 only."),
        (b'{"schema_version": true}', "has schema_version True, this collection reads version 1 only."),
        (b'{"schema_version": 1}', "does not match the schema of a record: it lacks run_id (and 7 more)."),
        (b"[" * 100_000, "is not valid JSON: "),
    ],
)
def test_what_is_no_record_is_told_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(read.RecordError) as caught:
        read.load_record(str(path))
    assert str(caught.value).startswith(f"The record {path} {sentence}")
    assert "\n" not in str(caught.value)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(read.RecordError, match=r"cannot be read: No such file or directory\.$"):
        read.load_record(str(tmp_path / "none.json"))
    with pytest.raises(read.RecordError, match=r"cannot be read: it is no regular file\.$"):
        read.load_record(str(tmp_path))
