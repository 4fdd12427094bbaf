# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts hit at one instant: module processes of their own, clocks that are seconds apart, seen from outside.

The hosts are state folders on this machine with a container each. A host's clock is shifted for every Python that runs
"there" by patching ``time.time`` before anything is imported (``sitecustomize``): for the measuring, for the pair of
readings its run begins with, and for the module. Nothing in it can see the true time but CLOCK_BOOTTIME.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.evidence.evidence import load_evidence
from ansible_collections.exchange.chaos.plugins.module_utils.judge.record import host_record
from ansible_collections.exchange.chaos.plugins.module_utils.run import instant
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import spread
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import clock_offset

from tests.module import core_support
from tests.module.core_support import ROOT, Host, Project, sentence

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(180),
]
HOSTS = 8
#: Seconds each host's clock is off; two of them the same, most of them far from it.
OFF_S = (0.0, 5.0, -3.0, 0.25, 5.0, -61.5, 0.0, 12.0)
#: Eight modules start in it, on two processors that others use as well.
ARM_S = 30.0
SHIFT = """
import time
_time, _clock_gettime = time.time, time.clock_gettime
time.time = lambda: _time() + {off}
time.time_ns = lambda: int(time.time() * 1e9)
time.clock_gettime = lambda which: _clock_gettime(which) + ({off} if which == time.CLOCK_REALTIME else 0)
"""
ANCHOR = (
    "import json; from ansible_collections.exchange.chaos.plugins.module_utils.common import clock; "
    "print(json.dumps(vars(clock.take_anchor())))"
)


@dataclass
class Remote:
    """A host of the wave: its clock, its run, its container."""

    name: str
    host: Host
    environment: dict[str, str]
    run: RunDir
    container: str
    pid: int

    def fire(self, at: float, **more: Any) -> dict[str, Any]:
        return self.host.module(
            "kill", environment=self.environment, run_id="exp-01-core", service=self.name, at=at, lead=1,
            mode="process", **more,
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        return {**host_record(load_evidence(self.run)), "host": self.name}


def remote(folder: Path, project: Project, name: str, off_s: float) -> Remote:
    """Open a run on a host whose clock is ``off_s`` ahead, measured as the action measures it."""
    fake = folder / f"clock-{name}"
    fake.mkdir()
    (fake / "sitecustomize.py").write_text(SHIFT.format(off=off_s))
    environment = {"PYTHONPATH": f"{fake}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    echo = [sys.executable, "-u", "-c", clock_offset.ECHO]
    measured = clock_offset.choose_best(
        clock_offset.read_clock(["env", f"PYTHONPATH={environment['PYTHONPATH']}", *echo])
    )
    seen = subprocess.run(
        [sys.executable, "-c", ANCHOR], check=True, capture_output=True, text=True, cwd=ROOT / ".collections",
        env={**os.environ, **environment},
    ).stdout  # fmt: skip
    container = project.up(name)
    host = Host(project, folder / f"state-{name}")
    run = host.inert(facts={"clock": measured.fields()}, host=name, faults=[fault(name)])
    write_json(run.file("spec.json"), {**run.spec.to_data(), "anchor": json.loads(seen)})
    run = host.state.run_dir("exp-01-core")
    run.write_event("opened")
    return Remote(name, host, environment, run, container.id, project.pid(container.id))


def fault(name: str) -> dict[str, Any]:
    return {"id": "crash", "kind": "kill", "mode": "process", "target": name, "hold_s": 0, "window_s": 5}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with core_support.project() as made:
        yield made


@pytest.fixture
def wave(tmp_path: Path, project: Project) -> Iterator[list[Remote]]:
    made: list[Remote] = []
    try:
        for number, off_s in enumerate(OFF_S):
            made.append(remote(tmp_path, project, f"host{number}", off_s))
        yield made
    finally:
        for one in made:
            one.host.clear()
        project.empty()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Path]:
    """Give a trace of the kernel's own, on CLOCK_BOOTTIME, of each SIGKILL and each end of a process."""
    tracefs = tmp_path / "tracefs"
    tracefs.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "tracefs", str(tracefs)], check=True)
    instance = tracefs / "instances" / "exchange-chaos-test"
    try:
        instance.mkdir()
        (instance / "trace_clock").write_text("boot")
        (instance / "events/signal/signal_generate/filter").write_text("sig == 9")
        for event in ("signal/signal_generate", "sched/sched_process_exit"):
            (instance / "events" / event / "enable").write_text("1")
        yield instance
    finally:
        instance.rmdir()
        subprocess.run(["umount", str(tracefs)], check=True)


def seen(kernel: Path, event: str, pids: list[int]) -> list[float]:
    """Return when (boottime) the kernel first had an event about each of the processes."""
    found: dict[int, float] = {}
    for line in (kernel / "trace").read_text().splitlines():
        match = re.search(rf"\s(\d+\.\d+): {event}: .*\bpid=(\d+)", line)
        if match and int(match[2]) in pids:
            found.setdefault(int(match[2]), float(match[1]))
    return sorted(found.values())


@pytest.mark.full
def test_hosts_whose_clocks_are_seconds_apart_are_hit_within_ten_milliseconds(
    wave: list[Remote], kernel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, target = time.time() + ARM_S, clock.read() + ARM_S
    with ThreadPoolExecutor(HOSTS) as pool:
        done = list(pool.map(lambda one: one.fire(at), wave))
    assert [one.get("failed") for one in done] == [None] * HOSTS, done
    pids = [one.pid for one in wave]
    killed, ended = seen(kernel, "signal_generate", pids), seen(kernel, "sched_process_exit", pids)
    assert len(killed) == len(ended) == HOSTS
    records = spread.add_spread([one.record() for one in wave])
    (found,) = [each for each in records[0]["findings"] if each["id"] == "simultaneity"]
    with capsys.disabled():
        after = [[round(1000 * (when - target), 2) for when in times] for times in (killed, ended)]
        print(
            f"\n{found['value']} ms: {found['evidence']}; kernel, ms after the instant: SIGKILL, exit {after}"
        )
    assert found["value"][1] <= 10, found
    assert found["verdict"] == "pass"
    # The kernel's word on when each was hit; when a process that was hit is gone is up to its share of the processors.
    assert killed[0] >= target - 0.001
    assert 1000 * (killed[-1] - killed[0]) <= 10
    low, high = found["value"]
    assert low - 0.05 <= 1000 * (killed[-1] - killed[0]) <= high + 0.05, (
        "what we claim holds what the kernel saw"
    )
    for one, record, off_s in zip(wave, records, OFF_S):
        assert record["clock"]["offset_ms"] == pytest.approx(1000 * off_s, abs=20), one.name
        facts = {proof["fact"]: proof for proof in record["faults"][0]["proof"]}
        assert facts[instant.STARTED]["holds"] is True, one.name
        assert facts[instant.DOUBT]["value"] < 5


def test_a_late_host_fires_at_once_says_so_and_the_spread_shows_it(wave: list[Remote]) -> None:
    early, late = wave[0], wave[1]
    at = time.time() + 4
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(early.fire, at)
        time.sleep(5.5)
        second = late.fire(at)
    assert first.result()["changed"] is second["changed"] is True
    said = [line["text"] for line in second["chaos_lines"] if line["level"] == "warn"]
    assert any("s late, so it is injected at once" in text for text in said), said
    records = spread.add_spread([early.record(), late.record()])
    (found,) = [each for each in records[1]["findings"] if each["id"] == "simultaneity"]
    assert found["verdict"] == "fail"
    assert found["value"][0] > 1000


def test_a_host_aborted_while_it_is_armed_kills_nothing_while_the_others_fire(wave: list[Remote]) -> None:
    spared, hit = wave[2], wave[3]
    at = time.time() + 6
    # into the last moments, when it is journaled and holds the lock
    threading.Timer(
        5.6, lambda: RunDir(spared.run.path).write_event("aborted", reason="guard", by="guard")
    ).start()
    with ThreadPoolExecutor(2) as pool:
        stopped, fired = pool.submit(spared.fire, at), pool.submit(hit.fire, at)
    assert "aborted" in sentence(stopped.result())
    assert fired.result()["changed"] is True
    assert spared.host.project.pid(spared.container) == spared.pid
    assert spared.host.project.restarts(spared.container) == 0
    assert hit.host.project.pid(hit.container) != hit.pid
    assert [line["entry"] for line in spared.host.journal(spared.run)] == ["planned", "undone"]


def test_an_instant_that_can_only_be_a_mistake_is_refused(wave: list[Remote]) -> None:
    assert "must lie within 600 s" in sentence(wave[4].fire(1000 * time.time()))
    assert wave[4].host.journal(wave[4].run) == []
