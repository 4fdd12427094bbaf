# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of one host or of a fleet as lines: what holds everywhere is one line, what fails names its host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...module_utils.common.shapes import is_number
from ..words import NOT_MEASURED, escape_line, format_quantity, format_scalar, format_span, format_threshold

Finding = Mapping[str, Any]
#: Number, what is said, verdict.
Line = tuple[int, str, str]
#: So many hosts are told one by one, in lines or by name; of more, the number is told.
APART = 3
VERDICTS = ("fail", "unknown", "pass")
_WHOLE = re.compile(r"of (\d+) (.+)")


def finding_text(finding: Finding) -> str:
    """Return ``Recovery: 0.86 to 0.9 s (≤ 60 s)``: title, value, unit and threshold of one finding."""
    limit, unit = finding["threshold"], finding["unit"]
    value = format_quantity(finding["value"], unit, limit["value"] if limit else None)
    return " ".join(
        filter(None, (f"{escape_line(finding['title'])}: {value}", format_threshold(limit, unit)))
    )


def number_findings(record: Mapping[str, Any]) -> list[tuple[int, str, Finding]]:
    """Return all findings of all hosts with their number and, if there are several hosts, their host's name.

    With several hosts the same finding has the same number on each, and they stand together, the bad ones first.
    """
    hosts = record["hosts"]
    if len(hosts) == 1:
        return [(index, "", each) for index, each in enumerate(hosts[0]["findings"], 1)]
    numbers: dict[str, int] = {}
    found = [
        (numbers.setdefault(each["id"], len(numbers) + 1), escape_line(host["host"]), each)
        for host in hosts
        for each in host["findings"]
    ]
    return sorted(found, key=lambda each: (each[0], VERDICTS.index(each[2]["verdict"])))


def render_findings(record: Mapping[str, Any], apart: int = APART) -> list[Line]:
    """Return the lines of the key findings; those of several hosts bad ones first, one line where hosts agree.

    apart: what fails on so many hosts has a line for each; on more, one line with the range and the hosts.
    """
    found = number_findings(record)
    if len(record["hosts"]) == 1:
        return [(index, finding_text(each), each["verdict"]) for index, _host, each in found]
    alike: dict[tuple[Any, ...], list[tuple[str, Finding]]] = {}
    for index, host, each in found:
        limit = json.dumps(each["threshold"], sort_keys=True)
        alike.setdefault((index, each["title"], _kind(each["unit"]), limit), []).append((host, each))
    out = [line for (index, *_same), group in alike.items() for line in _of_group(index, group, apart)]
    return sorted(out, key=lambda line: VERDICTS.index(line[2]))  # stable: in the order of their numbers


def _of_group(index: int, group: Sequence[tuple[str, Finding]], apart: int) -> Iterable[Line]:
    """Yield the lines of one finding: those it fails on, those it is unknown on, those it holds on."""
    for verdict in VERDICTS:
        part = [(host, each) for host, each in group if each["verdict"] == verdict]
        if len(part) == 1 or (verdict == "fail" and len(part) <= apart):
            for host, each in sorted(part, key=lambda one: -_badness(one[1])):
                yield index, f"{host}: {finding_text(each)}", verdict
        elif part:
            yield index, _together(part, len(group), verdict), verdict


def _together(part: Sequence[tuple[str, Finding]], of: int, verdict: str) -> str:
    """Return ``Recovery: 0.3 to 0.9 s on 3 hosts (≤ 60 s)`` of a finding that reads alike on several hosts."""
    first = part[0][1]
    limit = first["threshold"]
    count = f"{len(part)} of {of} hosts" if len(part) < of else f"{of} hosts"
    named = verdict != "pass" and len(part) <= APART and len(part) < of
    if named:
        count = ", ".join(host for host, _each in part)
    text = f"{escape_line(first['title'])}: {_range([each for _host, each in part])} on {count}"
    known = [one for one in part if one[1]["value"] is not None]
    if 0 < len(known) < len(part):
        text += f", {len(part) - len(known)} of them {NOT_MEASURED}"
    if verdict == "fail" and known and not named:
        text += f", worst {max(known, key=lambda one: _badness(one[1]))[0]}"
    return " ".join(filter(None, (text, format_threshold(limit, _unit([first])))))


def _range(found: Sequence[Finding]) -> str:
    """Return what several hosts measured: from the least to the most, or the words that were found."""
    limit = found[0]["threshold"]
    against, unit = (limit["value"] if limit else None), _unit(found)
    values = [each["value"] for each in found if each["value"] is not None]
    if not values:
        return NOT_MEASURED
    ends = [
        float(end)
        for value in values
        for end in (value if _is_interval(value) else [value])
        if is_number(end)
    ]
    if len(ends) == sum(2 if _is_interval(value) else 1 for value in values):
        text = format_span(min(ends), max(ends), unit, against)
    else:
        text = format_quantity(" or ".join(dict.fromkeys(format_scalar(value) for value in values)), unit)
    return text


def _is_interval(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _kind(unit: str | None) -> str | None:
    """Return a unit without the count in it: ``of 1055 orders`` and ``of 1048 orders`` are alike."""
    counted = _WHOLE.fullmatch(unit or "")
    return f"of {counted[2]}" if counted else unit


def _unit(found: Sequence[Finding]) -> str | None:
    """Return the unit of several findings, ``of 1048 to 1055 orders`` where each counts another whole."""
    counted = [_WHOLE.fullmatch(each["unit"] or "") for each in found]
    wholes = [int(match[1]) for match in counted if match]
    if len(wholes) < len(found) or not wholes:
        unit: str | None = found[0]["unit"]
        return unit
    match = counted[0]
    return f"of {format_span(min(wholes), max(wholes))} {match[2] if match else ''}"


def _badness(finding: Finding) -> float:
    """Return how far a value lies to the wrong side; one that was not measured, or is a word, comes first."""
    value, limit = finding["value"], finding["threshold"]
    high = value[-1] if _is_interval(value) and value else value
    if not is_number(high):
        return float("inf")
    return -float(high) if limit and limit["op"] == ">=" else float(high)
