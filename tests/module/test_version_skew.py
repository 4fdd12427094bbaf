# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host prepared, and a run begun, by the version before the packages: whichever version comes next ends it cleanly.

``data/runtime-af69591.pyz`` is that version's runtime, built from commit af69591, the last one with its files flat in
``plugins/module_utils``. The run is opened, the fault injected and the watchdogs started by that archive alone; what
the containers and the kernel have to say is asked of neither version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module import core_support
from tests.module.core_support import ROOT, Host, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(180),
]
OLD = Path(__file__).parent / "data" / "runtime-af69591.pyz"
RUN = "exp-01-old"
#: Opens a run and injects its fault as the old version's modules did; what it is to do comes as JSON.
BEGIN = """
import json, sys
from pathlib import Path
from exchange_chaos import fault_module, opening
from exchange_chaos.faults import cpu, kill
from exchange_chaos.result import Lines
from exchange_chaos.state import State
given = json.load(sys.stdin)
opening.open_run(State(given["state_dir"]), given["run_id"], given["spec"], Path(given["archive"]), Lines())
result = fault_module.present({"kill": kill, "cpu": cpu}[given["fault"]["kind"]], given["fault"])
print(json.dumps(result["plan"]))
"""
HELD = {"kind": "kill", "id": "outage", "mode": "engine", "hold": True, "hold_s": 600}
SLOWED = {"kind": "cpu", "id": "slow", "cores": 0.05}


def begin(host: Host, fault: dict[str, Any]) -> RunDir:
    """Have the old version open a run on the host and put a fault of a long life in force; its code only."""
    wanted = {
        **fault,
        "run_id": RUN,
        "state_dir": str(host.state_dir),
        "project": host.project.name,
        "target": "store",
        "fault": fault["id"],
        "service": "store",
        "ttl": 600.0,
        "lead": 0.0,
        "linger": 0.0,
    }
    given = {
        "run_id": RUN,
        "state_dir": str(host.state_dir),
        "spec": host.spec(faults=[{**wanted, "window_s": 5}]),
        "archive": str(OLD),
        "fault": wanted,
    }
    done = subprocess.run(
        [sys.executable, "-c", BEGIN], input=json.dumps(given), capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "PYTHONPATH": str(OLD)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout), "nothing was done"
    run = RunDir(host.state_dir / "runs" / RUN)
    assert run.file("chaos.pyz").read_bytes() == OLD.read_bytes()
    return run


def quota(host: Host, container_id: str) -> int:
    """Return the microseconds per period that the kernel gives a container; -1 without a limit."""
    lines = Path(f"/proc/{host.project.pid(container_id)}/cgroup").read_text().splitlines()
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return int(Path(f"/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us").read_text())
        if not controllers and not any("cpu" in other.split(":")[1].split(",") for other in lines):
            word = Path(f"/sys/fs/cgroup{path}/cpu.max").read_text().split()[0]
            return -1 if word == "max" else int(word)
    raise AssertionError("no cgroup of the processor")


def in_force(host: Host, container_id: str, fault: dict[str, Any]) -> bool:
    """Return whether the fault can be seen from outside."""
    if fault is HELD:
        return host.project.running(container_id) is None
    return quota(host, container_id) > 0


def orphan(run: RunDir) -> None:
    """Kill both watchdogs and the observer, as a crash of the host's does: nobody looks after the run any more."""
    for name in ("watchdog", "standby", "events"):
        path = run.file("processes") / f"{name}.json"
        wait_for(path.exists)
        os.kill(int(json.loads(path.read_text())["pid"]), 19)  # so that none starts another
    for name in ("watchdog", "standby", "events"):
        os.kill(int(json.loads((run.file("processes") / f"{name}.json").read_text())["pid"]), 9)


def halted(host: Host) -> None:
    """End it as ``halt.yml`` of this version does."""
    found = host.module("halt")
    assert found["ended"] == [RUN]


def recovered(host: Host, archive: Path) -> None:
    """End it as the boot unit of a prepared host does, which runs its archive's ``recover`` on the state folder."""
    orphan(RunDir(host.state_dir / "runs" / RUN))
    done = subprocess.run(
        [sys.executable, str(archive), "recover", str(host.state_dir)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert RUN in done.stdout


END = {
    "halt of the new version": halted,
    "boot unit of the old version": lambda host: recovered(host, OLD),
    "boot unit of the new version": lambda host: recovered(host, runtime.build_archive()),
}


@pytest.mark.parametrize("fault", [HELD, pytest.param(SLOWED, marks=pytest.mark.full)], ids=["kill", "cpu"])
@pytest.mark.parametrize("way", list(END))
def test_a_run_of_the_old_version_is_ended_cleanly(host: Host, way: str, fault: dict[str, Any]) -> None:
    store = host.project.up("store")
    assert not in_force(host, store.id, fault)
    run = begin(host, fault)
    assert in_force(host, store.id, fault)
    assert host.state.lock_holder(host.project.name) is not None
    END[way](host)
    assert wait_for(lambda: host.project.running(store.id)) is not None
    assert not in_force(host, store.id, fault), "undone"
    assert host.state.lock_holder(host.project.name) is None, "unlocked"
    assert not run.path.exists()
    wait_for(lambda: not host.processes(), 10)
    record = host.state.record_dir(RUN)
    kept = json.loads(record.file("record.json").read_text())
    assert kept["outcome"] == "aborted"
    assert kept["leftovers"] == []
    # the next run of this version is free to go on the same project
    host.open()


def test_what_the_old_version_wrote_is_read_by_this_one(host: Host) -> None:
    """Its specification, journal and timeline: nothing of them means something else now."""
    host.project.up("store")
    run = begin(host, HELD)
    (entry,) = Journal(run).entries()
    assert (entry.fault, entry.kind, entry.target) == ("outage", "kill", "store")
    assert entry.open
    assert entry.undo["op"]
    assert (run.spec.run_id, run.spec.project) == (RUN, host.project.name)
    assert run.read_timeline()[0]["event"] == "opened"
    assert {"fault_imminent", "phase", "proof"} <= {event["event"] for event in run.read_timeline()}


@pytest.mark.full
def test_a_host_is_not_taken_apart_while_a_run_of_the_old_version_is_on(host: Host) -> None:
    """``remove-hosts.yml`` of this version refuses before it changed anything, and goes on once the run was halted."""
    if any(Path(path).exists() for path in ("/etc/exchange-chaos", "/usr/local/lib/exchange-chaos")):
        pytest.skip("this machine is a prepared host: it is not for a test to take that away")
    host.project.up("store")
    begin(host, HELD)
    refused = remove(host)
    assert refused.returncode != 0
    assert "play playbooks/halt.yml first" in refused.stdout
    assert (host.state_dir / "runs" / RUN).exists()
    halted(host)
    gone = remove(host)
    assert gone.returncode == 0, gone.stdout
    assert "Records that were not fetched stay" in gone.stdout


def remove(host: Host) -> subprocess.CompletedProcess[str]:
    """Play ``remove-hosts.yml`` on this machine alone, with the state folder of the test."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"),
            *("-e", json.dumps({"chaos_targets": "localhost", "chaos_state_dir": str(host.state_dir)})),
            *("-e", f"ansible_python_interpreter={sys.executable}", str(ROOT / "playbooks" / "remove-hosts.yml")),
        ],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )  # fmt: skip
