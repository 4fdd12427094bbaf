# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to be warned next time: alert rules for Prometheus, a dashboard for Grafana, and plain checks. Pure.

Only what moved in this run is alerted on, with the lead that was measured. Metrics are those of the usual exporters
(blackbox, postgres, redis, node, cAdvisor); a user whose metrics have other names changes them in one place each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from ...words import escape_line, format_number
from ..page.words import bound_texts, to_epoch
from .signals import AlertSignal

Record = Mapping[str, Any]
_STORES = {"database": "pg_up", "cache": "redis_up"}
_KERNEL = {
    "CONN_FAILED": "rate(node_netstat_Tcp_AttemptFails[1m]) > 0",
    "CONN_RESET": "rate(node_netstat_Tcp_EstabResets[1m]) > 0",
    "CONN_GAVE_UP": "rate(node_netstat_TcpExt_TCPTimeouts[1m]) > 0",
    "OOM_KILL": "increase(node_vmstat_oom_kill[1m]) > 0",
}


def render_rules(record: Record, signals: Sequence[AlertSignal], spec: Mapping[str, Any]) -> str:
    """Return rules for Prometheus (YAML), an alert for each signal that moved no later than the users felt it."""
    name = escape_line(record["experiment"]["name"])
    rules = []
    seen = set()
    for signal in signals:
        expression = expression_of(signal, spec)
        late = signal.lead_s is not None and signal.lead_s < 0
        if not expression or late or expression in seen:
            continue
        seen.add(expression)
        rules.append(
            {
                "alert": _alert_name(name, signal),
                "expr": expression,
                "for": "0s",
                "labels": {"severity": "page" if signal.source == "users" else "warning", "experiment": name},
                "annotations": {
                    "summary": f"{escape_line(signal.words)}: seen in experiment {name}, "
                    f"fault {escape_line(signal.fault)}",
                    "description": describe_signal(signal, record),
                },
            }
        )
    head = f"# From what moved in run {escape_line(record['run_id'])}. Metric names are those of the usual exporters.\n"
    return head + yaml.safe_dump(
        {"groups": [{"name": f"chaos-{name}", "rules": rules}]}, sort_keys=False, width=120
    )


def expression_of(signal: AlertSignal, spec: Mapping[str, Any]) -> str:
    """Return the expression that would have fired, "" where no usual exporter tells it."""
    if signal.source == "probe":
        probes: list[Mapping[str, Any]] = spec.get("probes") or []
        probe = next((one for one in probes if one.get("name") == signal.name), {})
        if probe.get("url"):
            return f"probe_success{{instance={json.dumps(str(probe['url']))}}} == 0"
        return f"{_STORES[signal.name]} == 0" if signal.name in _STORES else ""
    if signal.source == "engine":
        service = json.dumps(escape_line(signal.name))
        return f"time() - container_last_seen{{container_label_com_docker_compose_service={service}}} > 2"
    if signal.source == "users":
        return 'sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m])) > 0.02'
    return _KERNEL.get(signal.name, "")


def describe_signal(signal: AlertSignal, record: Record) -> str:
    """Return when a signal moved, and how long before users felt it."""
    text = f"moved {format_number(round(signal.after_s, 3))} s after the injection of {escape_line(signal.fault)}"
    if signal.lead_s:
        side = "before" if signal.lead_s > 0 else "after"
        text += f", {format_number(round(abs(signal.lead_s), 3))} s {side} the first order failed"
    return f"{text}; run {escape_line(record['run_id'])}"


def _alert_name(name: str, signal: AlertSignal) -> str:
    words = re.findall(r"[A-Za-z0-9]+", f"{name} {signal.source} {signal.name}")
    return "".join(word[:1].upper() + word[1:] for word in words)


def render_dashboard(record: Record, signals: Sequence[AlertSignal], spec: Mapping[str, Any]) -> str:
    """Return a dashboard for Grafana (JSON): a panel for each signal, the faults of this run as annotations."""
    expressions = dict.fromkeys(filter(None, (expression_of(signal, spec) for signal in signals)))
    queries = dict.fromkeys(re.sub(r" (==|>) [\d.]+$", "", expression) for expression in expressions)
    panels = [
        {
            "id": index + 1,
            "type": "timeseries",
            "title": query,
            "gridPos": {"h": 8, "w": 12, "x": 12 * (index % 2), "y": 8 * (index // 2)},
            "targets": [{"refId": "A", "expr": query}],
        }
        for index, query in enumerate(queries)
    ]
    made = {
        "title": f"Chaos experiment {record['experiment']['number']:02d}: {record['experiment']['title']}",
        "tags": ["chaos", record["experiment"]["name"]],
        "schemaVersion": 39,
        "timezone": "utc",
        "time": {"from": record["started_at"], "to": record["ended_at"]},
        "panels": panels,
        "annotations": {"list": [{
            "name": "Faults", "enable": True, "iconColor": "orange", "type": "tags",
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "target": {"type": "tags", "tags": ["chaos", record["experiment"]["name"]], "limit": 100},
        }]},
    }  # fmt: skip
    return json.dumps(bound_texts(made), indent=1, ensure_ascii=False) + "\n"


def render_annotations(record: Record) -> str:
    """Return the faults as what Grafana's HTTP API takes (POST /api/annotations, one each), which shade them."""
    found = [
        {
            "time": int(to_epoch(fault["injected_at"]) * 1000),
            "timeEnd": int(to_epoch(fault["undone_at"] or fault["injected_at"]) * 1000),
            "tags": ["chaos", record["experiment"]["name"], host["host"]],
            "text": f"{fault['id']}: {fault['kind']} of {fault['target']} on {host['host']}",
        }
        for host in record["hosts"]
        for fault in host["faults"]
        if fault["injected_at"]
    ]
    return json.dumps(bound_texts(found), indent=1, ensure_ascii=False) + "\n"


def render_checks(record: Record, signals: Iterable[AlertSignal], spec: Mapping[str, Any]) -> str:
    """Return the probes that moved as checks without any exporter (YAML): what to ask, what must come, how soon."""
    moved = {signal.name: signal for signal in signals if signal.source == "probe"}
    checks = []
    for probe in spec.get("probes") or []:
        signal = moved.get(str(probe.get("name")))
        if signal is None:
            continue
        checks.append(
            {
                "name": escape_line(probe["name"]),
                "ask": escape_line(probe.get("url") or f"{probe.get('service')}:{probe.get('port')}"),
                "expect": probe.get("expect") or "a connection",
                "within_s": probe.get("timeout_s"),
                "seen": describe_signal(signal, record),
            }
        )
    return yaml.safe_dump({"checks": bound_texts(checks)}, sort_keys=False, width=120)
