# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last 30 lines of every report: key findings, the five questions, the three verdicts, the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .answers import answers
from .words import VERDICT_MARKS, clean, clip, quantity, scalar, threshold, verdict_mark

Record = dict[str, Any]
LINES = 30
WIDTH = 110
FILES = (("log", "log"), ("bpf", "BPF events"), ("json", "record"), ("html", "page"), ("xml", "JUnit"))
_BAD_FIRST = ("fail", "unknown", "pass")


def closing(record: Record, files: Mapping[str, str], width: int = WIDTH) -> list[str]:
    """Return at most 30 lines of at most ``width`` characters.

    files: path by kind (``log bpf json html xml``), those that there are. Findings that do not fit are folded into
    one line that counts them; the full list stands in :func:`details.findings`.
    """
    rest = [
        *("", "FIVE QUESTIONS:", *(clip(each, width) for each in _questions(record))),
        *("", *(clip(each, width) for each in _verdicts(record))),
        *("", *(f"{title + ':':<12}{clean(files[kind])}" for kind, title in FILES if kind in files)),
    ]
    return ["KEY FINDINGS:", *_findings(record, LINES - 1 - len(rest), width), *rest]


def finding_text(finding: Mapping[str, Any]) -> str:
    """Return ``Recovery: 0.86 to 0.9 s (≤ 60 s)``: title, value, unit and threshold of one finding."""
    limit, unit = finding["threshold"], finding["unit"]
    value = quantity(finding["value"], unit, limit["value"] if limit else None)
    return " ".join(filter(None, (f"{clean(finding['title'])}: {value}", threshold(limit, unit))))


def numbered(record: Record) -> list[tuple[int, str, Mapping[str, Any]]]:
    """Return all findings of all hosts with their number and, if there are several hosts, their host's name."""
    several = len(record["hosts"]) > 1
    pairs = [
        (clean(host["host"]) if several else "", each)
        for host in record["hosts"]
        for each in host["findings"]
    ]
    return [(index, host, each) for index, (host, each) in enumerate(pairs, 1)]


def _findings(record: Record, room: int, width: int) -> list[str]:
    found = numbered(record)
    if not found:
        return [clip("    none: nothing was measured", width)]
    folded: list[tuple[int, str, Mapping[str, Any]]] = []
    if len(found) > room:
        found.sort(key=lambda each: _BAD_FIRST.index(each[2]["verdict"]))
        found, folded = found[: room - 1], found[room - 1 :]
    out = []
    for index, host, finding in found:
        text = f"{index:>2}. {f'{host}: ' if host else ''}{finding_text(finding)}"
        out.append(f"{clip(text, width - 4):<{width - 4}}  {verdict_mark(finding['verdict'])}")
    if folded:
        counts = tally(each[2]["verdict"] for each in folded)
        out.append(f"    … and {len(folded)} more ({counts}), in full above")
    return out


def tally(verdicts: Any) -> str:
    """Return ``7 ✓, 1 🚨, 2 ?``, leaving out what there is none of."""
    count = Counter(verdicts)
    return ", ".join(f"{count[key]} {mark}" for key, mark in VERDICT_MARKS.items() if count[key]) or "none"


def _questions(record: Record) -> list[str]:
    return [
        f"{index}. {question:<33}{answer}"
        for index, (question, answer) in enumerate(answers(record["hosts"]), 1)
    ]


def _verdicts(record: Record) -> list[str]:
    reasons = {"effect": _effect(record), "hypothesis": _hypothesis(record), "restored": _restored(record)}
    lines = [f"OUTCOME: {record['outcome'].upper()}{_cause(record)}"]
    for key, reason in reasons.items():
        verdict = record["verdicts"][key]
        lines.append(f"{key.capitalize() + ':':<12}{verdict:<8}{verdict_mark(verdict)}  {reason}")
    return lines


def _cause(record: Record) -> str:
    """Return, for a run that came to no end of its own, why: the first note of a host with that outcome."""
    if record["outcome"] in ("passed", "failed"):
        return ""
    told = [
        host["notes"][0] for host in record["hosts"] if host["outcome"] == record["outcome"] and host["notes"]
    ]
    return f": {clean(told[0])}" if told else ""


def _effect(record: Record) -> str:
    faults = [fault for host in record["hosts"] for fault in host["faults"] if fault["injected_at"]]
    if not faults:
        return "nothing was injected"
    proof = [each["holds"] for fault in faults for each in fault["proof"]]
    parts = [f"{sum(1 for each in proof if each)} of {len(proof)} proofs hold"]
    parts += _blind(record["hosts"])
    return "; ".join(parts)


def _blind(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the kernel's witness could not see: a verdict shall say what it does not rest on."""
    out = []
    for host in hosts:
        bpf, name = host["bpf"], f" on {clean(host['host'])}" if len(hosts) > 1 else ""
        if bpf["status"] != "attached":
            out.append(f"BPF {bpf['status']}{name}, so no kernel events")
        elif bpf["positive_control"] is not True:
            out.append(f"BPF did not see our own connect{name}")
        elif bpf["lost"]:
            out.append(f"BPF lost {bpf['lost']} events{name}")
    return out


def _hypothesis(record: Record) -> str:
    return f"findings: {tally(each['verdict'] for host in record['hosts'] for each in host['findings'])}"


def _restored(record: Record) -> str:
    left = [(host, each) for host in record["hosts"] for each in host["leftovers"]]
    if not left:
        return "0 differences found" if record["verdicts"]["restored"] != "unknown" else "not compared"
    host, first = left[0]
    name = f"{clean(host['host'])}: " if len(record["hosts"]) > 1 else ""
    return f"{len(left)} left behind, first {name}{leftover_text(first)}"


def leftover_text(left: Mapping[str, Any]) -> str:
    """Return ``cgroup memory.max of trading-api: 512 → 64`` of one leftover."""
    before, after = ("none" if left[key] is None else scalar(left[key]) for key in ("before", "after"))
    return f"{clean(left['kind'])} {clean(left['what'])}: {before} → {after}"
