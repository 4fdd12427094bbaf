# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the record of a host that has none to give: never reached, refused in preflight, or skipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.common.shapes import Recorded
from ...module_utils.judge.capture import describe_capture


def make_missing_host(host: str, outcome: str, reason: str, wave: int = 1) -> Recorded:
    """Return a host record that says nothing but why there is nothing to say; every verdict is unknown."""
    return {
        "host": host,
        "wave": wave,
        "kernel": "unknown",
        "capabilities": {
            "docker": None, "compose": None, "bcc": None, "python": None, "cgroup": None,
            "root": False, "systemd": False, "trials": {},
        },
        "clock": {"offset_ms": None, "uncertainty_ms": None},
        "outcome": outcome,
        "verdicts": {"effect": "unknown", "hypothesis": "unknown", "restored": "unknown"},
        "faults": [],
        "phases": [],
        "load": {"rate": 0, "floor": 0, "requests": 0, "ok": 0, "errors": 0},
        "ledger": dict.fromkeys(
            ("acknowledged", "lost", "duplicated", "unacknowledged_applied", "shortest_visible_loss_ms")
        ),
        "findings": [],
        "questions": {
            "recovered_automatically": None,
            "recovery_s": None,
            "data_loss": None,
            "users_saw": {
                "what": "unknown", "errors": 0, "slow": 0, "p50_ms": None,
                "p99_ms": None, "baseline_p99_ms": None,
            },
            "errors_clear": {
                "clear": None, "clear_count": 0, "unclear_count": 0, "kinds": {}, "example": None,
                "first_log_line": None, "first_log_after_s": None,
            },
        },
        "bpf": describe_capture({}),
        "timeline": [],
        "leftovers": [],
        "notes": [reason],
    }  # fmt: skip


#: What may be known of a host without its record.
_SAID = ("host", "wave", "outcome", "clock", "timeline", "notes")


def is_stub(host: Mapping[str, Any]) -> bool:
    """Return True if a host record says nothing but why there is nothing to say."""
    blank = make_missing_host("", "", "")
    return all(host[key] == value for key, value in blank.items() if key not in _SAID)


def owes_record(host: Mapping[str, Any]) -> bool:
    """Return True if a record of this host may still lie there: it began, or may have, and gave none.

    Where a run was skipped, by the host itself or because its wave never began, there is nothing to wait for.
    """
    return host["outcome"] != "skipped" and is_stub(host)
