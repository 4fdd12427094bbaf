# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several experiments state alike: a crash and an outage of one service, and findings that all ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: How a finding says what is expected. One that says so itself takes nothing of the shared one's.
_EXPECTED = ("max", "min", "equals", "informational")


class PartError(Exception):
    """An experiment asks for what is not shared; the message is one sentence for people."""


def build_blows(
    blow: Mapping[str, Any], *, crash: bool, crash_window_s: Any, outage: bool, outage_s: Any
) -> list[dict[str, Any]]:
    """Return the faults ``crash``, a single blow, and ``outage``, which is held, as far as they are wanted.

    ``blow`` is what both have in common. Seconds.
    """
    faults = []
    if crash:
        faults.append({"id": "crash", **blow, "hold_s": 0, "window_s": crash_window_s})
    if outage:
        faults.append({"id": "outage", **blow, "hold_s": outage_s, "window_s": outage_s})
    return faults


def complete_findings(
    findings: Sequence[Mapping[str, Any]], shared: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return findings whole: one without a metric of its own is the shared one of its id, but for what it says itself.

    Raises PartError where none is shared under that id.
    """
    return [_complete(finding, shared) for finding in findings]


def _complete(finding: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if "metric" in finding:
        return dict(finding)
    name = str(finding.get("id"))
    if name not in shared:
        raise PartError(
            f"Finding {name} has no metric, and none of that id is shared; shared are: {', '.join(sorted(shared))}."
        )
    whole = dict(shared[name])
    if any(key in finding for key in _EXPECTED):
        whole = {key: value for key, value in whole.items() if key not in _EXPECTED}
    return {"id": name, **whole, **finding}
