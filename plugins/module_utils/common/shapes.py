# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for the dictionaries that leave our hands as they are, and what a value in them is.

All else that has keys of its own is a dataclass.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeGuard

#: One line of a raw file (``*.jsonl``); which keys it has, its writer says.
Line = dict[str, Any]
#: What a module or an action answers to Ansible: ``changed``, ``failed``, ``msg`` and its own keys, as RETURN has them.
Result = dict[str, Any]
#: Variables of a host's task, by name.
Variables = dict[str, Any]
#: Arguments of a module, by option.
Arguments = dict[str, Any]
#: A fault's entry in the specification, and the arguments of its module: what all kinds share, and its kind's own.
FaultEntry = Mapping[str, Any]
#: ``load`` of a specification: where orders go and how fast, and what one looks like.
LoadEntry = Mapping[str, Any]
#: ``database`` of a specification, with the password where somebody is about to log in.
DatabaseEntry = Mapping[str, Any]
#: A line of ``load.jsonl`` that tells of one order.
Attempt = Mapping[str, Any]
#: What the kernel counted of a series, a line of ``histograms.jsonl``.
Counted = Mapping[str, Any]
#: A part of a record, as files/record.schema.json has it.
Recorded = dict[str, Any]


#: In the year 5138; none of ours lives to see it.
_LATEST = 1e11


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON is a number that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def is_instant(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON is an instant, in seconds since a boot or since 1970."""
    return is_number(value) and abs(value) < _LATEST


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value of JSON is a whole number, written as one; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_histogram(line: Counted) -> bool:
    """Return whether a line is what the kernel counted of a series: ``count``, ``sum``, ``max``, ``buckets``, …"""
    words = (line.get(key) for key in ("phase", "series", "service", "program", "unit"))
    buckets, key = line.get("buckets") or [], line.get("key") or {}
    return (
        is_instant(line.get("t", 0))
        and all(is_number(line.get(name, 0)) for name in ("count", "sum"))
        and (line.get("max") is None or is_number(line["max"]))
        and (line.get("since") is None or is_instant(line["since"]))
        and all(word is None or isinstance(word, str) for word in words)
        and isinstance(key, dict)
        and all(isinstance(value, (str, int, float, type(None))) for value in key.values())
        and isinstance(buckets, list)
        and all(isinstance(one, list) and len(one) == 3 and all(map(is_number, one)) for one in buckets)
    )
