# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's timeline: every event of it is written by somebody, read by its name, and damage is no event."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run import timeline
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.timeline import Timeline

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
NAMES = {name: value for name, value in vars(timeline).items() if name.isupper() and isinstance(value, str)}

#: The methods of a run's folder by which an event gets into its timeline.
WRITERS = ("write_event", "note")


def written() -> set[str]:
    """Return the constants, and the plain texts, that some code writes into a timeline."""
    found = set()
    for path in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in WRITERS and node.args:
                name = node.args[0]
                found.add(name.attr if isinstance(name, ast.Attribute) else ast.unparse(name))
    return found


def test_every_event_is_written_by_a_name_of_the_module() -> None:
    assert len(written()) > 20
    assert written() <= set(NAMES)


def test_what_is_no_event_is_left_out(tmp_path: Path) -> None:
    lines = [
        '{"t": 1.5, "event": "phase", "id": "baseline"}', '{"t": "soon", "event": "phase"}', '{"t": 2}',
        '{"t": true, "event": "phase"}', '{"t": NaN, "event": "phase"}', '{"t": 3, "event": 7}', "[1]", "{",
    ]  # fmt: skip
    (tmp_path / "timeline.jsonl").write_text("\n".join(lines))
    known = RunDir(tmp_path).read_timeline()
    assert known.phase_began("baseline") == [1.5]
    assert len(known) == 1


@pytest.mark.parametrize("fault", ["crash", None])
def test_recovery_is_of_a_fault(fault: str | None) -> None:
    known = Timeline([{"t": 1, "event": "steady", "fault": "crash"}])
    assert known.recovered(fault) is (fault == "crash")
    assert not Timeline().recovered(fault)


def test_a_fault_that_was_injected_twice_is_dated_by_the_last() -> None:
    known = Timeline([{"t": t, "event": "fault_injected", "fault": "crash"} for t in (1.0, 4.0)])
    assert known.injected_at("crash") == 4.0
    assert known.injected_at("outage") is None
    assert known.injected_at(None) is None


def test_who_aborted_is_told_apart() -> None:
    known = Timeline([{"t": 1, "event": "aborted", "by": "guard", "reason": "too slow"}])
    assert known.aborted()
    assert known.aborted(by="guard")
    assert not known.aborted(by="sibling")
    assert known.abort_reason == "too slow"
    assert Timeline().abort_reason == ""
