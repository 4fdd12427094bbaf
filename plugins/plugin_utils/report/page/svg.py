# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings as SVG elements, written by the standard library: it escapes, so no text can end its element.

Every colour is an attribute and has a class beside it: a page whose styles a server forbids is still in colour, and
where they are allowed they bring the dark scheme. Source: SVG 1.1, sections 6.4 (presentation attributes) and 5.4.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from markupsafe import Markup

from .words import harmless_text

#: Class by what a thing means, and its colour where no style is allowed.
COLOURS = {
    "ok": "#3b6ea8",
    "bad": "#c7361b",
    "good": "#2e8b6f",
    "warn": "#b7791f",
    "fault": "#f2b27a",
    "placebo": "#b9cdf0",
    "steady": "#dfe7df",
    "unsteady": "#fdf3dc",
    "p50": "#1d3557",
    "p95": "#6a4c93",
    "p99": "#a8326e",
    "grid": "#d5d8dc",
    "text": "#30363d",
    "faint": "#57606a",
    "before": "#57606a",
    "during": "#c7361b",
    "after": "#2e8b6f",
}
#: For things told apart by their order alone, such as kinds of errors.
KINDS = ("bad", "warn", "p95", "p99", "p50", "faint", "ok", "good")


class Drawing:
    """One SVG. Lengths are units of its view box; they are pixels where it is shown in its own size."""

    def __init__(self, width: float, height: float, title: str, name: str = "") -> None:
        self.root = ET.Element(
            "svg",
            {
                "viewBox": f"0 0 {_number(width)} {_number(height)}",
                "width": _number(width),
                "height": _number(height),
                "role": "img",
                "aria-label": harmless_text(title),
                "font-family": "system-ui, sans-serif",
                "font-size": "11",
            },
        )
        if name:
            self.root.set("id", name)

    def group(self, title: str = "", **attributes: object) -> ET.Element:
        """Return a new group; a pointer on anything in it shows its title."""
        return _titled(self._add(None, "g", attributes), title)

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str = "", parent: ET.Element | None = None,
        title: str = "", **attributes: object,
    ) -> ET.Element:  # fmt: skip
        """Draw a filled rectangle."""
        made = self._add(
            parent, "rect", {"x": x, "y": y, "width": max(width, 0), "height": max(height, 0), **attributes}
        )
        return self._filled(made, kind, title)

    def line(
        self, start: tuple[float, float], end: tuple[float, float], kind: str, width: float = 1, title: str = "",
        **more: object,
    ) -> ET.Element:  # fmt: skip
        """Draw a straight line."""
        ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
        made = self._add(None, "line", {**ends, "stroke_width": width, **more})
        made.set("class", f"s-{kind}")
        made.set("stroke", COLOURS[kind])
        return _titled(made, title)

    def path(self, data: str, kind: str, width: float = 1.2, title: str = "", **more: object) -> ET.Element:
        """Draw an open path, not filled."""
        made = self._add(None, "path", {"fill": "none", "stroke_width": width, **more})
        made.set("d", data)  # as long as it is: places are ours, not words
        made.set("class", f"s-{kind}")
        made.set("stroke", COLOURS[kind])
        return _titled(made, title)

    def dots(
        self, points: Iterable[tuple[float, float]], kind: str, size: float, **more: object
    ) -> ET.Element:
        """Draw dots as the round ends of lines without length, each told from the one before: eight bytes."""
        data, last = [], (0.0, 0.0)
        for x, y in ((round(x, 1), round(y, 1)) for x, y in points):
            data.append(f"m{_number(x - last[0])} {_number(y - last[1])}h0")
            last = (x, y)
        made = self.path("".join(data), kind, size)
        made.set("stroke-linecap", "round")
        for name, value in more.items():
            made.set(name.replace("_", "-"), harmless_text(value))
        return made

    def text(
        self, x: float, y: float, words: object, kind: str = "text", anchor: str = "start",
        parent: ET.Element | None = None, **more: object,
    ) -> ET.Element:  # fmt: skip
        """Write one line of text."""
        made = self._add(parent, "text", {"x": x, "y": y, "text_anchor": anchor, **more})
        made.set("class", kind)
        made.set("fill", COLOURS[kind])
        made.text = harmless_text(words)
        return made

    def markup(self) -> Markup:
        """Return the drawing as HTML that needs no more escaping."""
        # whatever stands in it was escaped by the serialiser of the standard library
        return Markup(ET.tostring(self.root, encoding="unicode", short_empty_elements=True))

    def _filled(self, made: ET.Element, kind: str, title: str) -> ET.Element:
        if kind:
            made.set("class", kind)
            made.set("fill", COLOURS[kind])
        return _titled(made, title)

    def _add(self, parent: ET.Element | None, tag: str, attributes: dict[str, object]) -> ET.Element:
        target = self.root if parent is None else parent
        return ET.SubElement(
            target,
            tag,
            {
                name.rstrip("_").replace("_", "-"): _number(value)
                if isinstance(value, (int, float))
                else harmless_text(value)
                for name, value in attributes.items()
                if value is not None
            },
        )


def _titled(made: ET.Element, title: str) -> ET.Element:
    """Give an element what a pointer that rests on it shows, without any script."""
    if title:
        ET.SubElement(made, "title").text = harmless_text(title)
    return made


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
