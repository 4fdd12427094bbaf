# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host did besides the experiment in a stretch of it, and how late we ourselves were. Pure.

Source: the samples of interference.jsonl, and the orders' own instants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ..common.shapes import Recorded
from ..common.stats import find_percentile, round_or_none
from ..evidence.evidence import Evidence
from ..evidence.phases import orders_within

#: Others take the machine in a sample in which they (and the hypervisor) use so many cores, ...
OTHERS_CORES = 0.5
#: ... while somebody waits for a processor for this share of the time, or, without PSI, so many threads do.
WAITING_SHARE, WAITING_THREADS = 0.2, 0.5
#: Fewer samples or orders than this tell nothing of a stretch.
_FEWEST = 5
_FEWEST_ORDERS = 20
_MEANS = ("psi_cpu", "psi_io", "psi_mem", "waiting", "steal", "cpu_exchange", "cpu_others", "cpu_ours")


@dataclass(frozen=True)
class Interference:
    """One stretch. Shares are 0 to 1, processors in cores, all means; None: not known.

    run_delay_ms, late_ms: 99th percentiles of how late the observer was woken, and of how late orders were sent.
    taken: share of the samples in which others took the machine. largest: who of them used the most.
    """

    samples: int
    psi_cpu: float | None = None
    psi_io: float | None = None
    psi_mem: float | None = None
    waiting: float | None = None
    steal: float | None = None
    cpu_exchange: float | None = None
    cpu_others: float | None = None
    cpu_ours: float | None = None
    run_delay_ms: float | None = None
    late_ms: float | None = None
    taken: float | None = None
    largest: Mapping[str, Any] | None = None

    def record(self) -> Recorded:
        """Return it as the record wants it."""
        return {
            key: round_or_none(value) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }

    @property
    def who(self) -> str:
        """Name the largest consumer among the others; empty if nobody was seen."""
        if not self.largest:
            return ""
        return (
            f"{self.largest.get('command')} ({self.largest.get('cgroup')}, {self.largest.get('cores')} cores)"
        )


@lru_cache(maxsize=64)
def measure_interference(evidence: Evidence, start: float, end: float) -> Interference:
    """Sum up [start, end), boottime."""
    late = [1000 * (order.sent - order.at) for order in orders_within(evidence.orders, start, end)]
    late_ms = find_percentile(late, 99) if len(late) >= _FEWEST_ORDERS else None
    seen = [line for line in evidence.interference if start <= line["t"] < end]
    if len(seen) < _FEWEST:
        return Interference(len(seen), late_ms=late_ms)
    return Interference(
        samples=len(seen),
        **{key: _mean(seen, key) for key in _MEANS},
        run_delay_ms=find_percentile(_known(seen, "run_delay_ms"), 99),
        late_ms=late_ms,
        taken=sum(_is_taken(line) for line in seen) / len(seen),
        largest=max(
            (line["top"] for line in seen if line.get("top")), key=lambda top: top["cores"], default=None
        ),
    )


def _is_taken(line: Mapping[str, Any]) -> bool:
    """Whether others used much in this sample and somebody had to wait; where nobody waits, no harm is done."""
    if (line.get("cpu_others") or 0.0) + (line.get("steal") or 0.0) < OTHERS_CORES:
        return False
    if line.get("psi_cpu") is not None:
        return float(line["psi_cpu"]) >= WAITING_SHARE
    return line.get("waiting") is None or float(line["waiting"]) >= WAITING_THREADS


def _known(lines: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [float(line[key]) for line in lines if line.get(key) is not None]


def _mean(lines: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = _known(lines, key)
    return sum(values) / len(values) if values else None
