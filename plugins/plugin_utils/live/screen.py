# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the console callback shows: a live line for the observation windows, and which colour a line has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.common.shapes import is_number
from ..words import clip_text, escape_line, format_number

_BAR = 20
_ERASE = "\r\x1b[K"


def progress_line(state: Mapping[str, Any], host: str = "") -> str:
    """Return the live line of a ``chaos_progress``; what it lacks is left out.

    state: phase, elapsed_s, total_s, requests, errors, p50_ms, text; each may be missing or null. A text says it all
    in the module's own words; without one, the line is made of the rest.
    """
    told = escape_line(state.get("text") or "")
    if not told:
        counts = [
            f"{format_number(float(state[key]))} {word}" for key, word in _COUNTS if is_number(state.get(key))
        ]
        if is_number(state.get("p50_ms")):
            counts.append(f"p50 {format_number(float(state['p50_ms']))} ms")
        told = "  ".join(
            filter(None, (escape_line(state.get("phase") or ""), _time(state), ", ".join(counts)))
        )
    return "  ".join(filter(None, (f"{escape_line(host)}:" if host else "", _bar(state), told)))


_COUNTS = (("requests", "requests"), ("errors", "failed"))


def _time(state: Mapping[str, Any]) -> str:
    elapsed, total = state.get("elapsed_s"), state.get("total_s")
    if not is_number(elapsed):
        return ""
    return f"{elapsed:.0f} of {total:.0f} s" if is_number(total) else f"{elapsed:.0f} s"


def _bar(state: Mapping[str, Any]) -> str:
    elapsed, total = state.get("elapsed_s"), state.get("total_s")
    if not is_number(elapsed) or not is_number(total) or not total:
        return ""
    filled = round(_BAR * min(max(float(elapsed or 0) / float(total), 0.0), 1.0))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


class LiveLine:
    """The one line of a terminal that is written over in place; elsewhere each state is a line of its own."""

    def __init__(self, tty: bool, width: int) -> None:
        self.tty = tty
        self.width = width
        self._shown = False

    def update(self, line: str) -> str:
        """Return what to write for ``line``; on a terminal without a line feed."""
        if not self.tty:
            return f"{line}\n"
        self._shown = True
        return f"{_ERASE}{clip_text(line, self.width - 1)}"

    def clear(self) -> str:
        """Return what to write before anything else is shown."""
        shown, self._shown = self._shown, False
        return _ERASE if shown else ""
