# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault's entry in the specification: the services it is aimed at, the port it hits. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def services_of(*told: Mapping[str, Any]) -> list[str]:
    """Return the services that a fault's entry, or what was noted of it, names; those of the first that names any.

    ``targets`` are several, in dependency order; else ``target`` is the only one. Nobody named is an empty list.
    """
    for one in told:
        found = one.get("targets") or ([one["target"]] if one.get("target") else [])
        if found:
            return [str(service) for service in found]
    return []


def port_of(fault: Mapping[str, Any], key: str = "port") -> int | None:
    """Return a port of a fault, None where it names none."""
    return int(fault[key]) if fault.get(key) else None


def only_port(fault: Mapping[str, Any]) -> int | None:
    """Return the port that alone is to be hit, None for all of the peer."""
    return port_of(fault) if is_true(fault.get("only_port")) else None


def is_true(value: Any) -> bool:
    """Return whether a value of a specification means true; older Ansible gives it as a word."""
    return str(value).lower() in ("true", "yes", "1")
