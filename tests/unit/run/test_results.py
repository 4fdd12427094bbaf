# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules hand back: every line once, in order, and never more than a result may carry."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.run import results
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    anchor = {"boottime": clock.read(), "realtime": time.time(), "boot_id": "b"}
    write_json(tmp_path / "spec.json", {"anchor": anchor})
    return RunDir(tmp_path)


def texts(found: dict[str, object]) -> list[str]:
    lines = found["chaos_lines"]
    assert isinstance(lines, list)
    return [line["text"] for line in lines]


def test_each_line_comes_once_whoever_asks(run: RunDir) -> None:
    run.log("ok", "one")
    run.write_event("steady", fault="crash")
    assert texts(results.deliver_result(run, changed=False)) == ["one"]
    run.log("warn", "two")
    run.log("fail", "three")
    assert texts(results.deliver_result(RunDir(run.path), changed=True)) == ["two", "three"]
    assert texts(results.deliver_result(run, changed=False)) == []


def test_lines_have_time_level_and_text_and_those_before_the_run_come_first(run: RunDir) -> None:
    lines = results.Lines()
    lines.say("ok", "Docker answers")
    run.log("warn", "later")
    found = results.deliver_result(run, changed=True, before=lines.lines, plan=["x"])
    assert (found["changed"], found["plan"]) == (True, ["x"])
    assert texts(found) == ["Docker answers", "later"]
    assert [set(line) for line in found["chaos_lines"]] == [{"at", "level", "text"}] * 2
    assert found["chaos_lines"][0]["at"][:16] == found["chaos_lines"][1]["at"][:16]


def test_many_events_come_in_parts_none_twice_none_lost_and_controls_never(run: RunDir) -> None:
    writer = jsonl.Writer(run.file("bpf.jsonl"))
    total = 1000
    for number in range(total):
        writer.write(
            {
                "t": clock.read(),
                "event": "CONN_OK",
                "pid": number,
                "detail": "x" * 60,
                "control": number % 2 == 0,
            }
        )
    seen: list[int] = []
    for _ in range(50):
        found = results.deliver_result(run, changed=False)
        assert len(json.dumps(found)) < 64 * 1024
        seen += [event["pid"] for event in found["chaos_bpf"]]
        if not found["chaos_bpf"]:
            break
    assert seen == list(range(1, total, 2))


def test_a_full_disk_does_not_cost_the_result(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run.log("ok", "one")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_json", refuse)
    assert texts(results.deliver_result(run, changed=False)) == ["one"]
