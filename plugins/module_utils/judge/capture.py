# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a record says of the kernel capture; of none at all, too, as where a host sent nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.shapes import Recorded
from ..common.stats import round_or_none


def describe_capture(capture: Mapping[str, Any], seen: int = 0) -> Recorded:
    """Return what became of a capture that said ``capture`` of itself; ``seen``: its events that came home."""
    return {
        "status": capture.get("status", "absent"),
        "programs": [str(name) for name in capture.get("programs") or []],
        "events": max(seen, int(capture.get("events") or 0)),
        "lost": int(capture.get("lost") or 0),
        "positive_control": capture.get("positive_control"),
        "cpu_s": round_or_none(capture.get("cpu_s")),
    }
