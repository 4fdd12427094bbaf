# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible says of a role's arguments, in sentences that name the variable and what would be right.

Ansible's own words are written for developers of modules ("is of type str and we were unable to convert to float");
what is not recognised here is passed on as it came. Source: ansible/module_utils/common/parameters.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..words import TYPE_WORDS

_INSIDE = r"(?: found in '?(?P<parent>[\w. >-]+?)'?\.?)?"
_CONVERT = re.compile(rf"^(?:Elements value for option|argument) '(?P<name>\w+)' is of type .*?{_INSIDE}"
                      r" and we were unable to convert to (?P<type>\w+)\b")  # fmt: skip
_MISSING = re.compile(rf"^missing required arguments: (?P<names>[\w, ]+?){_INSIDE}$")
_CHOICES = re.compile(
    r"^value of (?P<name>\w+) must be one(?: or more)? of: (?P<choices>.*?)[,.] "
    rf"(?:got|Got no match for): (?P<got>.*?){_INSIDE}$"
)
_UNKNOWN = re.compile(r"^(?P<names>[\w., ]+)\. Supported parameters include: (?P<known>[^.]+)\.?$")


def explain_refusal(result: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a role's arguments; None of a result that is of anything else."""
    errors = result.get("argument_errors")
    if not isinstance(errors, (list, tuple)) or not errors:
        return None
    return " ".join(_sentence(str(error)) for error in errors)


def _sentence(error: str) -> str:
    for pattern, say in _SAYINGS.items():
        match = pattern.match(error)
        if match:
            return say(match)
    return error if error.endswith(".") else f"{error}."


def _name(match: re.Match[str]) -> str:
    parent = (match.group("parent") or "").replace(" -> ", ".")
    return f"{parent}.{match.group('name')}" if parent else match.group("name")


def _convert(match: re.Match[str]) -> str:
    wanted = TYPE_WORDS.get(match.group("type"), f"of type {match.group('type')}")
    return f"{_name(match)} must be {wanted}; what was given cannot be read as that."


def _missing(match: re.Match[str]) -> str:
    parent = (match.group("parent") or "").replace(" -> ", ".")
    names = match.group("names")
    return f"{parent} must have {names}." if parent else f"{names} must be given."


def _choices(match: re.Match[str]) -> str:
    return f"{_name(match)} must be one of {match.group('choices')}; it is {match.group('got')}."


def _unknown(match: re.Match[str]) -> str:
    parents = {name.rpartition(".")[0] for name in match.group("names").split(", ")}
    names = ", ".join(name.rpartition(".")[2] for name in match.group("names").split(", "))
    known = match.group("known")
    return f"{', '.join(sorted(parents))} has no {names}; it may have {known}."


_SAYINGS: dict[re.Pattern[str], Callable[[re.Match[str]], str]] = {
    _CONVERT: _convert,
    _MISSING: _missing,
    _CHOICES: _choices,
    _UNKNOWN: _unknown,
}
