# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who connected to whom, as the kernel saw it, with the targets of the faults marked."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from markupsafe import Markup

from ...record.samples import Link
from .svg import Drawing
from .words import harmless_text

_WIDTH, _BOX, _TALL = 640.0, 132.0, 30.0
#: More services than this no circle holds; the table beside it has all of them.
MOST = 16


def draw_service_map(links: Mapping[tuple[str, str], Link], targets: Collection[str]) -> Markup:
    """Return the services on an ellipse, an arrow for each pair that connected, wider the more often."""
    names = sorted({name for pair in links for name in pair})[:MOST]
    height = 260.0 if len(names) < 6 else 380.0
    places = {name: _place(index, len(names), height) for index, name in enumerate(names)}
    drawing = Drawing(_WIDTH, height, f"Service map: {len(names)} services, {len(links)} links")
    for (who, peer), link in links.items():
        if who in places and peer in places:
            _arrow(drawing, places[who], places[peer], link, f"{who} to {peer}: {describe_link(link)}")
    for name, (x, y) in places.items():
        target = name in targets
        drawing.rect(
            x - _BOX / 2, y - _TALL / 2, _BOX, _TALL, "fault" if target else "steady", rx="5",
            title=f"{name}{': a fault was aimed at it' if target else ''}",
        )  # fmt: skip
        drawing.text(x, y + 4, harmless_text(name)[:20], anchor="middle", font_weight="600", paint="on")
    return drawing.markup()


def describe_link(link: Link) -> str:
    """Return a link in words."""
    parts = [f"{link.made} connected"]
    parts += [f"{link.refused} failed or reset"] if link.refused else []
    parts += [f"{link.retransmits} retransmits"] if link.retransmits else []
    return ", ".join(parts)


def _place(index: int, number: int, height: float) -> tuple[float, float]:
    angle = 2 * math.pi * index / max(number, 1) - math.pi / 2
    return (
        _WIDTH / 2 + (_WIDTH / 2 - _BOX / 2 - 8) * math.cos(angle),
        height / 2 + (height / 2 - _TALL / 2 - 8) * math.sin(angle),
    )


def _arrow(
    drawing: Drawing, start: tuple[float, float], end: tuple[float, float], link: Link, title: str
) -> None:
    """Draw a link from box to box with a head at its end; red if any try of it failed."""
    tail, head = _edge(start, end), _edge(end, start)
    kind = "bad" if link.refused else "ok"
    width = 1 + min(math.log10(1 + link.made + link.refused), 4)
    angle = math.atan2(head[1] - tail[1], head[0] - tail[0])
    sides = [
        (head[0] - 10 * math.cos(angle + turn), head[1] - 10 * math.sin(angle + turn)) for turn in (0.4, -0.4)
    ]
    data = f"M{tail[0]:.1f} {tail[1]:.1f}L{head[0]:.1f} {head[1]:.1f}"
    data += "".join(f"M{x:.1f} {y:.1f}L{head[0]:.1f} {head[1]:.1f}" for x, y in sides)
    drawing.path(data, kind, width, title, opacity="0.8")


def _edge(start: tuple[float, float], toward: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from the middle of a box to another leaves it."""
    x, y = toward[0] - start[0], toward[1] - start[1]
    share = min(_BOX / 2 / abs(x) if x else math.inf, _TALL / 2 / abs(y) if y else math.inf, 1.0)
    return start[0] + x * share, start[1] + y * share
