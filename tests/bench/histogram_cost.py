# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the capture costs on the embedded exchange under load: with the events alone, and with all programs.

    PYTHONPATH=.collections .venv/bin/python -m tests.bench.histogram_cost [seconds] [orders per second]

The lab must run. Printed per set of programs: CPU seconds of the capture until attached and per ten seconds of load,
the machine's CPU use by then, and (``bpf_stats_enabled``) how often the programs ran and for how long, in the
processes that were traced. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl

from tests.module import capture_support as support

PROJECT = "exchange-chaos-lab"
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
SETS = {
    "none": [],
    "tcp, exit": ["tcp", "exit"],
    "all": ["tcp", "exit", "sched", "block", "fsync", "oom", "rtt", "bytes"],
}


def spec(programs: list[str]) -> dict[str, Any]:
    """Return a run's specification over the lab's containers."""
    ids = support.run("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    containers: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(support.run("docker", "inspect", *ids)):
        service = item["Config"]["Labels"]["com.docker.compose.service"]
        addresses = [net["IPAddress"] for net in item["NetworkSettings"]["Networks"].values()]
        entry = {"id": item["Id"], "name": item["Name"].lstrip("/"), "pid": item["State"]["Pid"]}
        containers.setdefault(service, []).append({**entry, "addresses": addresses})
    return {
        "run_id": "exp-00-histogram-cost",
        "project": PROJECT,
        "anchor": asdict(clock.take_anchor()),
        "containers": containers,
        "capture": {
            "programs": programs,
            "services": sorted(containers),
            "ports": {"5432": "database", "6379": "cache", "8080": "api"},
            "control": {"from": "trading-api", "to": "postgres", "port": 5432},
        },
    }


@contextlib.contextmanager
def load(url: str, rate: float) -> Iterator[list[int]]:
    """Ask for readiness ``rate`` times a second, which asks the stores; gives the list of its answers."""
    stop, answers = Event(), []

    def ask() -> None:
        while not stop.wait(1 / rate):
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    answers.append(answer.status)
            except OSError:
                answers.append(0)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def idle() -> float:
    """Return the seconds all processors were idle since boot."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(words[4]) + int(words[5])) / 100


def ran() -> dict[str, tuple[int, float]]:
    """Return {program: (times it ran, nanoseconds)} of all BPF programs loaded now."""
    found: dict[str, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            if "prog_type" in text and "run_cnt" in text:
                words = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
                found[words["prog_id"]] = (int(words["run_cnt"]), float(words["run_time_ns"]))
    return found


def measure(name: str, programs: list[str], seconds: float, url: str, rate: float) -> None:
    """Print what one set of programs costs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        capture = None
        if programs:
            capture = stack.enter_context(support.capture(Path(folder), spec(programs)))
            jsonl.Writer(Path(folder) / "timeline.jsonl").write(
                {"t": clock.read(), "event": "phase", "id": "baseline", "fault": None}
            )
            time.sleep(2.5)
        with load(url, rate) as answers:
            start, begun, before = idle(), time.monotonic(), capture.status if capture else {}
            time.sleep(seconds)
            took, rested = time.monotonic() - begun, idle() - start
            times, nanoseconds = (sum(values) for values in zip(*ran().values())) if programs else (0, 0.0)
            time.sleep(2.5)
        after = capture.status if capture else {}
        good = sum(status == 200 for status in answers)
        line = f"{name:<10} machine busy {len_cpus() - rested / took:.2f} of {len_cpus()} processors, {good} answers"
        if capture:
            used = (after["cpu_s"] - before["cpu_s"]) / (after["until"] - before["until"]) * 10
            line += f"; capture {before['cpu_s']:.2f} s until attached, {used:.3f} s per 10 s; "
            line += f"programs ran {times} times, {nanoseconds / max(times, 1):.0f} ns each"
        print(line, flush=True)


def len_cpus() -> int:
    """Return how many processors there are."""
    return Path("/proc/stat").read_text().count("\ncpu")


def main(seconds: float, rate: float) -> None:
    """Measure and print."""
    address = json.loads(support.run("docker", "inspect", f"{PROJECT}-trading-api"))[0]["NetworkSettings"]
    host = next(iter(address["Networks"].values()))["IPAddress"]
    was = STATS.read_text() if STATS.exists() else None
    try:
        if was is not None:
            STATS.write_text("1")
        for name, programs in SETS.items():
            measure(name, programs, seconds, f"http://{host}:8080/ready", rate)
    finally:
        if was is not None:
            STATS.write_text(was)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, float(sys.argv[2]) if len(sys.argv) > 2 else 50.0)
