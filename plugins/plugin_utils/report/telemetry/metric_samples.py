# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as numbers for Prometheus: the names, what they mean, and their values. From the record alone, pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ....module_utils.common.shapes import Recorded, is_number
from ...record.clocks import align_clocks
from ..page.words import harmless_text, to_epoch

OUTCOMES = ("passed", "failed", "invalid", "skipped", "aborted")
VERDICTS = ("pass", "fail", "unknown")
PREFIX = "exchange_chaos_"
#: By name, without the prefix. Each is a gauge, which every version of the text format has.
MEANINGS = {
    "run_started_timestamp_seconds": "When the newest run of the experiment began.",
    "run_ended_timestamp_seconds": "When it ended.",
    "run_outcome": "1 for what it came to, 0 for the other outcomes.",
    "verdict": "1 for the state that a verdict of a host has, 0 for the others.",
    "finding_value": "A finding's value, in the unit of the record; of an interval, its worse end.",
    "finding_holds": "1 if a finding is within its threshold, 0 if not; none while it is unknown.",
    "recovery_seconds": "From the injection until steady state held again.",
    "orders": "Orders of the ledger by what became of them.",
    "requests": "Requests of a phase.",
    "request_errors": "Those of them that failed.",
    "request_latency_seconds": "From the intended send time to the answer: p50, p95, p99, max.",
    "fault_injected_timestamp_seconds": "When a fault took effect.",
    "fault_undone_timestamp_seconds": "When it was undone; none while it is not.",
}
_STATISTICS = ("p50", "p95", "p99", "max")


@dataclass(frozen=True)
class MetricSample:
    """One sample: a name of MEANINGS, its labels, its value."""

    name: str
    labels: Mapping[str, str]
    value: float


def list_samples(record: Recorded) -> list[MetricSample]:
    """Return the samples of a run. What was not measured has none: 0 would read as good."""
    record = align_clocks(record)
    which = {
        "number": f"{record['experiment']['number']:02d}",
        "experiment": harmless_text(record["experiment"]["name"]),
    }
    # a later finding, phase or fault of the same name speaks last: a series has one value
    found: dict[tuple[str, tuple[tuple[str, str], ...]], MetricSample] = {}
    for name, labels, value in _all(record):
        if is_number(value):
            given = {**which, **{key: harmless_text(each) for key, each in labels.items()}}
            found[name, tuple(sorted(given.items()))] = MetricSample(name, given, float(value))
    return list(found.values())


def _all(record: Recorded) -> Iterator[tuple[str, dict[str, object], object]]:
    yield "run_started_timestamp_seconds", {}, to_epoch(record["started_at"])
    yield "run_ended_timestamp_seconds", {}, to_epoch(record["ended_at"])
    for outcome in OUTCOMES:
        yield "run_outcome", {"outcome": outcome}, int(record["outcome"] == outcome)
    for host in record["hosts"]:
        for name, labels, value in _host(host):
            yield name, {"host": host["host"], **labels}, value


def _host(host: Recorded) -> Iterator[tuple[str, dict[str, object], object]]:
    for verdict, state in host["verdicts"].items():
        for each in VERDICTS:
            yield "verdict", {"verdict": verdict, "state": each}, int(state == each)
    for finding in host["findings"]:
        labels = {"finding": finding["id"], "unit": finding["unit"] or ""}
        yield "finding_value", labels, _number_of(finding)
        if finding["verdict"] != "unknown":
            yield "finding_holds", {"finding": finding["id"]}, int(finding["verdict"] == "pass")
    yield "recovery_seconds", {}, host["questions"]["recovery_s"]
    for state in ("acknowledged", "lost", "duplicated", "unacknowledged_applied"):
        yield "orders", {"state": state}, host["ledger"][state]
    for phase in host["phases"]:
        labels = {"phase": phase["id"], "fault": phase["fault"] or ""}
        yield "requests", labels, phase["requests"]
        yield "request_errors", labels, phase["errors"]
        for key in _STATISTICS:
            took = phase["latency_ms"][key]
            yield (
                "request_latency_seconds",
                {**labels, "statistic": key},
                took if took is None else took / 1000,
            )
    for fault in host["faults"]:
        labels = {"fault": fault["id"], "kind": fault["kind"], "target": fault["target"]}
        for key in ("injected", "undone"):
            at = fault[f"{key}_at"]
            yield f"fault_{key}_timestamp_seconds", labels, at and to_epoch(at)


def _number_of(finding: Recorded) -> object:
    """Return the value of a finding as a number, None if it is words or was not measured."""
    value = finding["value"]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        limit = finding["threshold"]
        return min(value) if limit and limit["op"] == ">=" else max(value)
    return value
