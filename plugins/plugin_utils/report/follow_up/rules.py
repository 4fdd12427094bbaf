# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules by which findings call for changes, read from ``files/follow_up/rules.yml``, which says how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

_RULES = Path(__file__).resolve().parents[4] / "files" / "follow_up" / "rules.yml"
#: When a rule applies.
FAILED, TRUE, FALSE, POSITIVE, WAITED = "failed", "true", "false", "positive", "waited"


@dataclass(frozen=True)
class AdviceRule:
    """``weight``: 1 is looked after first. ``findings``: ids, of which the first that is there and applies counts."""

    id: str
    findings: tuple[str, ...]
    when: str
    weight: int
    says: str


@lru_cache(maxsize=1)
def read_rules() -> tuple[AdviceRule, ...]:
    """Return the rules in the order of their file."""
    found = yaml.safe_load(_RULES.read_text(encoding="utf-8"))
    return tuple(AdviceRule(**{**one, "findings": tuple(one["findings"])}) for one in found)
