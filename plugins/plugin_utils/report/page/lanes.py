# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lanes of the timeline, each drawn from the samples alone."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ....module_utils.common.shapes import is_number
from ....module_utils.common.stats import find_percentile
from ...record.samples import COLUMNS, Band, Requests, Samples, Span
from ...words import format_number
from ..event_lines import format_event
from .axes import LogAxis, TimeAxis, log_axis
from .svg import KINDS, Drawing
from .words import time_of_day

#: Intervals that latencies and counts are summed over: about so many, none shorter than a quarter of a second.
_INTERVALS, _FEW_INTERVALS, _SHORTEST_S = 150, 70, 0.25
#: What interference.jsonl tells, from what hurts most on; a number that stayed 0 has no lane.
_GAUGES = {
    "cpu_others": "Cores: others",
    "psi_cpu": "Waited for a core",
    "psi_io": "Waited for a disk",
    "psi_mem": "Waited for memory",
    "waiting": "Threads waiting",
    "steal": "Cores stolen",
    "run_delay_ms": "Woken late, ms",
    "cpu_exchange": "Cores: exchange",
    "cpu_ours": "Cores: ourselves",
}

Place = tuple[float, float]
Draw = Callable[[Drawing, TimeAxis, float], None]


@dataclass(frozen=True)
class Lane:
    """One lane: its name in links, how it is drawn at a height, and the words beside it with their colours."""

    name: str
    title: str
    height: float
    draw: Draw
    notes: Sequence[tuple[str, str]] = ()


@dataclass
class Interval:
    """What happened within one interval of time."""

    latencies: array[float] = field(default_factory=lambda: array("f"))
    states: Counter[int] = field(default_factory=Counter)


def make_lanes(samples: Samples, dots: int, full: bool = True) -> Iterator[Lane | None]:
    """Yield the lanes from top to bottom; those of which there is nothing are left out.

    full: with words on each mark of the kernel; on a page of many hosts they would be most of it.
    """
    if samples.requests.at:
        found = split_intervals(samples.requests, samples.span, _INTERVALS if full else _FEW_INTERVALS)
        yield _latency(samples.requests, found, dots)
        yield _errors(samples.requests, found)
        yield _throughput(found)
    yield _probes(samples.probes) if samples.probes else None
    yield _containers(samples)
    yield _kernel(samples, full) if samples.kernel else None
    yield from _interference(samples)


def split_intervals(requests: Requests, span: Span, most: int = _INTERVALS) -> tuple[float, list[Interval]]:
    """Return the length of an interval in seconds, and what happened in each, by intended send time."""
    step = max(span.seconds / most, _SHORTEST_S)
    found = [Interval() for _each in range(int(span.seconds / step) + 1)]
    start, end = span.start, span.end
    for at, latency, state in zip(requests.at, requests.latency, requests.state):
        if not start <= at <= end:
            continue
        one = found[int((at - start) / step)]
        one.latencies.append(latency)
        one.states[state] += 1
    return step, found


# -- requests ---------------------------------------------------------------------------------------------------


def _latency(requests: Requests, found: tuple[float, list[Interval]], dots: int) -> Lane:
    height = 230.0

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        values = log_axis(min(requests.latency), max(requests.latency), top, height)
        for tick in values.ticks():
            y, right = values.y(tick), axis.left + axis.width
            drawing.line((axis.left, y), (right, y), "grid", 0.5)
            drawing.text(right + 5, y + 3, f"{format_number(tick)} ms", "faint", font_size="10")
        good, failed = place_dots(requests, axis, values)
        dots_, cell = thin_dots(good, dots)
        drawing.dots(dots_, "ok", max(2.6, cell), opacity="0.6", data_dots="ok", data_cell=cell)
        _percentiles(drawing, axis, values, found)
        drawing.dots(failed, "bad", 3, opacity="0.8", data_dots="failed")

    answered = len(requests.at) - requests.failed
    notes = [("log scale", "faint"), (f"● {answered} answered", "ok"), (f"● {requests.failed} failed", "bad")]
    notes += [(f"— {kind}", kind) for kind in ("p50", "p95", "p99")]
    return Lane("latency", "Latency of each order", height, draw, notes)


def place_dots(requests: Requests, axis: TimeAxis, values: LogAxis) -> tuple[set[Place], list[Place]]:
    """Return the pixels of the good requests, and a place for every one that failed.

    Failed ones that fall on the same half pixel cover each other. The arithmetic of both axes stands here once more,
    since a million calls take seconds.
    """
    start, end = axis.span.start, axis.span.end
    left, across = axis.left, axis.width / axis.span.seconds
    low, high, log = values.low, values.high, math.log
    bottom, up = values.top + values.height, values.height / log(high / low)
    good: set[Place] = set()
    failed: set[Place] = set()
    for at, latency, state in zip(requests.at, requests.latency, requests.state):
        if not start <= at <= end:
            continue  # between the first request and the first phase: not on this timeline
        x = left + (at - start) * across
        y = bottom - log((low if latency < low else latency) / low) * up
        if state:
            failed.add((round(x * 2) / 2, round(y * 2) / 2))
        else:
            good.add((int(x), int(y)))
    return good, sorted(failed)


def thin_dots(good: Collection[Place], most: int) -> tuple[list[Place], int]:
    """Return at most ``most`` dots, and the size of the cell that shows one dot.

    Dots that would lie in the same cell are one: the outline of what happened stays, single slow requests too.
    """
    cell = 1 if len(good) <= most else 2
    while True:
        cells = {(x // cell, y // cell) for x, y in good}
        if len(cells) <= most:
            return [((x + 0.5) * cell, (y + 0.5) * cell) for x, y in sorted(cells)], cell
        cell += max(1, cell // 2)


def _percentiles(
    drawing: Drawing, axis: TimeAxis, values: LogAxis, found: tuple[float, list[Interval]]
) -> None:
    step, parts = found
    for kind, q in (("p99", 99.0), ("p95", 95.0), ("p50", 50.0)):
        data, pen = [], False
        for index, one in enumerate(parts):
            value = find_percentile(one.latencies, q)
            if value is None:
                pen = False
                continue
            x = axis.x(axis.span.start + (index + 0.5) * step)
            data.append(f"{'L' if pen else 'M'}{x:.1f} {values.y(value):.1f}")
            pen = True
        drawing.path(
            "".join(data), kind, 1.6, title=f"{kind} of each {format_number(step)} s", data_line=kind
        )


def _errors(requests: Requests, found: tuple[float, list[Interval]]) -> Lane | None:
    if not requests.failed:
        return None
    step, parts = found
    most = max(one.states.total() - one.states[0] for one in parts)
    height = max(46.0, 14.0 + 12 * len(requests.kinds))

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        width = axis.width * step / axis.span.seconds
        for index, one in enumerate(parts):
            base = top + height
            x = axis.left + index * width
            for kind, count in sorted(one.states.items()):
                if not kind:
                    continue
                size = height * count / most
                base -= size
                title = (
                    f"{time_of_day(axis.span.start + index * step, 1)}: {count} {requests.kinds[kind - 1]}"
                )
                drawing.rect(
                    x, base, max(width - 0.6, 0.8), size, KINDS[(kind - 1) % len(KINDS)], title=title
                )

    counts = Counter(requests.state)
    notes = [
        (f"■ {counts[index + 1]} {kind[:18]}", KINDS[index % len(KINDS)])
        for index, kind in enumerate(requests.kinds)
    ]
    return Lane("errors", "Failed, by kind", height, draw, notes)


def _throughput(found: tuple[float, list[Interval]]) -> Lane:
    step, parts = found
    most = max(one.states.total() for one in parts) or 1
    height = 50.0

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        answered = [one.states[0] for one in parts]
        failed = [one.states.total() - one.states[0] for one in parts]
        for kind, words, counts in (("ok", "answered", answered), ("bad", "failed", failed)):
            data, last = "", None
            for index, count in enumerate(counts):
                y = round(top + height * (1 - count / most), 1)
                if y != last:  # what stays as high goes on in one line
                    x = axis.x(axis.span.start + index * step)
                    data += f"H{x:.1f}V{y:.1f}" if data else f"M{x:.1f} {y:.1f}"
                    last = y
            data += f"H{axis.left + axis.width:.1f}"
            drawing.path(data, kind, 1.3, title=f"{words} per second")

    notes = [
        (f"top: {format_number(round(most / step, 1))}/s", "faint"),
        ("— answered", "ok"),
        ("— failed", "bad"),
    ]
    return Lane("throughput", "Orders per second", height, draw, notes)


# -- probes and containers --------------------------------------------------------------------------------------


def _probes(probes: Mapping[str, Band]) -> Lane:
    row = 14.0
    height = row * len(probes) + 14

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        for index, (name, band) in enumerate(sorted(probes.items())):
            y = top + 14 + row * index
            drawing.text(axis.left - 8, y + 9, name[:24], "faint", "end", font_size="10")
            told = f"{name}: {band.answers} answers, {band.failed} bad"
            if band.turned:
                told += f", the first at {time_of_day(band.turned[0])}: {band.detail}"
            group = drawing.group(told)
            for start, end, good in find_stretches(band):
                x = axis.left + start / COLUMNS * axis.width
                drawing.rect(x, y, (end - start) / COLUMNS * axis.width, 10, "good" if good else "bad", group)

    return Lane("probes", "Probes", height, draw)


def find_stretches(band: Band) -> list[tuple[int, int, bool]]:
    """Return the stretches of columns (from, to, good) of a probe; a stretch lasts until the next answer.

    A column with a bad answer is bad. After the last answer of all nothing is shown.
    """
    states = [(index, not bad) for index, (good, bad) in enumerate(zip(band.good, band.bad)) if good or bad]
    out: list[tuple[int, int, bool]] = []
    for (start, good), (end, _next) in zip(
        states, [*states[1:], (states[-1][0] + 1, True)] if states else []
    ):
        if out and out[-1][2] == good and out[-1][1] == start:
            out[-1] = (out[-1][0], end, good)
        else:
            out.append((start, end, good))
    return out


#: What an action of the engine makes of a container, and how that is coloured.
_ACTIONS = {"die": "bad", "kill": "", "oom": "bad", "stop": "bad", "start": "warn", "restart": "warn"}


def _containers(samples: Samples) -> Lane | None:
    services = sorted({str(name) for name in samples.spec.get("containers") or {}})
    services = services or sorted({str(line.get("service")) for _at, line in samples.engine})
    if not services:
        return None
    row = 14.0

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        for index, service in enumerate(services):
            y = top + 14 + row * index
            drawing.text(axis.left - 8, y + 9, service[:24], "faint", "end", font_size="10")
            for start, end, kind, title in container_states(service, samples):
                x = axis.x(start)
                drawing.rect(x, y, axis.x(end) - x, 10, kind, title=title)

    return Lane("containers", "Containers", row * len(services) + 14, draw)


def container_states(service: str, samples: Samples) -> list[tuple[float, float, str, str]]:
    """Return from when to when a service's container was running, down, or starting, with words for each."""
    events = [
        (at, str(line.get("action"))) for at, line in samples.engine if str(line.get("service")) == service
    ]
    told = samples.spec.get("containers") or {}
    first = told.get(service) if isinstance(told, Mapping) else None
    started = not isinstance(first, list) or any(
        isinstance(each, Mapping) and each.get("pid") for each in first
    )
    out = []
    at, kind, why = (
        samples.span.start,
        "good" if started else "faint",
        "running" if started else "not running",
    )
    for when, action in events:
        now = _ACTIONS.get(action, "good" if action == "health_status: healthy" else "")
        if action.startswith("health_status: unhealthy"):
            now = "warn"
        if now and samples.span.start <= when <= samples.span.end:
            out.append((at, when, kind, f"{service}: {why} from {time_of_day(at)} to {time_of_day(when)}"))
            at, kind, why = when, now, action
    return [*out, (at, samples.span.end, kind, f"{service}: {why} from {time_of_day(at)} on")]


# -- the kernel -------------------------------------------------------------------------------------------------

#: Lanes of kernel events, what hurts most first.
_LANES = {
    "OOM_KILL": ("bad", "killed for memory"),
    "PROC_EXIT": ("bad", "process ended"),
    "CONN_FAILED": ("bad", "connect refused"),
    "CONN_GAVE_UP": ("warn", "connect given up"),
    "CONN_RESET": ("p95", "connection reset"),
    "TCP_RETRANSMIT": ("faint", "retransmit"),
    "CONN_OK": ("good", "connected"),
}


def _kernel(samples: Samples, full: bool) -> Lane:
    shown = [event for event in _LANES if event in samples.kernel]
    row = 14.0

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        for index, event in enumerate(shown):
            y = top + 14 + row * index
            kind, words = _LANES[event]
            marks = samples.kernel[event]
            drawing.text(
                axis.left - 8, y + 9, f"{marks.counts.total()} {words}", "faint", "end", font_size="10"
            )
            if not full:
                places = sorted({column // 2 * 2 for column in marks.counts})
                data = "".join(
                    f"M{axis.left + place / COLUMNS * axis.width:.0f} {y:.0f}v11" for place in places
                )
                drawing.path(data, kind, 1.6)
                continue
            for column, count in sorted(marks.counts.items()):
                line = marks.first[column]
                more = f" and {count - 1} more" if count > 1 else ""
                title = f"{format_event(dict(line), time_of_day(line['at']))}{more}"
                drawing.rect(axis.left + column / COLUMNS * axis.width, y, 1.6, 11, kind, title=title)

    return Lane("kernel", "Kernel events", row * len(shown) + 14, draw)


# -- interference -----------------------------------------------------------------------------------------------


def _interference(samples: Samples) -> Iterator[Lane]:
    """Yield a lane for each number that tells what else the host was doing."""
    for name, title in _GAUGES.items():
        points = [(at, float(line[name])) for at, line in samples.interference if is_number(line.get(name))]
        if len(points) > 1 and any(value for _at, value in points):
            yield _gauge(name, title, points, _largest(samples) if name == "cpu_others" else "")


def _largest(samples: Samples) -> str:
    """Return the command of the largest consumer among everybody else, "" if none was named."""
    named = [line["top"] for _at, line in samples.interference if isinstance(line.get("top"), Mapping)]
    largest = max(named, key=lambda top: float(top.get("cores") or 0), default=None)
    return str(largest.get("command") or "") if largest else ""


def _gauge(name: str, title: str, points: Sequence[tuple[float, float]], who: str) -> Lane:
    most = max(value for _at, value in points)
    height = 28.0

    def draw(drawing: Drawing, axis: TimeAxis, top: float) -> None:
        step = max(1, len(points) // COLUMNS)
        places = [
            (axis.x(at), top + height * (1 - max(value, 0) / (most or 1)))
            for at, value in _peaks(points, step)
        ]
        drawing.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), "faint", 1.2, title=title)

    told = f"top: {format_number(round(most, 3))}{f', {who[:12]}' if who else ''}"
    return Lane(f"interference-{name}", title, height, draw, [(told, "faint")])


def _peaks(points: Sequence[tuple[float, float]], step: int) -> Iterable[tuple[float, float]]:
    """Return of each ``step`` points the highest."""
    for index in range(0, len(points), step):
        yield max(points[index : index + step], key=lambda point: point[1])
