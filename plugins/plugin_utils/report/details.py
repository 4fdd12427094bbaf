# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in a report above its last 30 lines: environment, proof, phases, findings with their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from ..record.missing_host import is_stub
from ..words import (
    clock_time,
    escape_line,
    format_number,
    format_quantity,
    format_scalar,
    format_stamp,
    leftover_text,
    outcome_text,
    seconds_between,
    truth_mark,
    verdict_mark,
)
from . import hosts_overview
from .ending import WIDTH
from .finding_lines import finding_text, number_findings

Record = dict[str, Any]
Host = Mapping[str, Any]


def render_details(record: Record, width: int = WIDTH, *, brief: bool = False) -> list[str]:
    """Return all sections of a report but its last, each with a heading and a blank line before it.

    brief: for a screen. Of a long fleet only the worst hosts stand there in full; the others are counted.
    """
    hosts, folded = hosts_overview.pick_worst(record["hosts"]) if brief else (record["hosts"], [])
    hosts = hosts if folded else record["hosts"]  # nothing folded: in the order of their waves
    several = len(record["hosts"]) > 1
    out = _section(
        "ENVIRONMENT", [*_environment(record), *(line for host in hosts for line in _host(host, several))]
    )
    for host in hosts:
        of = f" ({escape_line(host['host'])})" if several else ""
        out += _section(f"FAULTS AND THEIR PROOF{of}", _faults(host))
        out += _section(f"PHASES{of}", _phases(host, width))
        out += _section(f"WHAT ELSE THE HOST DID{of}", _interference(host))
        out += _section(f"ERRORS{of}", _errors(host))
        out += _section(f"LEFT BEHIND{of}", [f"  {leftover_text(each)}" for each in host["leftovers"]])
        if not (several and is_stub(host)):  # its only note stands in the environment
            out += _section(f"NOTES{of}", [f"  {escape_line(each)}" for each in host["notes"]])
    out += _section(
        "FINDINGS AND THEIR EVIDENCE", _findings(record, {escape_line(host["host"]) for host in folded})
    )
    if folded:
        rest = (
            f"  {len(folded)} hosts more: {hosts_overview.count_outcomes(folded)}. The log has them in full."
        )
        out += _section("OTHER HOSTS", [rest])
    return out


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{heading}:", *lines] if lines else []


def _row(name: str, text: str) -> str:
    return f"  {name:<12}{text}"


def _environment(record: Record) -> list[str]:
    length = seconds_between(record["started_at"], record["ended_at"])
    several = len(record["hosts"]) > 1
    return [
        _row(
            "run",
            f"{escape_line(record['run_id'])}, exchange.chaos {escape_line(record['collection_version'])}",
        ),
        _row(
            "time",
            f"{format_stamp(record['started_at'])} to {format_stamp(record['ended_at'])} UTC, "
            f"{format_quantity(length, 's')}",
        ),
        *(
            [_row("times", "of all hosts on the controller's clock, their own offset taken off")]
            if several
            else []
        ),
    ]


def _host(host: Host, several: bool) -> list[str]:
    if several and is_stub(host):
        return [
            _row(
                "host",
                f"{escape_line(host['host'])}, wave {host['wave']}: {host['outcome']}: "
                f"{hosts_overview.explain_host(host)}",
            )
        ]
    if is_stub(host):
        return [
            _row("host", f"{escape_line(host['host'])}, wave {host['wave']}: {host['outcome']}"),
            _row("", "not looked at any further, so nothing is known of what it has and can"),
        ]
    has, load, ledger = host["capabilities"], host["load"], host["ledger"]
    tools = [
        f"{key} {escape_line(has[key]) if has[key] else 'absent'}"
        for key in ("docker", "compose", "bcc", "python")
    ]
    powers = [f"{'' if has[key] else 'no '}{key}" for key in ("root", "systemd")]
    cgroup = f"cgroup {escape_line(has['cgroup']) if has['cgroup'] else 'absent'}"
    clock = host["clock"]
    offset, doubt = (format_quantity(clock[key], "ms") for key in ("offset_ms", "uncertainty_ms"))
    return [
        _row("host", f"{escape_line(host['host'])}, wave {host['wave']}: {outcome_text(host)}"),
        _row("", ", ".join([f"kernel {escape_line(host['kernel'])}", *tools, cgroup, *powers])),
        *([_row("trials", "; ".join(_trials(has["trials"])))] if has["trials"] else []),
        _row("clock", f"{offset} from the controller's, ± {doubt}"),
        _row(
            "load",
            f"{format_number(load['rate'])}/s wanted, at least {format_number(load['floor'])}/s needed: "
            f"{load['requests']} requests, {load['ok']} ok, {load['errors']} failed",
        ),
        *_placebo(host),
        _row("orders", _orders(ledger)),
        _row("BPF", _bpf(host["bpf"])),
    ]


def _placebo(host: Host) -> list[str]:
    """Return what our own load and observers did without a fault; nothing of a record that knows no placebo."""
    placebo = host.get("placebo")
    if placebo is None:
        return []
    state = (
        "steady"
        if placebo["steady"]
        else f"not steady: {'; '.join(map(escape_line, placebo['reasons'])) or 'cut short'}"
    )
    median = placebo["latency_ms"]["p50"]
    text = f"{placebo['errors']} of {placebo['requests']} orders failed, p50 {format_quantity(median, 'ms')}, {state}"
    rows = [_row("no fault", f"{text}; took {format_quantity(placebo['wall_s'], 's')}")]
    surge = placebo["surge"]
    if surge:
        seen = f"{format_scalar(surge['rate'])} of {format_scalar(surge['reached'])} orders/s tried"
        why = f", {escape_line(surge['reason'])}" if surge["reason"] else ""
        rows.append(
            _row("surge", f"{seen}{why}; a loss of {format_quantity(surge['visible_ms'], 'ms')} will show")
        )
    return rows


def _trials(trials: Mapping[str, str]) -> list[str]:
    return [f"{escape_line(name)} {escape_line(result)}" for name, result in sorted(trials.items())]


def _orders(ledger: Mapping[str, Any]) -> str:
    counted = [
        f"{format_scalar(ledger[key])} {title}"
        for key, title in (
            ("acknowledged", "acknowledged"),
            ("lost", "lost"),
            ("duplicated", "stored twice"),
            ("unacknowledged_applied", "applied without acknowledgement"),
        )
    ]
    if all(ledger[key] is None for key in ledger):
        return "not counted"
    return f"{', '.join(counted)}; shortest visible loss {format_quantity(ledger['shortest_visible_loss_ms'], 'ms')}"


def _bpf(bpf: Mapping[str, Any]) -> str:
    if bpf["status"] == "absent":
        return "absent: what rests on it is unknown"
    control = {True: "seen", False: "NOT seen", None: "not made"}[bpf["positive_control"]]
    programs = ", ".join(map(escape_line, bpf["programs"])) or "no programs"
    return (
        f"{bpf['status']} ({programs}): {bpf['events']} events, {bpf['lost']} lost, "
        f"our own connect {control}, CPU {format_quantity(bpf['cpu_s'], 's')}"
    )


def _faults(host: Host) -> list[str]:
    out = []
    for fault in host["faults"]:
        engine = f" by {escape_line(fault['engine'])}" if fault["engine"] else ""
        what = f"  {escape_line(fault['id'])}: {escape_line(fault['kind'])} of {escape_line(fault['target'])}{engine}"
        if fault["injected_at"] is None:
            begun = (
                f"; what was begun of it was undone by {escape_line(fault['undone_by'])}"
                if fault["undone_by"]
                else ""
            )
            out.append(f"{what}, not injected{begun}")
            continue
        length = format_quantity(seconds_between(fault["injected_at"], fault["undone_at"]), "s")
        undone = (
            f"undone by {escape_line(fault['undone_by'])}"
            if fault["undone_by"]
            else "undone by nobody we know of"
        )
        out.append(
            f"{what}, {clock_time(fault['injected_at'])} to {clock_time(fault['undone_at'])} ({length}), {undone}"
        )
        for proof in fault["proof"]:
            value = f" {format_scalar(proof['value'])}" if proof["value"] is not None else ""
            at = f", {clock_time(proof['at'])}" if proof["at"] else ""
            out.append(
                f"    {truth_mark(proof['holds'])} {proof['source']}: {escape_line(proof['fact'])}{value}{at}"
            )
    return out


#: Columns of the table of phases with their widths; on a narrow screen those that are ``True`` are left out.
_PHASE_COLUMNS = (
    ("phase", 22, False), ("from", 14, True), ("s", 10, False), ("requests", 10, False), ("errors", 8, False),
    ("p50 ms", 9, False), ("p95 ms", 9, True), ("p99 ms", 9, False), ("max ms", 9, False),
)  # fmt: skip


def _phases(host: Host, width: int) -> list[str]:
    if not host["phases"]:
        return []
    wide = sum(size for _name, size, _spare in _PHASE_COLUMNS) <= width
    rows = [[f"  {_PHASE_COLUMNS[0][0]}", *(name for name, _size, _spare in _PHASE_COLUMNS[1:])]]
    for phase in host["phases"]:
        of = f" ({escape_line(phase['fault'])})" if phase["fault"] not in (None, phase["id"]) else ""
        length = seconds_between(phase["started_at"], phase["ended_at"])
        times = [phase["latency_ms"][key] for key in ("p50", "p95", "p99", "max")]
        shown = ["-" if value is None else format_number(value) for value in (length, *times)]
        counts = [str(phase["requests"]), str(phase["errors"])]
        rows.append(
            [
                f"  {escape_line(phase['id'])}{of}",
                clock_time(phase["started_at"]),
                shown[0],
                *counts,
                *shown[1:],
            ]
        )
    return [
        "".join(
            f"{cell:<{size}}" if place == 0 else f"{cell:>{size}}"
            for place, (cell, (_name, size, spare)) in enumerate(zip(row, _PHASE_COLUMNS))
            if wide or not spare
        ).rstrip()
        for row in rows
    ]


def _interference(host: Host) -> list[str]:
    """Return a line a phase of who used the processors and who waited; nothing where nobody looked."""
    out = []
    for phase in host["phases"]:
        seen = phase.get("interference") or {}
        if not seen.get("samples"):
            continue
        cores = ", ".join(
            f"{name} {format_quantity(seen[key])}"
            for name, key in (("others", "cpu_others"), ("exchange", "cpu_exchange"), ("we", "cpu_ours"))
        )
        waits = ", ".join(
            f"{name} {seen[key]:.0%}"
            for name, key in (("processor", "psi_cpu"), ("disk", "psi_io"), ("memory", "psi_mem"))
            if seen[key] is not None
        )
        parts = [f"cores: {cores}", *([f"waits: {waits}"] if waits else [])]
        parts += (
            [f"orders {format_quantity(seen['late_ms'], 'ms')} late"] if seen["late_ms"] is not None else []
        )
        largest = seen["largest"]
        parts += (
            [f"largest {escape_line(largest['command'])} {format_quantity(largest['cores'])}"]
            if largest
            else []
        )
        out.append(f"  {escape_line(phase['id']):<22}{'; '.join(parts)}")
    return out


def _errors(host: Host) -> list[str]:
    errors = host["questions"]["errors_clear"]
    out = []
    if errors["kinds"]:
        kinds = sorted(errors["kinds"].items(), key=lambda each: (-each[1], each[0]))
        out.append(_row("kinds", ", ".join(f"{count} {escape_line(kind)}" for kind, count in kinds)))
    if errors["example"] is not None:
        out.append(_row("example", escape_line(errors["example"])))
    if errors["first_log_line"] is not None:
        out.append(_row("in the log", escape_line(errors["first_log_line"])))
    return out


def _findings(record: Record, folded: Set[str] = frozenset()) -> list[str]:
    """Return each finding with its evidence; those of folded hosts that hold are only counted, by finding."""
    out, counted = [], 0
    for index, host, finding in number_findings(record):
        if host in folded and finding["verdict"] == "pass":
            counted += 1
            continue
        name = f"{host}: " if host else ""
        out.append(f"{index:>4}. {verdict_mark(finding['verdict'])} {name}{finding_text(finding)}")
        if finding["evidence"]:
            out.append(f"        {escape_line(finding['evidence'])}")
        if finding.get("control") is not None:
            out.append(f"        without a fault: {format_quantity(finding['control'], finding['unit'])}")
    return [*out, f"      … and {counted} ✓ of {len(folded)} other hosts, in the log"] if counted else out
