# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fact on whether a fault took effect, and the samples of a service's own port that several kinds read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...evidence.evidence import Evidence, Sample


@dataclass(frozen=True)
class ProofOutcome:
    """One fact; ``holds`` says whether it shows the effect, None that it could not be told. ``t``: boottime.

    ``required``: the fault's kind has no effect without it.
    """

    source: str
    fact: str
    value: Any
    t: float | None
    holds: bool | None
    required: bool = False


def store_samples(evidence: Evidence, service: str) -> list[Sample]:
    """Return the samples of the probes that connect to a service's own port."""
    names = {probe.name for probe in evidence.spec.probes if probe.kind == "tcp" and probe.service == service}
    return [sample for sample in evidence.probes if sample.probe in names]
