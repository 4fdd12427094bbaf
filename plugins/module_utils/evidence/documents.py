# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's documents as who judges it takes them: what is damaged in one is not there, and costs nothing else.

A disk that filled up, a host that lies or somebody's editor may have left anything under any key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..common.json_files import read_json, read_object
from ..common.jsonl import read_lines
from ..common.shapes import Line, Recorded, is_histogram, is_number, is_whole
from ..run.folder import NO_CAPTURE, RunDir

Test = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return value is None or (is_whole(value) and 0 <= value < 2**63)


def _is_figure(value: Any) -> bool:
    return value is None or is_number(value)


def _each(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(is_whole(one) for one in value.values())


_CAPTURE: Mapping[str, Test] = {
    "status": _is_text, "reason": lambda value: value is None or _is_text(value), "programs": _each(_is_text),
    "positive_control": _is_flag, "cpu_s": _is_figure,
    **dict.fromkeys(("events", "lost", "unwritten", "unattributed", "unkept"), _is_count),
}  # fmt: skip
_RESTORE: Mapping[str, Test] = {
    "leftovers": _each(_is_object), "restarts": _are_counts,
    **dict.fromkeys(("unchecked", "still_starting"), _each(_is_text)),
}  # fmt: skip
_LEDGER: Mapping[str, Test] = {
    **dict.fromkeys(
        ("acknowledged", "lost", "duplicated", "unacknowledged_applied", "in_database", "open_orders_left"), _is_count
    ),
    "shortest_visible_loss_ms": _is_figure,
    "lost_numbers": _each(is_whole),
}  # fmt: skip
_FACTS: Mapping[str, Test] = {
    "pids": _each(is_whole), "pid": _is_count, "seq": is_whole, "fault": _is_text, "entry": _is_text, "kind": _is_text,
}  # fmt: skip


def _keep_sound(found: Line, tests: Mapping[str, Test]) -> Line:
    """Return the object without what is none of what its key stands for; other keys are as they are."""
    return {key: value for key, value in found.items() if key not in tests or tests[key](value)}


def read_capture(run: RunDir) -> Recorded:
    """Return what the capture said of itself; of what it said in other words that there was none."""
    return {**NO_CAPTURE, **_keep_sound(read_object(run.file("capture.json")), _CAPTURE)}


def read_restore(run: RunDir) -> Recorded | None:
    """Return the difference of the snapshots; None where the host was not compared, or what came of it is damaged."""
    found = read_json(run.file("restore.json"))
    if not isinstance(found, dict) or _keep_sound(found, _RESTORE) != found:
        return None
    return found


def read_ledger(run: RunDir) -> Recorded | None:
    """Return the order account; a count that is none was not taken."""
    found = read_json(run.file("ledger.json"))
    if not isinstance(found, dict):
        return None
    return {key: value if key not in _LEDGER or _LEDGER[key](value) else None for key, value in found.items()}


def read_histograms(run: RunDir) -> list[Line]:
    """Return what the kernel counted, without the lines that are damaged: half of a count is none."""
    lines = read_lines(run.file("histograms.jsonl"))
    return list(filter(is_histogram, lines))


def read_journal(run: RunDir) -> list[Line]:
    """Return the journal's lines, with their facts and their undo as far as these are objects."""
    return [_sound_entry(line) for line in read_lines(run.file("journal.jsonl"))]


def _sound_entry(line: Line) -> Line:
    found: Line = _keep_sound(line, _FACTS)
    for key in ("facts", "undo"):
        if key in line:
            found[key] = _keep_sound(line[key], _FACTS) if isinstance(line[key], dict) else {}
    return found
