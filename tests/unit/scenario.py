# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated run of experiment 01: consistent raw files of which the true answers are known.

Change a field of :class:`Scenario` (or of an :class:`Episode`) to simulate another exchange or another mishap;
``write`` lays the raw files into a folder exactly as the host runtime does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.evidence import steady_state
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import (
    Evidence,
    load_evidence,
    parse_orders,
    parse_samples,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification

T0 = 5000.0
REALTIME = 1795456800.0
DATABASE_PORT = 5432
API_PIDS = (2101, 2102)


@dataclass
class Episode:
    """One fault and what the exchange made of it; all times in seconds after the injection unless said otherwise.

    store_down/store_up: the port's outage. api_bad/api_good: from when to when the API fails its orders and its
    readiness; None never. hold: the outage we hold, 0 for a crash.
    """

    id: str
    at: float
    mode: str = "process"
    hold: float = 0.0
    pid: int = 1700
    store_down: float | None = 0.002
    store_up: float = 0.9
    started: float | None = 0.5
    api_bad: float | None = 0.012
    api_good: float | None = 1.4
    api_died: float | None = None
    retries: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.85)
    kernel_exit: bool = True
    module_proof: bool = True
    exit_code: int = 137
    undone: bool = True
    how: str = "postgres was running again"
    error: str | None = "database unavailable: connection to postgres:5432 refused"
    log_line: str | None = "ERROR pool: cannot reach postgres, retrying"
    slow_ms: float | None = None

    def down(self, t: float) -> bool:
        """Is the store's port closed at boottime ``t``?"""
        return self.store_down is not None and self.at + self.store_down <= t < self.at + self.store_up

    def failing(self, t: float) -> bool:
        """Does the API fail at boottime ``t``?"""
        if self.api_bad is None:
            return False
        return self.at + self.api_bad <= t and (self.api_good is None or t < self.at + self.api_good)

    @property
    def recovered(self) -> float:
        """The true instant at which steady state was back, boottime; infinite if never."""
        if self.api_bad is not None and self.api_good is None:
            return float("inf")
        return self.at + max(self.store_up if self.store_down is not None else 0.0, self.api_good or 0.0)


@dataclass
class Scenario:
    """A whole run. Times of the run are boottime.

    phase_offset shifts all samples against the faults; an answer takes answer_s (an order) or 2 ms (a probe), and
    tells the state the exchange was in at the share seen_at of that time.
    """

    episodes: list[Episode] = field(
        default_factory=lambda: [
            Episode("crash", T0 + 10.0),
            Episode(
                "outage",
                T0 + 16.0,
                mode="engine",
                hold=5.0,
                pid=1800,
                started=5.2,
                store_up=5.6,
                api_good=6.1,
                retries=(0.2, 0.6, 1.4, 3.0, 5.4),
                how="postgres started through the engine",
            ),
        ]
    )
    end: float = T0 + 26.0
    load_from: float = T0 + 0.5
    baseline: tuple[float, float] = (T0 + 1.0, T0 + 9.0)
    steady_rate: float = 10.0
    watch_rate: float = 40.0
    burst_rate: float = 200.0
    health_rate: float = 50.0
    phase_offset: float = 0.0
    answer_s: float = 0.004
    seen_at: float = 0.5
    order_ok: Callable[[float], bool] = lambda t: True
    control: bool | None = True
    capture: str = "attached"
    lost_events: int = 0
    ledger: dict[str, Any] | None = field(
        default_factory=lambda: {
            "lost": 0,
            "duplicated": 0,
            "unacknowledged_applied": 2,
            "shortest_visible_loss_ms": 5.2,
        }
    )
    restore: dict[str, Any] | None = field(
        default_factory=lambda: {
            "leftovers": [],
            "restarts": {"postgres": 1},
            "unasked_restarts": [],
            "unchecked": [],
        }
    )
    extra_timeline: list[dict[str, Any]] = field(default_factory=list)
    extra_engine: list[dict[str, Any]] = field(default_factory=list)
    cache_reads: bool | None = None
    before_connects: int = 0
    spec: dict[str, Any] = field(default_factory=dict)

    # ---- what the exchange does

    def failing(self, t: float) -> bool:
        """Does the API fail at ``t``, whatever for?"""
        return any(episode.failing(t) for episode in self.episodes) or not self.order_ok(t)

    def windows(self) -> Iterator[tuple[float, float]]:
        """Yield from when to when the observers are dense: 1 s before each fault until 3 s after its recovery."""
        ends = [episode.at - 1.0 for episode in self.episodes[1:]] + [self.end]
        for episode, end in zip(self.episodes, ends):
            yield episode.at - 1.0, min(end, episode.recovered + 3.1)

    def dense(self, t: float) -> bool:
        """Are the observers dense at ``t``?"""
        return any(start <= t < end for start, end in self.windows())

    # ---- raw files

    def load_lines(self) -> list[dict[str, Any]]:
        """Return load.jsonl."""
        lines = []
        due = [*self._steady(), *self._watch(), *self._burst()]
        for at, stream in sorted(one for one in due if one[0] >= self.load_from):
            bad = self.failing(at + 0.0005 + (self.answer_s - 0.0005) * self.seen_at)
            slow = next((e.slow_ms for e in self.episodes if e.slow_ms and e.at <= at < e.recovered), None)
            error = (
                next((e.error for e in reversed(self.episodes) if at >= e.at - 0.1), "failed")
                if bad
                else None
            )
            crashed = bad and any(e.api_died is not None and e.failing(at) for e in self.episodes)
            lines.append(
                {
                    "n": 100000 + len(lines),
                    "stream": stream,
                    "side": "BUY" if len(lines) % 2 else "SELL",
                    "at": at,
                    "sent": at + 0.0005,
                    "end": at + (slow / 1000 if slow and not bad else self.answer_s),
                    "status": 0 if crashed else 503 if bad else 201,
                    "ok": not bad,
                    "kind": "refused" if crashed else "error" if bad else "ok",
                    "id": None if bad else f"o-{len(lines)}",
                    "error": "Connection refused" if crashed else error,
                }
            )
        return [
            *lines,
            {"summary": {"scheduled": len(lines), "finished": len(lines), "dropped": 0, "in_flight": 0}},
        ]

    def _ticks(self, start: float, end: float, rate: float) -> Iterator[float]:
        count = 0
        while rate > 0 and (at := start + self.phase_offset + count / rate) < end:
            yield at
            count += 1

    def _steady(self) -> Iterator[tuple[float, str]]:
        yield from ((at, "steady") for at in self._ticks(self.load_from, self.end, self.steady_rate))

    def _watch(self) -> Iterator[tuple[float, str]]:
        for start, end in self.windows():
            yield from ((at, "watch") for at in self._ticks(start + 0.003, end, self.watch_rate))

    def _burst(self) -> Iterator[tuple[float, str]]:
        for episode in self.episodes:
            start = episode.at - 1.0
            yield from ((at, "burst") for at in self._ticks(start + 0.001, start + 1.1, self.burst_rate))

    def probe_lines(self) -> list[dict[str, Any]]:
        """Return probes.jsonl."""
        found = []
        for name, role, rate, dense in (
            ("ready", "readiness", 10.0, 100.0),
            ("health", "health", 10.0, self.health_rate),
            ("database", "store", 10.0, 100.0),
            ("book", "cache_read", 10.0, 10.0),
        ):
            if name == "book" and self.cache_reads is None:
                continue
            at = self.load_from + self.phase_offset
            while at < self.end:
                found.append(
                    {
                        "probe": name,
                        "role": role,
                        "at": at,
                        "end": at + 0.002,
                        **self._answer(role, at + 0.002 * self.seen_at),
                    }
                )
                at += 1 / (dense if self.dense(at) else rate)
        return sorted(found, key=lambda line: line["end"])

    def _answer(self, role: str, t: float) -> dict[str, Any]:
        if role == "store":
            down = any(episode.down(t) for episode in self.episodes)
            return {
                "ok": not down,
                "status": 0,
                "kind": "refused" if down else "ok",
                "detail": "Connection refused" if down else None,
            }
        if any(e.api_died is not None and e.failing(t) for e in self.episodes):
            return {"ok": False, "status": 0, "kind": "refused", "detail": "Connection refused"}
        bad = any(episode.failing(t) for episode in self.episodes)
        if role == "cache_read":
            bad = bad and not self.cache_reads
        status = 503 if bad and role != "health" else 200
        return {"ok": not bad, "status": status, "kind": "error" if bad else "ok", "detail": None}

    def bpf_lines(self) -> list[dict[str, Any]]:
        """Return bpf.jsonl."""
        if self.capture not in ("attached", "stopped"):
            return []
        api = {
            "comm": "python3",
            "service": "trading-api",
            "container": "api-1",
            "rport": DATABASE_PORT,
            "control": False,
        }
        found = [{**api, "t": T0 + 0.6, "event": "CONN_OK", "pid": 999, "control": True}]
        for count in range(self.before_connects):
            found.append(
                {**api, "t": self.baseline[0] + 0.1 * count, "event": "CONN_ATTEMPT", "pid": API_PIDS[0]}
            )
        for episode in self.episodes:
            if episode.kernel_exit:
                exit_line = {
                    "event": "PROC_EXIT",
                    "pid": episode.pid,
                    "comm": "postgres",
                    "service": "postgres",
                    "exit_signal": 9,
                }
                found.append({**exit_line, "t": episode.at + 0.001})
            for pid in API_PIDS:
                for retry in episode.retries:
                    t = episode.at + retry + 0.001 * API_PIDS.index(pid)
                    found.append({**api, "t": t, "event": "CONN_ATTEMPT", "pid": pid})
                    found.append({**api, "t": t + 0.0002, "event": "CONN_FAILED", "pid": pid, "errno": 111})
            if episode.retries and episode.api_good is not None:
                found.append(
                    {**api, "t": episode.at + episode.api_good - 0.02, "event": "CONN_OK", "pid": API_PIDS[0]}
                )
        return found

    def engine_lines(self) -> list[dict[str, Any]]:
        """Return engine.jsonl."""
        found = list(self.extra_engine)
        for episode in self.episodes:
            if episode.store_down is not None:
                found.append(_engine("postgres", "die", episode.at + 0.05, episode.exit_code))
                if episode.started is not None:
                    found.append(_engine("postgres", "start", episode.at + episode.started))
            if episode.api_died is not None:
                found.append(_engine("trading-api", "die", episode.at + episode.api_died, 1))
                found.append(_engine("trading-api", "start", episode.at + episode.api_died + 0.5))
        return found

    def timeline_lines(self) -> list[dict[str, Any]]:
        """Return timeline.jsonl."""
        found: list[dict[str, Any]] = [
            {"t": T0, "event": "log", "level": "ok", "step": "preflight", "text": "Docker found"},
            {"t": self.baseline[0], "event": "phase", "id": "baseline", "fault": None},
            {"t": self.baseline[1], "event": "phase_end", "id": "baseline"},
        ]
        for episode in self.episodes:
            found += self._episode_lines(episode)
        found.append({"t": self.end, "event": "observer_stopped", "command": "load"})
        found.append({"t": self.end + 5, "event": "log", "level": "ok", "step": "report", "text": "done"})
        return sorted([*found, *self.extra_timeline], key=lambda line: line["t"])

    def _episode_lines(self, episode: Episode) -> Iterator[dict[str, Any]]:
        fault = {"fault": episode.id}
        yield {"t": episode.at - 1, "event": "fault_imminent", "kind": "kill", "ends_target": True, **fault}
        yield {"t": episode.at - 1, "event": "phase", "id": episode.id, **fault}
        yield {
            "t": episode.at,
            "event": "fault_injected",
            "target": "postgres",
            "engine": episode.mode,
            "ends_target": True,
            "in_one_blow": True,
            "waits_for_disk": True,
            **fault,
        }
        if episode.module_proof:
            yield {
                "t": episode.at + 0.06,
                "event": "proof",
                "source": "engine",
                "fact": "exit code",
                "value": 137,
                "holds": True,
                **fault,
            }
        if episode.log_line:
            yield {
                "t": self.end,
                "event": "app_log",
                "line": episode.log_line,
                "logged_at": episode.at + 0.15,
                **fault,
            }
        if episode.undone:
            yield {
                "t": self._undone(episode),
                "event": "fault_undone",
                "by": "module",
                "how": episode.how,
                **fault,
            }
        watched = min(episode.recovered + 3.1, self.end)
        if watched < self.end:
            yield {"t": watched, "event": "steady", **fault}
        yield {"t": watched, "event": "phase_end", "id": episode.id}

    def _undone(self, episode: Episode) -> float:
        return episode.at + (episode.hold or 2.0)

    def journal_lines(self) -> list[dict[str, Any]]:
        """Return journal.jsonl."""
        found: list[dict[str, Any]] = []
        for seq, episode in enumerate(self.episodes, 1):
            head = {"seq": seq, "fault": episode.id}
            undo = {
                "op": "running",
                "project": "lab",
                "service": "postgres",
                "containers": ["c1"],
                "held": bool(episode.hold),
            }
            found.append(
                {
                    "t": episode.at - 0.1,
                    "entry": "planned",
                    "kind": "kill",
                    "target": "postgres",
                    "plan": ["kill"],
                    "undo": undo,
                    "expires": episode.at + 30,
                    **head,
                }
            )
            found.append({"t": episode.at, "entry": "applied", "facts": {"pids": [episode.pid]}, **head})
            if episode.undone:
                found.append(
                    {
                        "t": self._undone(episode),
                        "entry": "undone",
                        "by": "module",
                        "how": episode.how,
                        **head,
                    }
                )
        return found

    def spec_data(self) -> dict[str, Any]:
        """Return spec.json."""
        faults = []
        for episode in self.episodes:
            fault = {"id": episode.id, "kind": "kill", "mode": episode.mode, "target": "postgres"}
            faults.append({**fault, **({"hold_s": episode.hold} if episode.hold else {})})
        return {
            "schema_version": 1,
            "run_id": "exp-01-20261123-180000-ab12",
            "experiment": {"number": 1, "name": "database_sudden_death", "title": "Database sudden death"},
            "host": "localhost",
            "wave": 1,
            "collection_version": "0.1.0",
            "anchor": {"boottime": T0, "realtime": REALTIME, "boot_id": "test"},
            "project": "lab",
            "services": {"database": "postgres", "cache": "redis", "api": "trading-api"},
            "containers": {"postgres": [{"id": "c1", "addresses": ["172.18.0.3"]}]},
            "windows": {"baseline_s": 8, "steady_s": 3, "recovery_timeout_s": 60},
            "load": {
                "rate": self.steady_rate or 10.0,
                "watch_rate": 40,
                "burst_rate": 200,
                "floor": 5,
                "timeout_s": 3,
            },
            "probes": [
                {"name": "ready", "kind": "http", "role": "readiness", "rate": 10, "fault_rate": 100},
                {"name": "health", "kind": "http", "role": "health", "rate": 10, "fault_rate": 50},
                {
                    "name": "database",
                    "kind": "tcp",
                    "role": "store",
                    "service": "postgres",
                    "port": 5432,
                    "rate": 10,
                },
            ],
            "capture": {
                "programs": ["tcp", "exit"],
                "ports": {"5432": "database", "6379": "cache"},
                "control": {"from": "trading-api", "to": "postgres", "port": 5432},
            },
            "thresholds": {"error_ratio": 0.01, "p99_ms": 500, "loss_visible_ms": 10},
            "facts": {
                "kernel": "6.18.0",
                "capabilities": {
                    "docker": "20.10.24",
                    "compose": None,
                    "bcc": "0.26",
                    "python": "3.11.2",
                    "cgroup": "v1",
                    "root": True,
                    "systemd": False,
                    "trials": {"bpf": "ok"},
                },
                "clock": {"offset_ms": 0.1, "uncertainty_ms": 0.5},
            },
            "faults": faults,
            "findings": FINDINGS,
            **self.spec,
        }

    def ledger_data(self) -> dict[str, Any] | None:
        """Return ledger.json, with the acknowledgements counted from the load."""
        if self.ledger is None:
            return None
        acknowledged = sum(bool(line.get("ok")) for line in self.load_lines())
        whole = {"acknowledged": acknowledged, **self.ledger}
        return {**whole, "per_fault": {episode.id: dict(whole) for episode in self.episodes}}

    def write(self, folder: Path) -> Path:
        """Lay all raw files into ``folder`` and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in (
            ("load", self.load_lines()),
            ("probes", self.probe_lines()),
            ("bpf", self.bpf_lines()),
            ("engine", self.engine_lines()),
            ("timeline", self.timeline_lines()),
            ("journal", self.journal_lines()),
        ):
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (folder / f"{name}.jsonl").write_text(text)
        capture = {
            "status": self.capture,
            "reason": None,
            "programs": ["tcp", "exit"],
            "events": sum(not line.get("control") for line in self.bpf_lines()),
            "lost": self.lost_events,
            "positive_control": self.control,
            "cpu_s": 1.2,
        }
        for name, data in (
            ("spec", self.spec_data()),
            (
                "capture",
                capture
                if self.capture != "absent"
                else {"status": "absent", "reason": "bcc is not installed"},
            ),
            ("ledger", self.ledger_data()),
            ("restore", self.restore),
        ):
            if data is not None:
                (folder / f"{name}.json").write_text(json.dumps(data))
        return folder

    def signals(self) -> list[steady_state.Signal]:
        """Return the signals of steady state, without a detour over the disk."""
        return steady_state.build_signals(
            Specification.read(self.spec_data()),
            parse_orders(self.load_lines()),
            parse_samples(self.probe_lines()),
        )

    def evidence(self, folder: Path) -> Evidence:
        """Write the raw files and load them again, as a run's end does."""
        return load_evidence(RunDir(self.write(folder)))

    def episode(self, name: str) -> Episode:
        """Return an episode by its fault's id."""
        return next(episode for episode in self.episodes if episode.id == name)


def _engine(service: str, action: str, t: float, code: int | None = None) -> dict[str, Any]:
    return {
        "t": t,
        "service": service,
        "container": f"{service}-1",
        "id": "c1",
        "action": action,
        "exit_code": code,
    }


def _finding(metric: str, fault: str | None = None, **threshold: Any) -> dict[str, Any]:
    name = metric if fault is None else f"{metric}_{fault}"
    return {
        "id": name,
        "title": name.replace("_", " ").capitalize(),
        "metric": metric,
        "fault": fault,
        **threshold,
    }


#: Every metric once, with the thresholds of experiment 01.
FINDINGS = [
    _finding("detection", max=1.0),
    _finding("degradation", max="errors"),
    _finding("recovery_s", max=60),
    _finding("recovery_since_undo_s", max=60),
    _finding("self_healing_s", "crash", max=30),
    _finding("retry_interval_s", "outage", max=2.0),
    _finding("backs_off", "outage", equals=True),
    _finding("reconnect_delay_s", max=5.0),
    _finding("served_from_cache", "outage", informational=True),
    _finding("manual_intervention", equals=0),
    _finding("data_loss", max=0),
    _finding("duplicated", max=0),
    _finding("unacknowledged_applied", informational=True),
    _finding("error_clarity", min=0.9),
    _finding("log_clarity", max=5.0),
    _finding("error_budget", max=0.5),
    _finding("reconnect_storm", "outage", max=20),
    _finding("refused_connects", "outage", min=1),
    _finding("connects_per_s", "outage", max=20),
]
