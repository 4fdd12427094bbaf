# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated runs of experiments 07, 08 and 10, made of :mod:`.scenario`: targets, probes, gauges. No tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.scenario import Episode, Scenario

PORTS = {"postgres": 5432, "redis": 6379, "nginx": 80}
#: Name, role and rate of further probes, and when they are bad: (scenario, boottime) -> bad.
Bad = Callable[["Kills", float], bool]
Further = tuple[str, str, float, Bad]


@dataclass
class Kills(Scenario):
    """A run whose faults kill ``targets``; their ports are down as the episodes say for the store.

    further: probes besides those of every run. gauges: name -> {moment: value}, read in each fault; moments as in
    module_utils/observe/gauges.py. kills: exits by service, seconds after the injection.
    """

    targets: Sequence[str] = ("redis",)
    further: list[Further] = field(default_factory=list)
    gauges: dict[str, Mapping[str, float | None]] = field(default_factory=dict)
    kills: dict[str, float | None] = field(default_factory=dict)
    resets: int = 0
    moved: str | None = None

    def away(self, t: float) -> bool:
        """Is the target's port closed at ``t``?"""
        return any(episode.down(t) for episode in self.episodes)

    def probe_lines(self) -> list[dict[str, Any]]:
        """Return probes.jsonl: a port for each target that has one, and the further probes."""
        found = [line for line in super().probe_lines() if line["probe"] != "database"]
        ports: list[Further] = [
            (f"port_{service}", "store", 50.0, lambda scenario, t: scenario.away(t))
            for service in self.targets
            if service in PORTS
        ]
        for name, role, rate, bad in (*ports, *self.further):
            for at in self._ticks(self.load_from, self.end, rate):
                wrong = bad(self, at + 0.001)
                line = {
                    "probe": name,
                    "role": role,
                    "at": at,
                    "end": at + 0.002,
                    "ok": not wrong,
                    "status": 0,
                }
                found.append({**line, "kind": "other" if wrong else "ok", "detail": "bad" if wrong else None})
        return sorted(found, key=lambda line: line["end"])

    def _rename(self, lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """What the scenario says of postgres happens to every target."""
        for line in lines:
            if line.get("service") == "postgres":
                for index, service in enumerate(self.targets):
                    pid = {"pid": line["pid"] + index} if "pid" in line else {}
                    yield {**line, "service": service, "t": line["t"] + self._late(service), **pid}
            else:
                yield line

    def _late(self, service: str) -> float:
        return (self.kills.get(service) or 0.001) - 0.001

    def bpf_lines(self) -> list[dict[str, Any]]:
        """Return bpf.jsonl."""
        found = list(self._rename(super().bpf_lines()))
        for number in range(self.resets if found else 0):
            at = self.episodes[-1].at + 0.1 + number * 0.01
            found.append({"t": at, "event": "CONN_RESET", "service": "nginx", "lport": 80, "control": False})
        return found

    def engine_lines(self) -> list[dict[str, Any]]:
        """Return engine.jsonl."""
        found = list(self._rename(super().engine_lines()))
        for line in found:
            if self.moved and line["action"] == "start" and line["service"] == "trading-api":
                line["addresses"] = [self.moved]
        return found

    def timeline_lines(self) -> list[dict[str, Any]]:
        """Return timeline.jsonl: with all targets, and what the gauges read."""
        found = super().timeline_lines()
        for line in found:
            if line["event"] == "fault_injected":
                line["target"] = self.targets[0]
                if len(self.targets) > 1:
                    pid = self.episode(line["fault"]).pid
                    line["targets"] = list(self.targets)
                    line["kills"] = [
                        {"service": service, "pid": pid + index, "exited": self._exited(line["t"], service)}
                        for index, service in enumerate(self.targets)
                    ]
                    line["pids"] = [kill["pid"] for kill in line["kills"]]
        found += [line for episode in self.episodes for line in self._measured(episode)]
        return sorted(found, key=lambda line: line["t"])

    def _exited(self, injected: float, service: str) -> float | None:
        after = self.kills.get(service, 0.001)
        return None if after is None else injected + after

    def _measured(self, episode: Episode) -> Iterator[dict[str, Any]]:
        marks = {
            "begin": episode.at + 1,
            "end": episode.at + episode.hold - 0.5,
            "undone": episode.at + episode.hold + 1,
            "steady": min(episode.recovered + 3.1, self.end),
        }
        for name, values in self.gauges.items():
            for moment, value in values.items():
                t = marks.get(moment, self.baseline[1])
                fault = episode.id if moment in marks else None
                head = {"event": "measured", "fault": fault, "name": name, "moment": moment}
                yield {**head, "t": t, "value": value, "error": None}

    def spec_data(self) -> dict[str, Any]:
        """Return spec.json."""
        spec = super().spec_data()
        spec["services"] = {**spec["services"], "proxy": "nginx", "simulator": "market-simulator"}
        spec["containers"]["trading-api"] = [{"id": "c2", "addresses": ["172.18.0.4"]}]
        for fault in spec["faults"]:
            fault["target"] = self.targets[0]
            if len(self.targets) > 1:
                fault["targets"] = list(self.targets)
        probes = [probe for probe in spec["probes"] if probe["name"] != "database"]
        for service in self.targets:
            if service in PORTS:
                port = {"name": f"port_{service}", "kind": "tcp", "role": "store", "service": service}
                probes.append({**port, "port": PORTS[service], "rate": 10})
        probes += [
            {"name": name, "kind": "http", "role": role, "rate": 5} for name, role, _, _ in self.further
        ]
        return {**spec, "probes": probes, **self.spec}


def cache_run(**changes: Any) -> Kills:
    """An exchange that bears the loss of its cache: orders go on, health says so, prices come again."""
    crash, outage = Scenario().episodes
    for episode in (crash, outage):
        episode.error, episode.log_line = "cache redis:6379: refused", "WARN cache redis:6379 lost"
    made = {
        "episodes": [crash, outage],
        "further": [("subscription", "subscription", 10.0, lambda scenario, t: scenario.away(t - 0.2))],
        "gauges": {
            "database_transactions": {
                "before": 0,
                "begin": 1000,
                "end": 1210,
                "undone": 1400,
                "steady": 1722,
            },
            "events_published": {"before": 10, "begin": 20, "end": 20, "undone": 22, "steady": 90},
            "events_lost": {"before": 0, "begin": 3, "steady": 120},
            "cache_keys": {"before": 4, "steady": 3},
        },
        **changes,
    }
    return Kills(**made)


def proxy_run(**changes: Any) -> Kills:
    """An exchange whose proxy dies and nothing else: orders, readiness and peers never notice."""
    crash, outage = Scenario().episodes
    for episode in (crash, outage):
        episode.api_bad, episode.log_line = None, None
    made = {
        "episodes": [crash, outage],
        "targets": ("nginx",),
        "further": [
            ("front", "front", 25.0, lambda scenario, t: scenario.away(t) or scenario.away(t - 0.1)),
            ("peer", "peer", 10.0, lambda scenario, t: False),
        ],
        **changes,
    }
    return Kills(**made)


def several_run(**changes: Any) -> Kills:
    """Database, cache and API die at once; the API is good last, and the proxy finds it again."""
    crash = Scenario().episodes[0]
    crash.api_died = 0.05
    made = {
        "episodes": [crash],
        "targets": ("postgres", "redis", "trading-api"),
        "kills": {"postgres": 0.003, "redis": 0.001, "trading-api": 0.002},
        "further": [
            ("front", "front", 25.0, lambda scenario, t: scenario.failing(t) or scenario.failing(t - 0.2))
        ],
        "restore": {
            "leftovers": [],
            "restarts": {"postgres": 1, "redis": 1, "trading-api": 1},
            "unasked_restarts": [],
            "unchecked": [],
        },
        **changes,
    }
    return Kills(**made)
