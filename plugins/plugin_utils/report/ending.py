# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last 30 lines of every report: key findings, the five questions, the three verdicts, the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..record.missing_host import is_stub, owes_record
from ..words import VERDICT_MARKS, clip_text, escape_line, leftover_text, outcome_text, verdict_mark
from . import hosts_overview
from .finding_lines import VERDICTS, render_findings
from .five_questions import answer_questions

Record = dict[str, Any]
LINES = 30
WIDTH = 110
FILES = (("log", "log"), ("bpf", "BPF events"), ("json", "record"), ("html", "page"), ("xml", "JUnit"))
#: So many reasons of a fleet's outcome stand in lines of their own; the table of the hosts has all.
REASONS = 3


def render_ending(record: Record, files: Mapping[str, str], width: int = WIDTH) -> list[str]:
    """Return at most 30 lines of at most ``width`` characters.

    files: path by kind (``log bpf json html xml``), those that there are. Findings that do not fit are folded into
    one line that counts them; the full list stands in :func:`details.render_details`. Of several hosts the bad findings
    come first and name their host, and what holds on all of them is one line.
    """
    rest = [
        *("", "FIVE QUESTIONS:", *(clip_text(each, width) for each in _questions(record))),
        *("", *(clip_text(each, width) for each in [*outcome_lines(record), *_verdicts(record)])),
        *("", *(f"{title + ':':<12}{escape_line(files[kind])}" for kind, title in FILES if kind in files)),
    ]
    return ["KEY FINDINGS:", *_findings(record, LINES - 1 - len(rest), width), *rest]


def _findings(record: Record, room: int, width: int) -> list[str]:
    found = render_findings(record)
    if not found:
        return [clip_text("    none: nothing was measured", width)]
    folded = []
    if len(found) > room:
        found = render_findings(record, apart=1)  # a finding a line, before any is left out
    if len(found) > room:
        found.sort(key=lambda each: VERDICTS.index(each[2]))
        found, folded = found[: room - 1], found[room - 1 :]
    out = [
        f"{clip_text(f'{index:>2}. {text}', width - 4):<{width - 4}}  {verdict_mark(verdict)}"
        for index, text, verdict in found
    ]
    if folded:
        counts = tally_verdicts(verdict for _index, _text, verdict in folded)
        out.append(f"    … and {len(folded)} more ({counts}), in full above")
    return out


def tally_verdicts(verdicts: Any) -> str:
    """Return ``7 ✓, 1 🚨, 2 ?``, leaving out what there is none of."""
    count = Counter(verdicts)
    return ", ".join(f"{count[key]} {mark}" for key, mark in VERDICT_MARKS.items() if count[key]) or "none"


def _questions(record: Record) -> list[str]:
    return [
        f"{index}. {question:<33}{answer}"
        for index, (question, answer) in enumerate(answer_questions(record["hosts"]), 1)
    ]


def outcome_lines(record: Record) -> list[str]:
    """Return the outcome, and of a fleet how many hosts ended how, and which are behind the outcome and why."""
    outcome, *still_open = outcome_text(record).split(", ", 1)
    hosts, head = record["hosts"], ", ".join([f"OUTCOME: {outcome.upper()}", *still_open])
    if len(hosts) == 1:
        return [f"{head}{_cause(record)}"]
    head += f": {hosts_overview.count_outcomes(hosts)}"
    behind = [
        host
        for host in hosts
        if hosts_overview.is_bad(host) or host["outcome"] == record["outcome"] == "skipped"
    ]
    told = hosts_overview.explain_hosts(behind)
    if len(told) < 2:
        return ["".join([head, *(f": {reason}" for reason in told)])]
    more = [f"… and {len(told) - REASONS} more, see HOSTS above"] if len(told) > REASONS else []
    return [head, *(f"         {each}" for each in [*told[:REASONS], *more])]


def _verdicts(record: Record) -> list[str]:
    out = []
    for key, reason in explain_verdicts(record).items():
        verdict = record["verdicts"][key]
        out.append(f"{key.capitalize() + ':':<12}{verdict:<8}{verdict_mark(verdict)}  {reason}")
    return out


def explain_verdicts(record: Record) -> dict[str, str]:
    """Return what each of the three verdicts rests on, in a few words; of several hosts, on which of them."""
    told = {"effect": _effect(record), "hypothesis": _hypothesis(record), "restored": _restored(record)}
    out = {}
    for key, reason in told.items():
        same = [host for host in record["hosts"] if host["verdicts"][key] == record["verdicts"][key]]
        where = hosts_overview.say_where(same, record["hosts"]).lstrip()
        out[key] = "; ".join(filter(None, (where, reason)))
    return out


def _cause(record: Record) -> str:
    """Return, for a run that came to no end of its own, why: the first note of its host."""
    notes = record["hosts"][0]["notes"]
    return f": {escape_line(notes[0])}" if notes and record["outcome"] not in ("passed", "failed") else ""


def _effect(record: Record) -> str:
    hosts = record["hosts"]
    untouched = [host for host in hosts if not any(fault["injected_at"] for fault in host["faults"])]
    # Where a host was lost a fault may have been in force: nobody knows yet.
    lost = [
        host for host in untouched if owes_record(host) and (len(hosts) > 1 or host["outcome"] == "aborted")
    ]
    if len(untouched) == len(hosts):
        return "not known" if lost else "nothing was injected"
    faults = [fault for host in hosts for fault in host["faults"] if fault["injected_at"]]
    parts = _proofs([each for fault in faults for each in fault["proof"]])
    untouched = [host for host in untouched if host not in lost]
    parts += [f"not known{hosts_overview.say_where(lost, hosts)}"] if lost else []
    parts += [f"nothing was injected{hosts_overview.say_where(untouched, hosts)}"] if untouched else []
    return "; ".join([*parts, *_blind(hosts)])


def _proofs(proof: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many of the proofs that were tried hold, which required one failed, how many were not tried."""
    tried = [each for each in proof if each["holds"] is not None]
    failed = [each for each in tried if each.get("required") and not each["holds"]]
    parts = [f"{sum(1 for each in tried if each['holds'])} of {len(tried)} proofs hold"]
    if failed:
        parts.append(f"required and failed: {escape_line(failed[0]['fact'])}")
    if len(tried) < len(proof):
        parts.append(f"not tried: {len(proof) - len(tried)}")
    return parts


def _blind(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the kernel's witness could not see: a verdict shall say what it does not rest on."""
    # Of several hosts, one without a run misses no capture.
    ran = [host for host in hosts if len(hosts) == 1 or not is_stub(host)]
    missing: dict[str, list[Mapping[str, Any]]] = {}
    for host in ran:
        if host["bpf"]["status"] != "attached":
            missing.setdefault(host["bpf"]["status"], []).append(host)
    out = [
        f"BPF {status}{hosts_overview.say_where(group, hosts)}, so no kernel events"
        for status, group in missing.items()
    ]
    attached = [host for host in ran if host["bpf"]["status"] == "attached"]
    unproven = [host for host in attached if host["bpf"]["positive_control"] is not True]
    if unproven:
        out.append(f"BPF did not see our own connect{hosts_overview.say_where(unproven, hosts)}")
    losing = [host for host in attached if host not in unproven and host["bpf"]["lost"]]
    if losing:
        lost = sum(host["bpf"]["lost"] for host in losing)
        out.append(f"BPF lost {lost} events{hosts_overview.say_where(losing, hosts)}")
    return out


def _hypothesis(record: Record) -> str:
    return f"findings: {tally_verdicts(each['verdict'] for host in record['hosts'] for each in host['findings'])}"


def _restored(record: Record) -> str:
    left = [(host, each) for host in record["hosts"] for each in host["leftovers"]]
    if not left:
        return "0 differences found" if record["verdicts"]["restored"] != "unknown" else "not compared"
    host, first = left[0]
    name = f"{escape_line(host['host'])}: " if len(record["hosts"]) > 1 else ""
    return f"{len(left)} left behind, first {name}{leftover_text(first)}"
