# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far apart the hosts of a wave were hit, from their records: an interval, as wide as the clocks are uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils.common.shapes import Recorded
from ...module_utils.run.instant import DOUBT, STARTED
from ..words import parse_time

Record = dict[str, Any]

FINDING = "simultaneity"
LIMIT_MS = 10.0


@dataclass(frozen=True)
class Start:
    """When a fault began on a host. ``ms``: of the controller's clock; ``doubt_ms``: either way; None is unknown."""

    host: str
    ms: float | None
    doubt_ms: float | None


@dataclass(frozen=True)
class Spread:
    """Of one fault over the hosts of a wave: between ``low`` and ``high`` ms, None when nobody can say."""

    low: float | None
    high: float | None
    words: str

    def verdict(self, limit_ms: float) -> str:
        """Hold it against the most that it may be; an interval in which that lies is unknown."""
        if self.low is None or self.high is None:
            return "unknown"
        return "pass" if self.high <= limit_ms else "fail" if self.low > limit_ms else "unknown"


def add_spread(hosts: Sequence[Record], limit_ms: float = LIMIT_MS) -> list[Record]:
    """Return the records with a finding ``simultaneity`` a fault on each host that fired at an instant with others.

    A spread that is too large for certain makes a host that passed ``invalid``: nothing was learned of one instant. It
    is no word on the exchange, so the hypothesis stays as it is. Records of runs without an instant come back as is.
    """
    fired = [host for host in hosts if _fired(host)]
    judged = {wave: _findings(_starts(fired, wave), limit_ms) for wave in {host["wave"] for host in fired}}
    return [_with(host, judged[host["wave"]]) if host in fired else host for host in hosts]


def read_limit(hosts: Sequence[Record]) -> float:
    """Return what the spread of these records was held against already (ms), the default where it never was."""
    held = [
        float(one["threshold"]["value"])
        for host in hosts
        for one in host["findings"]
        if str(one["id"]).startswith(FINDING)
    ]
    return held[0] if held else LIMIT_MS


def measure_spread(starts: Sequence[Start]) -> Spread:
    """Return how far apart the first and the last of some starts lie.

    Each is known but for its doubt, so the least and the most that the distance of any two can be bound it.
    """
    unclear = [start.host for start in starts if start.ms is None or start.doubt_ms is None]
    if unclear:
        return Spread(None, None, f"the clock of {', '.join(unclear)} was not measured")
    known = sorted((float(start.ms or 0.0), float(start.doubt_ms or 0.0), start.host) for start in starts)
    low = max(ms - doubt for ms, doubt, _host in known) - min(ms + doubt for ms, doubt, _host in known)
    high = max(ms + doubt for ms, doubt, _host in known) - min(ms - doubt for ms, doubt, _host in known)
    apart = known[-1][0] - known[0][0]
    doubt = max(high - apart, apart - low)
    words = f"{known[0][2]} first, {known[-1][2]} {apart:.3f} ms later, ± {doubt:.3f} ms by their clocks"
    return Spread(max(0.0, low), high, words)


def _starts(hosts: Sequence[Record], wave: int) -> dict[str, list[Start]]:
    """Return the starts of each fault in a wave."""
    found: dict[str, list[Start]] = {}
    for host in hosts:
        for fault in host["faults"] if host["wave"] == wave else []:
            facts = _facts(fault)
            if STARTED in facts and fault["injected_at"]:
                found.setdefault(fault["id"], []).append(_start(host, fault, facts.get(DOUBT)))
    return found


def _start(host: Mapping[str, Any], fault: Mapping[str, Any], doubt_ms: Any) -> Start:
    offset = host["clock"]["offset_ms"]
    if offset is None or doubt_ms is None:
        return Start(host["host"], None, None)
    return Start(host["host"], 1000 * parse_time(fault["injected_at"]).timestamp() - offset, float(doubt_ms))


def _findings(starts: Mapping[str, Sequence[Start]], limit_ms: float) -> list[Record]:
    """Return a finding for each fault of a wave that two hosts or more fired, the first under the plain name."""
    several = {fault: found for fault, found in starts.items() if len(found) > 1}
    found = []
    for place, (fault, those) in enumerate(several.items()):
        known = measure_spread(those)
        value = (
            None if known.low is None or known.high is None else [round(known.low, 3), round(known.high, 3)]
        )
        which = f", {fault}" if len(several) > 1 else ""
        found.append(
            {
                "id": f"{FINDING}_{fault}" if place else FINDING,
                "title": f"Spread of the fault's start over {len(those)} hosts{which}",
                "value": value,
                "unit": "ms",
                "threshold": {"op": "<=", "value": limit_ms},
                "verdict": known.verdict(limit_ms),
                "evidence": f"{fault}: {known.words}",
            }
        )
    return found


def _with(host: Record, findings: Sequence[Record]) -> Record:
    kept = [one for one in host["findings"] if not str(one["id"]).startswith(FINDING)]
    changed = {**host, "findings": [*kept, *findings]}
    apart = [str(one["evidence"]) for one in findings if one["verdict"] == "fail"]
    if apart and host["outcome"] == "passed":
        changed["outcome"] = "invalid"
        said = f"invalid: the hosts of the wave were not hit at one instant ({'; '.join(apart)})"
        changed["notes"] = [*host["notes"], said]
    return changed


def _fired(host: Mapping[str, Any]) -> bool:
    return any(STARTED in _facts(fault) for fault in host.get("faults", []))


def _facts(fault: Mapping[str, Any]) -> Recorded:
    return {proof["fact"]: proof["value"] for proof in fault["proof"]}
