# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What independent observers saw of an OOM: the engine's events, the kernel's tracer."""

from __future__ import annotations

from ...evidence.evidence import Evidence
from ...evidence.phases import Window, engine_events, kernel_exits, main_pids
from .proof import ProofOutcome
from .registry import observed_proofs

OOM_KILLED = 137
_DIES_WITHIN_S = 5.0
_EARLY_S = 2.0


@observed_proofs
def memory_proofs(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """Return what was seen of the OOM and of the target's end."""
    return [*_engine(evidence, window), *_marked(evidence, window), *_exit(evidence, window)]


def _engine(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    until = window.injected + _DIES_WITHIN_S
    found = []
    for event in engine_events(evidence, window, window.target, "oom"):
        if event["t"] <= until:
            found.append(
                ProofOutcome(
                    "engine", f"{window.target} ran out of memory (event oom)", True, event["t"], True
                )
            )
    for event in engine_events(evidence, window, window.target, "die"):
        if event["t"] <= until:
            code = event.get("exit_code")
            fact = f"{window.target} died, exit code"
            found.append(ProofOutcome("engine", fact, code, event["t"], code == OOM_KILLED))
    return found


def _marked(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    """The kernel's own choice (tracepoint oom:mark_victim), where it was captured."""
    seen = [
        event
        for event in evidence.bpf
        if event.get("event") == "OOM_KILL" and window.injected - _EARLY_S <= event["t"] <= window.end
    ]
    pids = main_pids(evidence, window)
    return [
        ProofOutcome(
            "kernel", "victim marked by the OOM killer", f"PID {event.get('pid')}", event["t"],
            event.get("service") == window.target or event.get("pid") in pids,
        )
        for event in seen
    ]  # fmt: skip


def _exit(evidence: Evidence, window: Window) -> list[ProofOutcome]:
    exits = kernel_exits(evidence, window) if evidence.seeing else []
    fact = f"{window.target} exits by signal 9 (tracepoint)"
    return [ProofOutcome("kernel", fact, f"PID {exits[0].get('pid')}", exits[0]["t"], True)] if exits else []
