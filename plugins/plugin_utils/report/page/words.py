# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How text and times read on a page: nothing that came from elsewhere keeps a character that acts."""

from __future__ import annotations

from typing import Any

from ....module_utils.common.clock import read_date
from ...words import VERDICT_MARKS, escape_line, format_number, parse_time, verdict_mark

#: So many characters of one text are shown; what is longer is cut, and says so.
LONGEST = 2000


def harmless_text(text: object) -> str:
    """Return ``text`` as one line without control characters or direction marks, cut if it is very long.

    Escaping is not done here: jinja2 and the standard library's XML writer do it where the text is set.
    """
    return escape_line(cut_text(str(text)))


def cut_text(text: str) -> str:
    """Return ``text``, cut if it is very long, with a word on how much is missing."""
    return text if len(text) <= LONGEST + 40 else f"{text[:LONGEST]}… ({len(text) - LONGEST} characters more)"


def bound_texts(value: Any) -> Any:
    """Return a record with every long text in it cut, before anything is made of it."""
    if isinstance(value, dict):
        return {cut_text(str(key)): bound_texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bound_texts(each) for each in value]
    return cut_text(value) if isinstance(value, str) else value


def mark(verdict: object) -> str:
    """Return ✓, ✗ or ?: a server or a phone may have no picture for the alarm of the log."""
    return plain_marks(verdict_mark(verdict))


def plain_marks(text: str) -> str:
    """Return ``text`` with marks that every font has."""
    return text.replace(VERDICT_MARKS["fail"], "✗")


def short_number(value: float) -> str:
    """Return a number in few characters: ``16k``, ``1M``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return format_number(value)


def to_epoch(at: str) -> float:
    """Return an ISO 8601 time as seconds of the epoch."""
    return parse_time(at).timestamp()


def time_of_day(at: float, digits: int = 3) -> str:
    """Return seconds of the epoch as a time of day in UTC, ``18:00:03.250``."""
    text = f"{read_date(at):%H:%M:%S.%f}"
    return text[: 8 + (1 + digits if digits else 0)]
