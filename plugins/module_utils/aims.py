# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a fault is aimed at: one, or several that it hits at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def services(*told: Mapping[str, Any]) -> list[str]:
    """Return the services that a fault's entry, or what was noted of it, names; those of the first that names any.

    ``targets`` are several, in dependency order; else ``target`` is the only one. Nobody named is an empty list.
    """
    for one in told:
        found = one.get("targets") or ([one["target"]] if one.get("target") else [])
        if found:
            return [str(service) for service in found]
    return []
