# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a window of a run: wait in slices, keep the run alive, say what was seen and whether it was steady."""

from __future__ import annotations

from dataclasses import dataclass

from ..common import clock
from ..common.jsonl import Tail
from ..common.shapes import Result
from ..common.stats import find_percentile
from ..evidence import evidence, steady_state
from ..evidence.evidence import Evidence
from ..evidence.phases import BASELINE, PLACEBO_RECOVERY
from ..exchange.ledger import PLACEBO
from ..judge import rules
from ..run import lease, timeline
from ..run.abort import refuse_more_faults
from ..run.folder import RunDir
from ..run.processes import living_process
from . import placebo

#: The run is renewed for a slice and this many seconds for the controller to come back.
MARGIN_S = 12.0
_STEP_S = 0.1
#: Who sees whether the exchange is steady.
_WATCHERS = ("load", "probes")
#: Bytes at the end of each raw file that hold the last seconds at the densest sampling, with room to spare.
_RECENT = 1024 * 1024


@dataclass(frozen=True)
class Observation:
    """One observation window: ``seconds`` at most, until steady if asked."""

    phase: str
    fault: str | None
    seconds: float
    until_steady: bool


def watch_slice(run: RunDir, window: Observation, slice_s: float) -> Result:
    """Watch for a slice and return {chaos_progress, done, steady, reasons, injectable, aborted}."""
    if window.until_steady and window.fault and run.read_timeline().recovered(window.fault):
        _outlast(run, clock.read() + window.seconds)
        return {"chaos_progress": {}, "done": True, "steady": True, "reasons": [], **_further(run)}
    begun = _begin(run, window)
    since = clock.read()
    until = min(begun + window.seconds, since + slice_s)
    lease.renew_lease(run, max(0.0, until - clock.read()) + MARGIN_S)
    # until the slice is over, or the steady time has passed and it is worth a look at what it showed
    while clock.read() < until and not _gives_up(run, window):
        wait = min(until - clock.read(), 1.0 if window.until_steady else slice_s, 5 * _STEP_S)
        clock.sleep(wait)
        long_enough = window.until_steady and clock.read() - begun >= _steady_s(run)
        if long_enough and not _reasons(run, recent_evidence(run), begun, window):
            break
    run.write_event(timeline.WAITED, seconds=round(clock.read() - since, 3), why=window.phase)
    seen = recent_evidence(run)
    busy = _busy(run, seen, begun, window)
    reasons = [*_reasons(run, seen, begun, window), *([busy] if busy else [])]
    aborted = _aborted(run)
    is_steady = not reasons and not aborted and not _strained(run, window)
    if _again(run, window, begun, reasons, aborted):
        begun = _begin(run, window)
    ended = _gives_up(run, window) or clock.read() >= begun + window.seconds
    done = ended or (window.until_steady and is_steady)
    if done:
        _end(run, window, is_steady, reasons, busy)
        _outlast(run, _latest(run, window, begun))
    return {
        "chaos_progress": _progress(seen, window, begun, clock.read() - slice_s, is_steady),
        "done": done,
        "steady": is_steady,
        "reasons": reasons,
        **_further(run),
    }


def recent_evidence(run: RunDir) -> Evidence:
    """Return the last seconds of orders and probes as evidence; cheap however long the run is."""
    names = ("load.jsonl", "probes.jsonl", "interference.jsonl")
    load, probes, interference = ([*_tail(run, name).poll()] for name in names)
    return Evidence(
        spec=run.spec,
        anchor=run.anchor,
        orders=evidence.parse_orders(load),
        probes=evidence.parse_samples(probes),
        interference=evidence.sort_by_time(interference),
    )


def _tail(run: RunDir, name: str) -> Tail:
    path = run.file(name)
    size = path.stat().st_size if path.exists() else 0
    return Tail(path, offset=max(0, size - _RECENT))


def _begin(run: RunDir, window: Observation) -> float:
    """Return when the window began: with the fault's injection or undo, which said so, else with its first call."""
    known = run.read_timeline().phase_began(window.phase)
    if known:
        return known[-1]
    begun = float(run.write_event(timeline.PHASE, id=window.phase, fault=window.fault)["t"])
    if window.phase == PLACEBO:
        placebo.begin_placebo(run, window.seconds)
    return begun


def _gives_up(run: RunDir, window: Observation) -> bool:
    """Whether a window is over before its time, since nothing more can be learned from it."""
    return bool(_aborted(run)) or _strained(run, window) or _unwatched(run, window)


def _unwatched(run: RunDir, window: Observation) -> bool:
    """Whether load or probes were there and are dead: without the samples of either no steady state will be seen."""
    known = [name for name in _WATCHERS if (run.file("processes") / f"{name}.json").exists()]
    return window.until_steady and not all(living_process(run, name) for name in known)


def _strained(run: RunDir, window: Observation) -> bool:
    """Whether the load withdrew in the placebo or just after it: there is nothing more to be learned from it then."""
    if window.phase not in (PLACEBO, PLACEBO_RECOVERY) or run.read_timeline().strains:
        return False
    return bool(placebo.find_strain(run))


def _again(run: RunDir, window: Observation, begun: float, reasons: list[str], aborted: str) -> bool:
    """Begin a baseline anew that was not steady, if there is time for a whole one: a hiccup is over by then."""
    if window.phase != BASELINE or aborted or not reasons or clock.read() < begun + window.seconds:
        return False
    first = run.read_timeline().phase_began(window.phase)[0]
    limit = run.spec.windows.baseline_timeout_s or window.seconds
    if clock.read() + window.seconds > first + limit:
        return False
    run.write_event(timeline.PHASE, id=window.phase, fault=None)
    run.log("warn", f"Not steady yet, so the baseline begins anew: {'; '.join(reasons)}", "steady")
    return True


def _end(run: RunDir, window: Observation, is_steady: bool, reasons: list[str], busy: str = "") -> None:
    run.write_event(timeline.PHASE_END, id=window.phase, steady=is_steady)
    if _aborted(run):
        return  # whoever aborted the run has said why; the exchange had no time to show anything
    if window.phase == BASELINE:
        if is_steady:
            run.log("ok", "Steady state holds before the fault", "steady")
        else:
            run.write_event(timeline.NO_STEADY_STATE, reasons=reasons, busy=busy)
            refuse_more_faults(run, "no steady state")
            said = f"This host is too busy to learn from ({busy})" if busy else "No steady state"
            others = "; ".join(reason for reason in reasons if reason != busy)
            run.log("fail", f"{said}, so nothing is injected{': ' if others else ''}{others}", "steady")
    elif window.phase == PLACEBO:
        placebo.end(run, is_steady=is_steady, reasons=reasons)
    elif window.phase == PLACEBO_RECOVERY:
        placebo.conclude_recovery(run, is_steady=is_steady, reasons=reasons)
    elif window.until_steady and is_steady:
        run.write_event(timeline.STEADY, fault=window.fault)
        run.log("ok", f"Steady again ({window.phase})", "observe")
    elif window.until_steady:
        unwatched = _unwatched(run, window)
        why = (
            "Not waited for, load or probes died" if unwatched else f"Not steady within {window.seconds:g} s"
        )
        run.log("warn", f"{why}: {'; '.join(reasons)}", "observe")
        if window.fault and window.phase != window.fault:
            # asks the engine, which no slice of a window does that finds the exchange well
            from .advice import advise_recovery

            advise_recovery(run, window.fault)
            refuse_more_faults(run, "not steady again")


def _outlast(run: RunDir, until: float) -> None:
    """Let the run of a host in a wave live until the others may be done with their window, too, at boottime ``until``.

    Ansible has no host go on before, and no word comes meanwhile. A fault in force keeps its time to live.
    """
    if lease.read_patience(run) and not _aborted(run):
        lease.renew_lease(run, max(0.0, until - clock.read()) + MARGIN_S)


def _latest(run: RunDir, window: Observation, begun: float) -> float:
    """Return when a window may be over at the latest, boottime.

    On another host a baseline may have begun anew, and what a placebo disturbed may be watched until it is steady.
    """
    windows = run.spec.windows
    if window.phase == PLACEBO:
        return begun + window.seconds + windows.recovery_timeout_s
    timeout = (windows.baseline_timeout_s or 0.0) if window.phase == BASELINE else 0.0
    return begun + max(window.seconds, timeout)


def _steady_s(run: RunDir) -> float:
    return run.spec.windows.steady_s


def _reasons(run: RunDir, seen: Evidence, begun: float, window: Observation) -> list[str]:
    """Return what was not steady: in all of the baseline or placebo so far, else in the last ``steady_s`` seconds.

    What is still under way is not judged yet. Once our load was taken away, the probes alone tell.
    """
    now = clock.read() - _STEP_S
    found, limits = steady_state.signals_of(seen), run.spec.thresholds
    if window.phase == PLACEBO_RECOVERY and run.read_timeline().strains:
        found = [signal for signal in found if signal.name != steady_state.ORDERS]
    if window.phase in (BASELINE, PLACEBO):
        return steady_state.unsteady_reasons(found, begun, now, limits)
    injected = run.read_timeline().injected_at(window.fault)
    since = begun if injected is None else injected
    return steady_state.unsettled_reasons(found, since, now, _steady_s(run), limits)


def _busy(run: RunDir, seen: Evidence, begun: float, window: Observation) -> str:
    """Return why the host is too busy to learn from, as the baseline shows it; empty where its owner accepts noise."""
    if window.phase != BASELINE or run.spec.accept_noise:
        return ""
    return rules.too_busy(seen, begun, clock.read())


def _aborted(run: RunDir) -> str:
    return run.read_timeline().abort_reason


def _further(run: RunDir) -> Result:
    """Say whether the run may go on to inject, and why it was aborted, if it was."""
    aborted = _aborted(run)
    return {"injectable": not aborted and not run.read_timeline().refusals, "aborted": aborted}


def _progress(seen: Evidence, window: Observation, begun: float, since: float, is_steady: bool) -> Result:
    """Say how far the window is and what the orders since ``since`` met."""
    orders = [order for order in seen.orders if order.at >= max(begun, since)]
    failed = sum(order.failed for order in orders)
    p50 = find_percentile([order.latency_ms for order in orders if not order.failed], 50)
    elapsed = min(clock.read() - begun, window.seconds)
    median = "no order good" if p50 is None else f"median {p50:.1f} ms"
    return {
        "phase": window.phase,
        "elapsed_s": round(elapsed, 1),
        "total_s": window.seconds,
        "requests": len(orders),
        "errors": failed,
        "p50_ms": None if p50 is None else round(p50, 2),
        "text": f"{window.phase}: {elapsed:.0f} of {'at most ' if window.until_steady else ''}{window.seconds:g} s; "
        f"last orders: {len(orders)}, failed: {failed}, {median}; {'steady' if is_steady else 'not steady'}",
    }
