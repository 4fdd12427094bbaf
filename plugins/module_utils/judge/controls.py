# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control of a finding: the same metric in the placebo window, where everything came but the fault.

One exchange has no control group, so the control lies before the fault in time (compare Basiri et al., "Automating
chaos experiments in production", ICSE-SEIP 2019, which has one beside it).
"""

from __future__ import annotations

from ..evidence.evidence import Evidence
from ..evidence.phases import Window, find_placebo
from ..evidence.specified import FaultSpec
from ..exchange.ledger import PLACEBO
from .metrics.registry import Measured, Metric

#: The target of a run that has no fault: no service is called so.
_NOBODY = "(nothing)"


def find_control(evidence: Evidence, fault: str | None) -> Window | None:
    """Return the placebo as if it were the window of a fault (the first without a name); None if there was none.

    It carries the fault's own specification, so that a metric looks at the same services and paths.
    """
    phase = find_placebo(evidence)
    if phase is None:
        return None
    known = [one for one in evidence.spec.faults if fault in (None, one.id)]
    spec = known[0] if known else FaultSpec(kind=PLACEBO)
    aimed = tuple(spec.services) if known else (_NOBODY,)
    return Window(
        id=PLACEBO,
        kind=spec.kind,
        target=aimed[0],
        targets=aimed,
        spec=spec,
        injected=phase.start,
        undone=phase.end,
        undone_by=None,
        how="",
        end=phase.end,
    )


def measure(evidence: Evidence, metric: Metric, fault: str | None) -> Measured | None:
    """Measure a metric in the placebo; None where it means nothing there, or there was none."""
    seen = find_control(evidence, fault) if metric.without_fault else None
    return None if seen is None else metric.function(evidence, seen)
