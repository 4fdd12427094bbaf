# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger asks of a run besides the five questions, answered in a sentence each from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ....module_utils.common.shapes import Recorded
from ...words import clock_time, format_quantity, seconds_between
from ..follow_up.monitoring import expression_of
from ..follow_up.signals import AlertSignal
from ..hosts_overview import name_hosts, rank_hosts

_WATCHERS = {
    "probe": "a probe",
    "kernel": "the kernel",
    "engine": "Docker",
    "users": "users, by a failed order",
}
_UNKNOWN = "the raw samples are not beside the record"
_ANSWERS = {"pass": "Yes", "fail": "No", "unknown": "Not known"}


def tell_faults(hosts: Sequence[Recorded]) -> list[str]:
    """Return what was broken, from when to when, and who undid it; of several hosts from the first to the last.

    This and the answers below are lines, one a fault.
    """
    injected = [(host, fault) for host in hosts for fault in host["faults"] if fault["injected_at"]]
    lines = []
    for name in dict.fromkeys(str(fault["id"]) for _host, fault in injected):
        where = [host for host, fault in injected if fault["id"] == name]
        same = [fault for _host, fault in injected if fault["id"] == name]
        begun = min(fault["injected_at"] for fault in same)
        on = f" on {name_hosts(where)}" if len(hosts) > 1 else ""
        lines.append(
            f"{name}: {same[0]['kind']} of {same[0]['target']}{on}, "
            f"{begun[:10]} {clock_time(begun)}{_tell_undo(same, begun)}"
        )
    return lines or ["Nothing: no fault was injected."]


def _tell_undo(faults: Sequence[Recorded], begun: str) -> str:
    if not all(fault["undone_at"] for fault in faults):
        return " UTC, not undone"
    last = max(fault["undone_at"] for fault in faults)
    by = ", ".join(dict.fromkeys(str(fault["undone_by"] or "nobody we know of") for fault in faults))
    return (
        f" to {clock_time(last)} UTC ({format_quantity(seconds_between(begun, last), 's')}), undone by {by}"
    )


def tell_first_sign(
    host: Recorded, signals: Sequence[AlertSignal], missing: Sequence[str], several: bool
) -> list[str]:
    """Return for each fault what moved first, and how long before or after the first order failed.

    missing: the raw samples that are not there; without them nobody knows.
    """
    if not signals and missing:
        return [f"Not known: {_UNKNOWN}."]
    lines = []
    for fault, moved in _by_fault(host, signals):
        if not moved:
            lines.append(f"{fault}: nobody, no order failed and nothing else that was watched moved")
            continue
        first = moved[0]
        told = f"{fault}: {_WATCHERS.get(first.source, first.source)}, {_seconds(first.after_s)} after the injection"
        if first.source != "users":
            told += f", as {first.words}; "
            told += "no order failed" if first.lead_s is None else _tell_felt(first.lead_s)
        lines.append(told)
    if several and lines:
        lines.append(f"On {host['host']}, the worst host.")
    return lines or ["Nobody: there was nothing to notice."]


def _tell_felt(lead_s: float) -> str:
    return f"the first order failed {_seconds(lead_s)} later"


def tell_warning(
    host: Recorded, signals: Sequence[AlertSignal], missing: Sequence[str], spec: Recorded
) -> list[str]:
    """Return on what an alert would have come before users felt the fault, with how long before."""
    if not signals and missing:
        return [f"Not known: {_UNKNOWN}."]
    lines = []
    for fault, moved in _by_fault(host, signals):
        early = [one for one in moved if one.source != "users" and (one.lead_s is None or one.lead_s > 0)]
        if early:
            lines.append(f"{fault}: alert on {'; or on '.join(_tell_alert(one, spec) for one in early[:2])}")
        elif moved:
            lines.append(f"{fault}: no sign came before the first failed order, so alert on failed orders")
    return lines or ["Nothing moved that an alert could rest on."]


def _tell_alert(signal: AlertSignal, spec: Recorded) -> str:
    """Return a sign with the check that sees it, and its lead."""
    probes = spec.get("probes")
    asked = next(
        (
            str(one.get("url") or f"{one.get('service')}:{one.get('port')}")
            for one in (probes if isinstance(probes, list) else [])
            if isinstance(one, Mapping) and signal.source == "probe" and one.get("name") == signal.name
        ),
        "",
    )
    check = asked or expression_of(signal, spec)
    lead = (
        "no order failed"
        if signal.lead_s is None
        else f"{_seconds(signal.lead_s)} before the first failed order"
    )
    return f"'{signal.words}'{f', {check}' if check else ''}, {lead}"


def tell_cleanliness(verdict: str, reason: str) -> str:
    """Return whether the host is as it was, and what that rests on."""
    return f"{_ANSWERS[verdict]}: {reason}" if reason else _ANSWERS[verdict]


def pick_worst_view(views: Sequence[Recorded]) -> Recorded:
    """Return what is shown of the worst host that saw anything: a fleet's sentences speak of one host."""
    order = {id(host): rank for rank, host in enumerate(rank_hosts([view["host"] for view in views]))}
    return min(views, key=lambda view: (not view["signals"], order[id(view["host"])]))


def _by_fault(host: Recorded, signals: Sequence[AlertSignal]) -> Iterator[tuple[str, list[AlertSignal]]]:
    for fault in host["faults"]:
        if fault["injected_at"]:
            yield str(fault["id"]), [one for one in signals if one.fault == fault["id"]]


def _seconds(value: float) -> str:
    return format_quantity(round(value, 3), "s")
