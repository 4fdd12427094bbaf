# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every end and start of a container in a run, and whether a fault or a rescue of ours meant it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..evidence.evidence import Evidence
from ..evidence.phases import EARLY_S, fault_windows

#: What the engine calls the two.
_ENDED, _STARTED = "die", "start"
#: A container restarted by a rescue of ours ends and starts within this (s); the engine waits 10 s for it to end.
_RESCUE_S = 20.0


@dataclass(frozen=True)
class ContainerChange:
    """A container ended or started at boottime ``t``. meant: who wanted that, empty for nobody."""

    t: float
    service: str
    container: str
    ended: bool
    exit_code: int | None
    meant: str

    @property
    def text(self) -> str:
        """Say it for people."""
        code = f" with exit code {self.exit_code}" if self.ended and self.exit_code is not None else ""
        what = f"{self.container or self.service} {'ended' if self.ended else 'started'}{code}"
        return f"{what}, {f'as {self.meant} meant' if self.meant else 'which nobody meant'}"


def list_changes(evidence: Evidence) -> list[ContainerChange]:
    """Return them in time order. A fault that ends its targets means one end and one start of each, no second."""
    counted: Counter[tuple[str, str, str]] = Counter()
    found = []
    for event in evidence.engine:
        if event.get("action") not in (_ENDED, _STARTED):
            continue
        t, service = float(event["t"]), str(event.get("service") or "")
        container = str(event.get("container") or "")
        meant = _fault(evidence, service, t) or _rescue(evidence, service, t)
        counted[meant, container, event["action"]] += 1
        if counted[meant, container, event["action"]] > 1:
            meant = ""
        code = event.get("exit_code")
        found.append(ContainerChange(t, service, container, event["action"] == _ENDED, code, meant))
    return found


def _fault(evidence: Evidence, service: str, t: float) -> str:
    """Return the fault whose window an event of its own target lies in."""
    return next(
        (
            f"fault {window.id}"
            for window in fault_windows(evidence)
            if window.ends_target
            and service in window.targets
            and window.injected - EARLY_S <= t <= window.end
        ),
        "",
    )


def _rescue(evidence: Evidence, service: str, t: float) -> str:
    return next(
        (
            "a rescue"
            for event in evidence.timeline.rescues
            if event.get("service") == service and abs(float(event["t"]) - t) <= _RESCUE_S
        ),
        "",
    )
