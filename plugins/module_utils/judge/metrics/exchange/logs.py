# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application wrote into its own log."""

from __future__ import annotations

from ....evidence import named_cause
from ....evidence.evidence import Evidence
from ....evidence.log_lines import is_complaint
from ....evidence.phases import Window, fault_onset
from ..registry import SPEED, Measured, per_fault


@per_fault("log_clarity", "s", rests_on=SPEED)
def log_clarity(evidence: Evidence, window: Window) -> Measured:
    """Seconds from the fault to the application's first log line that names the failing dependency."""
    found = first_line(evidence, window)
    if found is not None:
        at, line = found
        return Measured(max(0.0, at - fault_onset(evidence, window)), f"application log: {line[:160]}", 1)
    read = evidence.timeline.app_logs(window.id)
    if not read:
        return Measured(None, "the application's log was not read")
    if not all(event.get("whole", True) for event in read):
        return Measured(
            None, "application log: no line names it in the part that was read, and there is more"
        )
    return Measured(
        window.end - fault_onset(evidence, window),
        "application log: no line names it",
        at_least=True,
        never=True,
    )


def first_line(evidence: Evidence, window: Window) -> tuple[float, str] | None:
    """Return (boottime, text) of the first line after the fault that names its target.

    The timeline holds candidates as ``app_log {fault, line, logged_at}``; a null line says that the log was
    read and held none.
    """
    cause = named_cause.cause_pattern(evidence.spec, window.spec)
    lines = [
        (float(event.get("logged_at") or event["t"]), str(event["line"]))
        for event in evidence.timeline.app_logs(window.id)
        if event.get("line") and is_complaint(str(event["line"])) and cause.search(str(event["line"]))
    ]
    return min((line for line in lines if window.injected <= line[0] <= window.end), default=None)
