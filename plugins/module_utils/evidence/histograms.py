# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums over the lines of histograms.jsonl: what the kernel kept of a series, in a phase, of a service. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..common.stats import percentile_of_buckets
from .evidence import Evidence


@dataclass(frozen=True)
class SeriesTotal:
    """What came together of some lines. seconds: how long the kernel counted in that phase, whatever it found."""

    count: int
    sum: float
    max: float
    buckets: tuple[tuple[float, float, int], ...]
    seconds: float

    @property
    def mean(self) -> float | None:
        """Return the mean value, exact whatever the buckets' width."""
        return self.sum / self.count if self.count else None

    @property
    def rate(self) -> float | None:
        """Return the sum per second of the phase."""
        return self.sum / self.seconds if self.seconds > 0 else None

    def percentile(self, q: float) -> float | None:
        """Return the upper bound of the bucket a percentile lies in, and never more than the largest value."""
        found = percentile_of_buckets(self.buckets, q)
        return None if found is None else min(found, self.max)


def why_unwatched(evidence: Evidence, program: str) -> str:
    """Return why a program's silence says nothing, "" if it does: it ran, and kept something in some phase."""
    capture = evidence.capture
    if capture.get("status") not in ("attached", "stopped"):
        return f"no kernel capture ({capture.get('status')}: {capture.get('reason') or 'no reason given'})"
    if not evidence.seeing:
        return "the capture's positive control was not seen"
    if program not in (capture.get("programs") or []):
        return f"the BPF program {program} did not run"
    if not any(line.get("program") == program for line in evidence.histograms):
        return f"histograms.jsonl: the BPF program {program} counted nothing at all"
    return ""


def counted_seconds(evidence: Evidence, phase: str) -> float:
    """Return for how many seconds the kernel counted in a phase; 0 if it did not."""
    spans = {
        (float(line["since"]), float(line["t"]))
        for line in evidence.histograms
        if line.get("phase") == phase and line.get("since") is not None
    }
    return sum(end - start for start, end in spans)


def series_total(
    evidence: Evidence,
    phase: str,
    series: str,
    services: Collection[str | None] | None = None,
    **key: Any,
) -> SeriesTotal:
    """Add up a series in a phase; services: only theirs (None: nobody's); key: values, or collections of values."""
    buckets: dict[tuple[float, float], int] = {}
    count, summed, most = 0, 0.0, 0.0
    for line in evidence.histograms:
        if line.get("phase") != phase or line.get("series") != series:
            continue
        if services is not None and line.get("service") not in services:
            continue
        if not all(_matches((line.get("key") or {}).get(name), wanted) for name, wanted in key.items()):
            continue
        count += int(line["count"])
        summed += float(line["sum"])
        most = max(most, float(line.get("max") or 0))
        for low, high, number in line.get("buckets") or []:
            buckets[low, high] = buckets.get((low, high), 0) + int(number)
    ordered = tuple((low, high, number) for (low, high), number in sorted(buckets.items()))
    return SeriesTotal(count, summed, most, ordered, counted_seconds(evidence, phase))


def series_keys(evidence: Evidence, series: str, name: str) -> list[Any]:
    """Return the values that a key of a series had in any phase, sorted by how they read."""
    found = {
        value
        for line in evidence.histograms
        if line.get("series") == series and (value := (line.get("key") or {}).get(name)) is not None
    }
    return sorted(found, key=str)


def describe_series(lines: Collection[Mapping[str, Any]]) -> str:
    """Return in a few words how much was kept: series by name with their counts."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[str(line.get("series"))] = counts.get(str(line.get("series")), 0) + int(line.get("count") or 0)
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def _matches(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, (set, frozenset, list, tuple)) else value == wanted
