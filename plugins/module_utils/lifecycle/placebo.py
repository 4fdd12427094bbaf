# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The placebo window: announced, surged at and watched as around a fault, but nothing is injected.

What it shows is the doing of our own load and observers, and of whoever else uses the host. An exchange that cannot
bear that alone is injected nothing: the load is taken away, and the run says what it found.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common import clock
from ..evidence.phases import PLACEBO_RECOVERY
from ..faults import registry
from ..run import processes, timeline
from ..run.abort import refuse_more_faults
from ..run.folder import RunDir

#: What the load says of itself when the exchange could not bear it.
YIELDS = (timeline.LOAD_GUARD, timeline.LOAD_YIELDED)


def begin_placebo(run: RunDir, seconds: float) -> None:
    """Tell the observers that all but the fault comes now, for ``seconds``.

    The surge of a run without faults is that of one which ends its target, the most any experiment sends.
    """
    kinds = sorted({fault.kind for fault in run.spec.faults})
    ends_target = not kinds or any(registry.describe_kind(kind).ends_target for kind in kinds)
    run.write_event(timeline.PLACEBO_BEGIN, seconds=seconds, kinds=kinds, ends_target=ends_target)
    run.log(
        "info",
        f"Placebo, {seconds:g} s: announced, asked and watched as around a fault, but there is none",
        "steady",
    )


def end(run: RunDir, *, is_steady: bool, reasons: Sequence[str]) -> None:
    """Tell the observers that it is over, and what our own load did to the exchange."""
    wall_s = round(clock.read() - _before(run), 3)
    run.write_event(timeline.PLACEBO_END, steady=is_steady, reasons=list(reasons), wall_s=wall_s)
    told = find_strain(run)
    if told:
        give_up(run, told)
    elif is_steady:
        text = (
            f"Steady state holds under our own load and observers alone; finding that out took {wall_s:.1f} s"
        )
        run.log("ok", text, "steady")
    else:
        run.log("warn", f"Without a fault already: {'; '.join(reasons)}", "steady")


def _before(run: RunDir) -> float:
    """Return when the phase before the placebo ended, boottime: what has passed since is the placebo's price."""
    return float(run.read_timeline().named(timeline.PHASE_END, timeline.PLACEBO_BEGIN)[0]["t"])


def find_strain(run: RunDir) -> str:
    """Return why the load withdrew since the placebo began, in its own words; empty while it has not."""
    begun = False
    for event in run.read_timeline().named(timeline.PLACEBO_BEGIN, *YIELDS):
        begun = begun or event["event"] == timeline.PLACEBO_BEGIN
        if begun and event["event"] in YIELDS:
            return str(event.get("reason") or "the load withdrew")
    return ""


def give_up(run: RunDir, reason: str) -> None:
    """Inject nothing, since our load alone is more than the exchange bears, and take the load away at once."""
    if run.read_timeline().strains:
        return
    run.write_event(timeline.PLACEBO_STRAIN, reason=reason)
    refuse_more_faults(run, "our own load is more than the exchange bears")
    run.log(
        "fail", f"Our load alone is more than this exchange bears, so nothing is injected: {reason}", "steady"
    )
    processes.stop_process(run, "load", timeout=run.spec.client_timeout_s + 1.0)


def conclude_recovery(run: RunDir, *, is_steady: bool, reasons: Sequence[str]) -> None:
    """Say what became of an exchange that our load had disturbed, once it was watched for."""
    loaded, told = not run.read_timeline().strains, find_strain(run)
    if loaded and told:
        give_up(run, told)
    elif is_steady:
        run.log("ok", f"Steady again ({PLACEBO_RECOVERY}){'' if loaded else ', without our load'}", "steady")
    elif loaded:
        give_up(run, "; ".join(reasons))
    else:
        run.log("warn", f"Not steady even without our load: {'; '.join(reasons)}", "steady")
