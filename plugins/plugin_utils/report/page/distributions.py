# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histograms before, while and after a fault, side by side: of the orders' latency and of what the kernel kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from ....module_utils.common.stats import percentile_of_buckets
from ...record.samples import Samples
from .svg import Drawing
from .words import harmless_text, short_number, to_epoch

WHEN = ("before", "during", "after")
#: So many histograms are drawn; those with the most values come first.
MOST = 12
_WIDTH, _HEIGHT, _TOP, _LEFT, _FOOT = 340.0, 150.0, 26.0, 8.0, 34.0

#: Count by the power of two below which a value lies.
Counts = dict[int, int]


@dataclass
class Distribution:
    """One quantity before, while and after a fault."""

    title: str
    unit: str
    counts: dict[str, Counts] = field(default_factory=lambda: {when: {} for when in WHEN})

    def add(self, when: str, high: float, count: int) -> None:
        """Count values up to ``high``."""
        half, power = math.frexp(high) if high > 0 else (0.0, 0)
        power -= half == 0.5  # a power of two bounds its own bucket
        counts = self.counts[when]
        counts[power] = counts.get(power, 0) + count

    @property
    def total(self) -> int:
        """Return how many values there are."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def list_rows(self) -> list[tuple[str, int, str, str]]:
        """Return for each time the number of values and the bounds below which half and 99 % of them lie."""
        out = []
        for when, counts in self.counts.items():
            buckets = [(2.0 ** (power - 1), 2.0**power, count) for power, count in counts.items()]
            bounds = [percentile_of_buckets(buckets, q) for q in (50, 99)]
            p50, p99 = ("–" if each is None else f"≤ {short_number(each)} {self.unit}" for each in bounds)
            out.append((when, sum(counts.values()), p50, p99))
        return out


def count_distributions(host: Mapping[str, Any], samples: Samples) -> tuple[list[Distribution], int]:
    """Return what is drawn, and how many more there are that are not."""
    when = {phase["id"]: _when(phase) for phase in host["phases"]}
    found = [*_of_orders(host, samples), *_of_the_kernel(samples, when)]
    kept = [found[0], *sorted(found[1:], key=lambda each: -each.total)] if found else []
    return kept[:MOST], max(len(kept) - MOST, 0)


def _when(phase: Mapping[str, Any]) -> str:
    if phase["fault"] is None:
        return "before"
    return "after" if str(phase["id"]).endswith("_recovery") else "during"


def _of_orders(host: Mapping[str, Any], samples: Samples) -> Iterable[Distribution]:
    """Yield the latency of the orders by phase; those between two phases belong to none."""
    phases = [
        (to_epoch(each["started_at"]), to_epoch(each["ended_at"]), _when(each)) for each in host["phases"]
    ]
    made = Distribution("Latency of orders", "ms")
    requests = samples.requests
    for at, latency in zip(requests.at, requests.latency):
        for start, end, when in phases:
            if start <= at <= end:
                made.add(when, latency, 1)
                break
    if made.total:
        yield made


def _of_the_kernel(samples: Samples, when: Mapping[str, str]) -> list[Distribution]:
    found: dict[tuple[str, str, str], Distribution] = {}
    for line in samples.histograms:
        buckets, phase = line.get("buckets"), when.get(str(line.get("phase")))
        if not isinstance(buckets, list) or not buckets or phase is None:
            continue
        of = _whose(line)
        name = (str(line["series"]), str(line.get("unit") or ""), of)
        one = found.setdefault(name, Distribution(f"{name[0]}: {of}", name[1]))
        for _low, high, count in buckets:
            one.add(phase, float(high), int(count))
    return list(found.values())


def _whose(line: Mapping[str, Any]) -> str:
    """Return whose values a line of histograms.jsonl counts: ``trading-api to cache``, ``vda read``."""
    key = line.get("key")
    key = key if isinstance(key, Mapping) else {}
    if key.get("peer"):
        return f"{line.get('service')} {'to' if key.get('side') == 'client' else 'as'} {key['peer']}"
    parts = [line.get("service") or "host", *(key[name] for name in ("name", "op", "call") if key.get(name))]
    return " ".join(map(str, parts))


def draw_distribution(one: Distribution) -> Markup:
    """Return a distribution as three outlines; each is scaled to its own number of values, so shapes compare."""
    powers = [power for counts in one.counts.values() for power in counts]
    low, high = min(powers) - 1, max(powers)
    drawing = Drawing(_WIDTH, _HEIGHT, f"Histogram of {one.title}, {one.unit}")
    drawing.text(_LEFT, 14, harmless_text(one.title)[:52], font_weight="600")
    plot, bottom = _WIDTH - 2 * _LEFT, _HEIGHT - _FOOT
    width = plot / (high - low)
    shares = {
        when: {power: count / sum(counts.values()) for power, count in counts.items()}
        for when, counts in one.counts.items()
    }
    most = max(share for each in shares.values() for share in each.values())
    for when, each in shares.items():
        if not each:
            continue
        data = f"M{_LEFT:.1f} {bottom:.1f}"
        for power in range(low + 1, high + 1):
            y = bottom - (bottom - _TOP) * each.get(power, 0) / most
            data += f"V{y:.1f}H{_LEFT + (power - low) * width:.1f}"
        drawing.path(f"{data}V{bottom:.1f}", when, 1.8, title=when)
    for power in range(low, high + 1, max(1, (high - low) // 6)):
        x = _LEFT + (power - low) * width
        drawing.text(x, bottom + 13, short_number(2.0**power), "faint", "middle", font_size="10")
    for index, when in enumerate(WHEN):
        drawing.text(_LEFT + 62 * index, _HEIGHT - 4, f"— {when}", when, font_size="10")
    drawing.text(_WIDTH - _LEFT, _HEIGHT - 4, f"{one.unit}, log scale", "faint", "end", font_size="10")
    return drawing.markup()
