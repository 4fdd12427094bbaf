# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of an application's log is worth as evidence: is it a complaint, or only a request that was counted?

Pure. Levels: the names of syslog(3) and of the usual logging libraries, as a word in capitals, as ``level=warn``, in
JSON, or as the first word. An access line is one with the Common Log Format's request (``"GET /path HTTP/1.1" 200``),
or one that has a method, a path and a status as fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LEVELS = {
    **dict.fromkeys(("trace", "debug", "verbose", "info", "information", "notice", "log"), 0),
    **dict.fromkeys(("warn", "warning"), 1),
    **dict.fromkeys(("error", "err", "severe"), 2),
    **dict.fromkeys(("critical", "crit", "fatal", "panic", "alert", "emerg", "emergency"), 3),
}
_WARNING = 1
_WORDS = "|".join(sorted(_LEVELS, key=len, reverse=True))
#: A field named for it, whatever the case of its value; else a word of its own in capitals near the beginning.
_FIELD = re.compile(
    rf"""["']?\b(?:level|lvl|severity|loglevel|log\.level)["']?\s*[=:]\s*["']?({_WORDS})\b""", re.IGNORECASE
)
_CAPITALS = re.compile(rf"(?<![\w/]){'(' + _WORDS.upper() + ')'}(?![\w/])")
#: uvicorn, logrus and others: ``info:`` or ``[info]`` as the first word of all
_FIRST = re.compile(rf"^\W*({_WORDS})\W*(?::|\]|\s{{2,}})", re.IGNORECASE)
#: So many characters at the beginning are where a level stands; further on the same word is part of a message.
_HEAD = 120
_METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE"
_ACCESS = (
    re.compile(rf"\b(?:{_METHODS})\s+\S+\s+HTTP/\d"),
    re.compile(rf"""["']?\bmethod["']?\s*[=:]\s*["']?(?:{_METHODS})\b.*\bstatus""", re.IGNORECASE),
    re.compile(rf"""\bstatus["']?\s*[=:].*\bmethod["']?\s*[=:]\s*["']?(?:{_METHODS})\b""", re.IGNORECASE),
    re.compile(rf"\|\s*\d{{3}}\s*\|.*\|\s*(?:{_METHODS})\s+\S"),
)


def level_of(text: str) -> int | None:
    """Return 0 below a warning, 1 a warning, 2 an error, 3 worse; None where the line tells no level."""
    found = _FIELD.search(text) or _FIRST.search(text[:_HEAD]) or _CAPITALS.search(text[:_HEAD])
    return None if found is None else _LEVELS[found.group(1).lower()]


def is_access_line(text: str) -> bool:
    """Return whether a line tells of one request that was answered."""
    return any(pattern.search(text) for pattern in _ACCESS)


def is_complaint(text: str) -> bool:
    """Return whether a line may be what an application says of a failure: no access line, no level below a warning."""
    level = level_of(text)
    return not is_access_line(text) and (level is None or level >= _WARNING)


def worth_showing(lines: Iterable[str], most: int) -> list[str]:
    """Return at most so many lines that say something, in their order: the last warnings and errors, the last line.

    Where nothing is a complaint, the last lines that are no access lines; of equal lines only the last.
    """
    known = [line for line in lines if line.strip()]
    told = [line for line in known if (level_of(line) or 0) >= _WARNING and not is_access_line(line)]
    told = told or [line for line in known if not is_access_line(line)]
    shown: dict[str, int] = {}
    for place, line in enumerate(known):
        if line in told or place == len(known) - 1:
            shown[_without_time(line)] = place
    return [known[place] for place in sorted(shown.values())[-most:]]


def _without_time(line: str) -> str:
    """The line without its numbers, so that the same complaint a second later is the same."""
    return re.sub(r"\d+", "0", line)
