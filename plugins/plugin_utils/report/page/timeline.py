# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one picture of a run: time from left to right, every fault shaded, cause and effect one above the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ...record.samples import Samples, Span
from ...words import clock_time
from . import lanes
from .axes import TimeAxis
from .lanes import Lane
from .svg import Drawing
from .words import harmless_text, time_of_day, to_epoch

Host = Mapping[str, Any]

LEFT, WIDTH, RIGHT = 150.0, 1000.0, 56.0
_HEAD, _GAP, _FOOT = 44.0, 9.0, 24.0


def span_of(host: Host, started_at: str, ended_at: str) -> Span:
    """Return the time that the timeline of a host shows: its phases and faults with a little around them.

    Without either, the whole run. Raises ValueError for times that are none.
    """
    times = [phase[key] for phase in host["phases"] for key in ("started_at", "ended_at")]
    times += [fault[key] for fault in host["faults"] for key in ("injected_at", "undone_at") if fault[key]]
    found = [to_epoch(at) for at in times] or [to_epoch(started_at), to_epoch(ended_at)]
    margin = max((max(found) - min(found)) * 0.02, 0.2)
    return Span(min(found) - margin, max(found) + margin)


def draw_timeline(host: Host, samples: Samples, name: str, dots: int, full: bool = True) -> Markup:
    """Return the timeline of a host as SVG. ``name`` begins its ids, ``dots`` is how many good requests it draws.

    full: see :func:`lanes.make_lanes`.
    """
    axis = TimeAxis(samples.span, LEFT, WIDTH)
    rows = [lane for lane in lanes.make_lanes(samples, dots, full) if lane is not None]
    height = _HEAD + sum(lane.height + _GAP for lane in rows) + _FOOT
    start, end = (time_of_day(at, 0) for at in (samples.span.start, samples.span.end))
    title = f"Timeline of {host['host']} from {start} to {end} UTC"
    drawing = Drawing(LEFT + WIDTH + RIGHT, height, title, f"{name}-timeline")
    drawing.root.set("data-from", f"{samples.span.start:.6f}")
    drawing.root.set("data-to", f"{samples.span.end:.6f}")
    drawing.root.set("data-left", f"{LEFT:.1f}")
    drawing.root.set("data-width", f"{WIDTH:.1f}")
    bottom = height - _FOOT
    _shade(drawing, axis, host, bottom)
    _ticks(drawing, axis, bottom)
    top = _HEAD
    for lane in rows:
        _label(drawing, lane, top, name)
        lane.draw(drawing, axis, top)
        top += lane.height + _GAP
    _undo(drawing, axis, host, bottom)
    return drawing.markup()


def _shade(drawing: Drawing, axis: TimeAxis, host: Host, bottom: float) -> None:
    """Shade the steady state, the placebo and each fault; names stand above in as many rows as they need."""
    bands = [(phase["started_at"], phase["ended_at"], *_meaning(phase)) for phase in host["phases"]]
    bands = [band for band in bands if band[2]]
    bands += [
        (fault["injected_at"], fault["undone_at"], "fault", fault["id"], _fault_title(fault))
        for fault in host["faults"]
        if fault["injected_at"]
    ]
    placebo = host.get("placebo")
    shown = any(kind == "placebo" for _begun, _ended, kind, _named, _title in bands)
    if not shown and isinstance(placebo, Mapping) and placebo.get("started_at") and placebo.get("ended_at"):
        text = "Placebo: the same load and the same observing, without a fault"
        bands.append((placebo["started_at"], placebo["ended_at"], "placebo", "placebo", text))
    taken = [0.0, 0.0, 0.0]  # how far to the right each row of names is written
    for begun, ended, kind, named, title in bands:
        x = axis.x(to_epoch(begun))
        end = axis.x(to_epoch(ended)) if ended else axis.left + axis.width
        drawing.rect(
            x, _HEAD - 4, max(end - x, 1), bottom - _HEAD + 4, kind, title=title,
            opacity="0.45" if kind == "fault" else "0.6", data_band=kind, data_name=named,
            data_from=f"{to_epoch(begun):.6f}", data_to=f"{to_epoch(ended):.6f}" if ended else "",
        )  # fmt: skip
        words = {"steady": "steady state", "unsteady": "not steady yet", "placebo": "placebo"}.get(
            kind, f"fault: {named}"
        )
        row = next((index for index, used in enumerate(taken) if used <= x), len(taken) - 1)
        taken[row] = x + 6.2 * len(harmless_text(words)) + 8
        drawing.text(x + 2, 12 + 12 * row, words, font_weight="600" if kind == "fault" else "400")


def _meaning(phase: Host) -> tuple[str, str, str]:
    """Return class, name and words of the band of a phase, class "" for one that is no band of its own."""
    if phase["fault"] is not None:
        return "", "", ""
    if str(phase["id"]).startswith("unsteady"):
        return "unsteady", phase["id"], "Before any fault, while the exchange was not steady yet"
    kind = "placebo" if "placebo" in phase["id"] else "steady"
    what = "the same load and observing, without a fault" if kind == "placebo" else "before any fault"
    return kind, phase["id"], f"{phase['id']}: {what}"


def _fault_title(fault: Host) -> str:
    undone = (
        f"undone {clock_time(fault['undone_at'])} by {fault['undone_by']}"
        if fault["undone_at"]
        else "not undone"
    )
    return f"{fault['id']}: {fault['kind']} of {fault['target']}, injected {clock_time(fault['injected_at'])}, {undone}"


def _undo(drawing: Drawing, axis: TimeAxis, host: Host, bottom: float) -> None:
    """Mark each undo with a line from top to bottom."""
    for fault in host["faults"]:
        if fault["undone_at"]:
            x = axis.x(to_epoch(fault["undone_at"]))
            title = f"undo of {fault['id']}, {clock_time(fault['undone_at'])}, by {fault['undone_by']}"
            drawing.line(
                (x, _HEAD - 4), (x, bottom), "good", 1.5, title, stroke_dasharray="5 3", data_undo=fault["id"]
            )


def _ticks(drawing: Drawing, axis: TimeAxis, bottom: float) -> None:
    digits = 1 if axis.span.seconds < 5 else 0
    for at in axis.ticks():
        x = axis.x(at)
        drawing.line((x, _HEAD), (x, bottom), "grid", 0.6)
        drawing.text(x, bottom + 14, time_of_day(at, digits), "faint", "middle")


def _label(drawing: Drawing, lane: Lane, top: float, name: str) -> None:
    link = drawing.group(id=f"{name}-{lane.name}")
    drawing.text(LEFT - 8, top + 10, lane.title, anchor="end", parent=link, font_weight="600")
    for index, (note, kind) in enumerate(lane.notes):
        drawing.text(LEFT - 8, top + 23 + 12 * index, note, kind, "end", parent=link, font_size="10")
    drawing.line((LEFT, top + lane.height), (LEFT + WIDTH, top + lane.height), "grid")
