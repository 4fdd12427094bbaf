# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How single things read: marks, instants, quantities, and text that came from elsewhere."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..module_utils.common.shapes import is_number

LEVEL_MARKS = {"ok": "✓", "warn": "⚠", "fail": "✗", "info": "·"}
VERDICT_MARKS = {"pass": "✓", "fail": "🚨", "unknown": "?"}
NOT_MEASURED = "not measured"
#: What Ansible's types of arguments are called.
TYPE_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "dict": "a dictionary",
    "list": "a list",
}

_OPS = {"<=": "≤", ">=": "≥", "==": "="}
_BOUNDS = {"<=": "at worst", ">=": "at least", "==": "="}
# Direction marks, overrides and isolates, and the invisible ones that hide in a word. Source: Unicode Annex 9, 2.
_BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def escape_line(text: object) -> str:
    """Return ``text`` as one line that no terminal or XML parser takes for a command.

    Log lines of the system under test end up here: line breaks become spaces, other control characters,
    text-direction overrides and lone surrogates their escapes.
    """
    words = str(text)
    if (
        words.isprintable()
    ):  # so it has none of them: a page of a hundred hosts asks a quarter of a million times
        return words.strip()
    out = []
    for char in words:
        if char in "\t\n\r\v\f\x85\u2028\u2029":
            out.append(" ")
        elif (
            unicodedata.category(char) in ("Cc", "Cs") or ord(char) in _BIDI or ord(char) in (0xFFFE, 0xFFFF)
        ):
            out.append(char.encode("unicode_escape").decode("ascii"))
        else:
            out.append(char)
    return "".join(out).strip()


def clip_text(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters, with an ellipsis where something was left out."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def wrap_line(line: str, width: int) -> list[str]:
    """Return a line as lines of at most ``width`` columns, broken at blanks, the later ones indented further.

    A path stays whole, and in its line: whoever copies it wants it so.
    """
    if count_columns(line) <= width:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()) + 4, width // 3)
    first, *rest = re.findall(r" *\S+", line) or [line]
    out = [first]
    for piece in rest:
        if piece.lstrip().startswith("/") or count_columns(out[-1] + piece) <= width:
            out[-1] += piece
        else:
            out.append(indent + piece.lstrip())
    return out


def count_columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes: 🚨 takes two. Source: Unicode Annex 11."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def pad_text(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` filled up with blanks to ``width`` columns; with ``right`` the blanks come first."""
    blanks = " " * max(width - count_columns(text), 0)
    return f"{blanks}{text}" if right else f"{text}{blanks}"


def level_mark(level: object) -> str:
    """Return the mark of a log line's level; an unknown level reads as plain information."""
    return LEVEL_MARKS.get(str(level), LEVEL_MARKS["info"])


def verdict_mark(verdict: object) -> str:
    """Return ✓, 🚨 or ?; whatever is not a verdict reads ?."""
    return VERDICT_MARKS.get(str(verdict), VERDICT_MARKS["unknown"])


def truth_mark(holds: bool | None) -> str:
    """Return the mark of something that holds, does not, or is not known."""
    return VERDICT_MARKS["unknown" if holds is None else "pass" if holds else "fail"]


def utc_now() -> str:
    """Return the controller's time as ISO 8601 UTC with milliseconds."""
    return f"{datetime.now(timezone.utc).isoformat(timespec='milliseconds')[:-6]}Z"


def parse_time(at: str) -> datetime:
    """Return an ISO 8601 time with zone ``Z`` as datetime. Raises ValueError if it is none.

    Digits beyond microseconds are cut off: datetime cannot hold them, and Python 3.9 would refuse them.
    """
    head, dot, fraction = at.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}{dot}{fraction[:6].ljust(6, '0') if dot else ''}+00:00")


def format_stamp(at: object) -> str:
    """Return ISO 8601 time ``at`` as ``2026-11-23 18:00:00``; without a usable time, the controller's."""
    try:
        return f"{parse_time(str(at)):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"


def clock_time(at: str | None) -> str:
    """Return the time of day of ISO 8601 time ``at`` with milliseconds, ``?`` for none."""
    return "?" if at is None else at[11:23]


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return the seconds from one ISO 8601 time to another, None if either is missing."""
    if start is None or end is None:
        return None
    return (parse_time(end) - parse_time(start)).total_seconds()


def log_line(at: object, level: object, text: object, host: str = "") -> str:
    """Return ``[2026-11-23 18:00:00] ✓ Docker found``; ``host``, if given, stands in front of the text."""
    return f"[{format_stamp(at)}] {level_mark(level)} {f'{escape_line(host)}: ' if host else ''}{escape_line(text)}"


def format_number(value: float, against: object = None) -> str:
    """Return a number with three significant digits or all of its integer ones.

    More digits are shown where fewer would make ``value`` look equal to the number it is held ``against``:
    nobody shall read "1 s (≤ 1 s)" beside an alarm.
    """
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    other = float(against) if is_number(against) else None
    while digits < 9 and ((round(value, digits) == 0) or (round(value, digits) == other != value)):
        digits += 1
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_scalar(value: object, against: object = None) -> str:
    """Return a value of a record in words: yes, no, a number, or its own text."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return format_number(value, against)
    return escape_line(value)


def outcome_text(record: Mapping[str, Any]) -> str:
    """Return the outcome of a run or a host and what stayed open beside it: ``passed, data loss not measured``."""
    outcome = str(record["outcome"])
    still_open = record.get("open_questions") or [] if outcome in ("passed", "failed") else []
    return ", ".join([outcome, *map(escape_line, still_open)])


def format_quantity(value: object, unit: str | None = None, against: object = None) -> str:
    """Return a scalar or an interval [low, high] with its unit; ``not measured`` (without unit) for None."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, (list, tuple)):
        return f"{_interval([float(each) for each in value], against)}{_unit(unit)}"
    return f"{format_scalar(value, against)}{_unit(unit)}"


def _interval(ends: list[float], against: object) -> str:
    """Return ``6.090 to 6.104``: both ends with as many digits as its width needs to be seen."""
    width = max(ends) - min(ends)
    if not width:
        return format_number(ends[0], against)
    digits = min(max(1 - math.floor(math.log10(width)), 0), 9)
    return " to ".join(f"{each:.{digits}f}" for each in ends)


def format_span(low: float, high: float, unit: str | None = None, against: object = None) -> str:
    """Return ``0.3 to 71.2 s``: the least and the most of several hosts, each as precise as it would read alone."""
    ends = [format_number(low, against), format_number(high, against)]
    text = _interval([low, high], against) if ends[0] == ends[1] else " to ".join(ends)
    return f"{text}{_unit(unit)}"


def _unit(unit: str | None) -> str:
    return f" {escape_line(unit)}" if unit and unit != "ratio" else ""


def format_threshold(limit: Mapping[str, Any] | None, unit: str | None) -> str:
    """Return ``(≤ 1 s)``, or nothing where there is no threshold."""
    if limit is None:
        return ""
    # "0 of 1055 orders (= 0)": a unit that counts a whole belongs to the value alone.
    shown = None if limit["op"] == "==" or (unit or "").startswith("of ") else unit
    # On a scale of words (nothing, slowness, errors, crashed) a bound is the worst or the least that is borne.
    op = (_BOUNDS if isinstance(limit["value"], str) else _OPS)[limit["op"]]
    return f"({op} {format_quantity(limit['value'], shown)})"


def leftover_text(left: Mapping[str, Any]) -> str:
    """Return ``cgroup memory.max of trading-api: 512 → 64`` of one leftover."""
    before, after = ("none" if left[key] is None else format_scalar(left[key]) for key in ("before", "after"))
    return f"{escape_line(left['kind'])} {escape_line(left['what'])}: {before} → {after}"
