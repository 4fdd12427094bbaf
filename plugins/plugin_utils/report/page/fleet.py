# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts on a page: how far apart a fault began on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...words import format_number
from .svg import Drawing
from .words import to_epoch

Host = Mapping[str, Any]
_LEFT, _WIDTH, _ROW, _TOP = 190.0, 560.0, 16.0, 26.0
#: Of more hosts the first and the last are drawn; the table above has all of them.
MOST = 40


def fault_starts(hosts: Sequence[Host], fault: str) -> list[tuple[str, float, float]]:
    """Return host, start on the controller's clock (ms of the epoch) and its doubt (ms), the earliest first."""
    found = []
    for host in hosts:
        offset, doubt = (host["clock"][key] or 0.0 for key in ("offset_ms", "uncertainty_ms"))
        found += [
            (str(host["host"]), to_epoch(each["injected_at"]) * 1000 - offset, doubt)
            for each in host["faults"]
            if each["id"] == fault and each["injected_at"]
        ]
    return sorted(found, key=lambda each: each[1])


def draw_spread(hosts: Sequence[Host], fault: str) -> Markup | None:
    """Return when a fault began on each host, from the first on; None for less than two hosts."""
    known = fault_starts(hosts, fault)
    if len(known) < 2:
        return None
    shown = known if len(known) <= MOST else [*known[: MOST // 2], *known[-MOST // 2 :]]
    first = known[0][1]
    most = max(at - first + doubt for _host, at, doubt in known) or 1.0
    drawing = Drawing(
        _LEFT + _WIDTH + 90, _TOP + _ROW * len(shown) + 8, f"Start of {fault} on {len(known)} hosts"
    )
    drawing.text(_LEFT, 14, f"fault {fault}: start after the first host's, ms", font_weight="600")
    for index, (host, at, doubt) in enumerate(shown):
        y = _TOP + _ROW * index
        x, wide = _LEFT + (at - first) / most * _WIDTH, max(doubt / most * _WIDTH, 0.5)
        title = f"{host}: {format_number(round(at - first, 3))} ms ± {format_number(doubt)} ms"
        drawing.text(_LEFT - 8, y + 10, host[:28], "faint", "end")
        drawing.rect(x - wide, y + 4, 2 * wide, 4, "fault", title=title)
        drawing.rect(x - 1.5, y + 1, 3, 10, "bad", title=title)
        drawing.text(x + wide + 6, y + 10, format_number(round(at - first, 3)), "faint", font_size="10")
    return drawing.markup()
