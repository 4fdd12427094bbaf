# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor, memory and disk limited on real containers: what it does, what it leaves alone, how it goes back.

Files of cgroups are found and read here by the container's id alone, and times are taken by processes of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import cpu, disk, memory
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import (
    container_end,
    disk_hog,
    limits,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host import disks
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal

from tests.module import core_support
from tests.module.core_support import Host, sentence, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
MB = 1024 * 1024
BURN = ("sh", "-c", "while :; do :; done")
#: A shell that holds 30,000,000 bytes of its own; its children come and go, as health checks do.
HOLDER = (
    "sh",
    "-c",
    "x=$(/bin/busybox head -c 30000000 /dev/zero | /bin/busybox tr '\\0' x); "
    "while :; do /bin/busybox sleep 0.1; done",
)
FSYNC = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
fd = os.open(sys.argv[2], os.O_TMPFILE | os.O_WRONLY, 0o600)
times = []
for number in range(int(sys.argv[3])):
    begun = time.monotonic()
    os.pwrite(fd, os.urandom(16384), number * 16384)
    os.fdatasync(fd)
    times.append(time.monotonic() - begun)
print(sorted(times)[len(times) // 2])
"""


@pytest.fixture
def volume(host: Host) -> Iterator[dict[str, Any]]:
    """Arguments of a container with a volume of its own at /data."""
    name = f"{host.project.name}-data"
    yield {"volumes": {name: {"bind": "/data", "mode": "rw"}}}
    host.project.empty()
    with contextlib.suppress(docker.errors.NotFound):
        host.project.client.volumes.get(name).remove(force=True)


def limit_file(container: Any, *names: str) -> Path:
    """The first of these files in the container's own cgroup."""
    for name in names:
        for path in Path("/sys/fs/cgroup").rglob(name):
            if container.id in path.parent.name:
                return path
    raise AssertionError(f"no {names} of {container.id}")


def quota(container: Any) -> str:
    return limit_file(container, "cpu.cfs_quota_us", "cpu.max").read_text()


def used_s(container: Any) -> float:
    """Processor seconds, by the kernel."""
    path = limit_file(container, "cpuacct.usage", "cpu.stat")
    if path.name == "cpuacct.usage":
        return int(path.read_text()) / 1e9
    return int(path.read_text().split()[1]) / 1e6


def memory_limits(container: Any) -> list[str]:
    return [
        limit_file(container, "memory.limit_in_bytes", "memory.max").read_text(),
        limit_file(container, "memory.memsw.limit_in_bytes", "memory.swap.max").read_text(),
    ]


def filled(container: Any) -> None:
    """Wait until the holder holds what it will, all of it in its main process."""
    path = limit_file(container, "memory.usage_in_bytes", "memory.current")
    wait_for(lambda: int(path.read_text()) > 25 * MB)
    procs = path.with_name("cgroup.procs")
    # the main process and its sleep: whoever filled the variable has ended
    wait_for(lambda: len(procs.read_text().split()) <= 2 and _sleeps(procs), 20)


def _sleeps(procs: Path) -> bool:
    words = []
    for pid in procs.read_text().split():
        with contextlib.suppress(OSError):
            words.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return any(b"\0sleep\0" in word for word in words)


def call(host: Host, kind: str, fault: str = "fault", *, check: bool = False, **more: Any) -> dict[str, Any]:
    given = {
        "project": host.project.name,
        "service": "store",
        "run_id": "exp-01-core",
        "lead": 0,
        "linger": 0,
    }
    return host.module(kind, check=check, **{**given, "fault": fault, "ttl": 60, **more})


def done(host: Host, kind: str, fault: str = "fault", **more: Any) -> dict[str, Any]:
    found = call(host, kind, fault, **more)
    assert not found.get("failed"), found["msg"]
    return found


def how(host: Host) -> str:
    return str(Journal(host.state.run_dir("exp-01-core")).entries()[-1].how)


def measured(host: Host, name: str) -> dict[str, Any]:
    events = host.state.run_dir("exp-01-core").read_timeline()
    return [event for event in events if event["event"] == "measured" and event["name"] == name][-1]


def shares(host: Host) -> list[float]:
    events = host.state.run_dir("exp-01-core").read_timeline()
    proofs = [event for event in events if event["event"] == "proof" and event.get("end_of_window")]
    return [event["share"] for event in proofs if event.get("share") is not None]


# ---- processor


@pytest.mark.alone
def test_the_processor_time_is_what_was_granted_and_the_limit_goes_back_to_the_byte(host: Host) -> None:
    store, neighbour = host.project.up("store", BURN), host.project.up("api", BURN)
    before, untouched = quota(store), quota(neighbour)
    host.inert()
    found = done(host, "cpu", cores=0.2)
    assert [(proof["source"], proof["holds"]) for proof in found["proof"]] == [("kernel", True)]
    assert quota(store) != before
    begun, used = time.monotonic(), used_s(store)
    time.sleep(3)
    assert (used_s(store) - used) / (time.monotonic() - begun) == pytest.approx(0.2, rel=0.2)
    assert quota(neighbour) == untouched
    assert done(host, "cpu", state="absent")["changed"] is True
    assert quota(store) == before
    assert measured(host, "cpu_used")["value"] == pytest.approx(0.2, rel=0.2)
    assert measured(host, "cpu_used")["throttled"] > 20
    assert shares(host) == [1.0, 1.0, 1.0]
    assert done(host, "cpu", state="absent")["changed"] is False
    assert quota(store) == before


def test_a_container_with_a_limit_of_its_own_gets_that_one_back(host: Host) -> None:
    store = host.project.up("store", BURN, cpu_period=50000, cpu_quota=37500)
    before = quota(store)
    host.inert()
    planned = call(host, "cpu", cores=0.1, check=True)
    assert quota(store) == before, "check mode wrote"
    assert done(host, "cpu", cores=0.1)["plan"] == planned["plan"]
    assert quota(store).split()[0] == "5000"
    done(host, "cpu", state="absent")
    assert quota(store) == before
    assert "already; 0.9 would be no less" in sentence(call(host, "cpu", "more", cores=0.9))


@pytest.mark.full
def test_a_limit_that_somebody_took_away_was_not_in_force(host: Host) -> None:
    store = host.project.up("store", BURN)
    before = quota(store)
    host.inert()
    done(host, "cpu", cores=0.2)
    limit_file(store, "cpu.cfs_quota_us", "cpu.max").write_text(before)
    done(host, "cpu", state="absent")
    assert set(shares(host)) == {0.0}
    assert how(host) == f"{store.name} had its limits already"


@pytest.mark.parametrize("kind", ["cpu", pytest.param("disk", marks=pytest.mark.full)])
def test_a_restart_in_the_middle_ends_the_limit_with_its_cgroup(
    kind: str, host: Host, volume: dict[str, Any]
) -> None:
    store = host.project.up("store", BURN, **volume)
    host.inert()
    done(host, kind)
    time.sleep(1)
    host.project.client.containers.get(store.id).restart(timeout=0)
    wait_for(lambda: host.project.running(store.id))
    time.sleep(1)
    assert done(host, kind, state="absent")["changed"] is True
    assert how(host) == f"undone by restart: {store.name} was started anew with its own limits"
    assert all(0 < share < 0.8 for share in shares(host)), shares(host)


@pytest.mark.full
def test_a_container_that_is_down_or_gone_is_undone(host: Host) -> None:
    store = host.project.up("store", BURN, restart="no")
    host.inert()
    done(host, "cpu", "down")
    host.project.client.containers.get(store.id).kill()
    done(host, "cpu", "down", state="absent")
    assert "does not run; the engine gives it its own limits" in how(host)
    host.project.client.containers.get(store.id).start()
    wait_for(lambda: host.project.running(store.id))
    done(host, "cpu", "gone")
    host.project.client.containers.get(store.id).remove(force=True)
    done(host, "cpu", "gone", state="absent")
    assert how(host).startswith("undone by replacement")


def test_without_root_the_engine_lowers_the_limit_and_puts_it_back(host: Host) -> None:
    store = host.project.up("store", BURN, nano_cpus=500_000_000)
    before = quota(store)
    run = host.inert()
    engine = DockerEngine.connect()
    site = Site(engine.containers(host.project.name), False)
    change = cpu.from_spec({"cores": 0.1}, engine.containers(host.project.name, "store"), site)
    entry = Journal(run).write_planned("f", "cpu", "store", change.lines(), change.undo(), 60)
    applied = cpu.apply(change, entry, Scene(run, engine))
    assert all(proof.holds for proof in applied.proofs)
    assert quota(store).split()[0] == "10000"
    assert cpu.undo(entry, Scene(run, engine)) == f"{store.name} has its limits back"
    assert quota(store) == before
    attrs = host.project.client.containers.get(store.id).attrs["HostConfig"]
    assert (attrs["NanoCpus"], attrs["CpuQuota"]) == (500_000_000, 0)
    assert cpu.undo(entry, Scene(run, engine)) == f"{store.name} had its limits already"


# ---- memory


def test_the_kernel_takes_the_service_and_the_limits_are_what_they_were(host: Host) -> None:
    store = host.project.up("store", HOLDER, mem_limit=256 * MB, memswap_limit=300 * MB)
    filled(store)
    before, pid = memory_limits(store), host.project.pid(store.id)
    host.inert()
    found = done(host, "memory")
    assert all(proof["holds"] for proof in found["proof"]), found["proof"]
    assert {proof["source"] for proof in found["proof"]} == {"kernel", "engine"}
    oom = measured(host, "oom")
    # the shell; its sleep ends with it, as all do with the main process of a container
    assert pid in [victim["pid"] for victim in oom["victims"]]
    assert oom["kills"] == 1 + oom["ours_taken"]
    assert 0 < oom["value"] < 2
    wait_for(lambda: host.project.running(store.id))
    events = [
        (event["Action"], event["Actor"]["Attributes"].get("exitCode"))
        for event in host.project.client.api.events(
            since=int(time.time()) - 30,
            until=int(time.time()) + 1,
            decode=True,
            filters={"container": store.id},
        )
    ]
    assert ("oom", None) in events
    assert ("die", "137") in events
    assert host.project.restarts(store.id) == 1
    done(host, "memory", state="absent")
    assert memory_limits(store) == before
    assert how(host) == f"undone by restart: {store.name} was started anew with its own limits"
    assert measured(host, "memory_limits")["value"] is True
    assert host.processes() == {}
    assert done(host, "memory", state="absent")["changed"] is False


@pytest.mark.full
def test_a_victim_that_nobody_starts_is_started_by_the_undo(host: Host) -> None:
    store = host.project.up("store", HOLDER, restart="no", mem_limit=256 * MB)
    filled(store)
    before = memory_limits(store)
    host.inert()
    done(host, "memory")
    assert host.project.running(store.id) is None
    attrs = host.project.client.containers.get(store.id).attrs["State"]
    assert (attrs["ExitCode"], attrs["OOMKilled"]) == (137, True)
    done(host, "memory", state="absent")
    assert host.project.running(store.id) is not None
    assert "started through the engine" in how(host)
    assert memory_limits(store) == before


@pytest.mark.full
def test_a_kill_that_does_not_come_leaves_the_limits_as_they_were(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = host.project.up("store", HOLDER, mem_limit=256 * MB)
    filled(store)
    before, pid = memory_limits(store), host.project.pid(store.id)
    run, engine = host.inert(), DockerEngine.connect()
    monkeypatch.setattr(memory, "_KILL_S", 1.0)
    monkeypatch.setattr(container_end, "EXIT_S", 2.0)
    targets = engine.containers(host.project.name)
    change = memory.from_spec({"rate_mb": 1}, targets, Site(targets, True))
    entry = Journal(run).write_planned("oom", "memory", "store", change.lines(), change.undo(), 60)
    applied = memory.apply(change, entry, Scene(run, engine))
    assert not any(proof.holds for proof in applied.proofs)
    assert memory_limits(store) != before
    assert memory.undo(entry, Scene(run, engine)) == f"{store.name} has its limits back"
    assert memory_limits(store) == before
    assert host.project.pid(store.id) == pid


# ---- disk


def fsync_s(container: Any, count: int = 3) -> float:
    """Median seconds of an fdatasync of 16 KiB by a process of this test in the container's cgroup, on its volume."""
    procs = limit_file(container, "blkio.throttle.write_bps_device", "io.max").with_name("cgroup.procs")
    (where,) = [mount["Source"] for mount in container.attrs["Mounts"]]
    words = [sys.executable, "-c", FSYNC, str(procs), where, str(count)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.full
@pytest.mark.alone
def test_a_write_waits_in_the_limit_and_other_devices_keep_theirs(host: Host, volume: dict[str, Any]) -> None:
    store, neighbour = host.project.up("store", **volume), host.project.up("api")
    path = limit_file(store, "blkio.throttle.write_bps_device", "io.max")
    foreign = _foreign(path)
    before, usual = path.read_text(), fsync_s(store)
    host.inert()
    found = done(host, "disk")
    assert [(proof["source"], proof["holds"]) for proof in found["proof"]] == [("kernel", True)]
    slow = fsync_s(store)
    assert slow >= 10 * usual, (usual, slow)
    assert slow == pytest.approx(16384 / 131072, rel=0.5)
    assert set(path.read_text().splitlines()) > set(before.splitlines())
    other = limit_file(neighbour, "blkio.throttle.write_bps_device", "io.max")
    assert other.read_text() == ""
    done(host, "disk", state="absent")
    assert path.read_text() == before
    assert fsync_s(store) < slow / 5
    assert measured(host, "fsync")["moment"] == "end"
    assert set(shares(host)) == {1.0}
    assert foreign in path.read_text()
    (where,) = [mount["Source"] for mount in store.attrs["Mounts"]]
    assert list(Path(where).iterdir()) == [], "a trial's file was left on the volume"
    assert done(host, "disk", state="absent")["changed"] is False


@pytest.mark.alone
def test_a_trial_that_waits_for_the_disk_holds_no_lock(host: Host, volume: dict[str, Any]) -> None:
    host.project.up("store", **volume)
    run, engine = host.inert(), DockerEngine.connect()
    targets = engine.containers(host.project.name)
    change = disk.from_spec({"write_bps": 4096}, targets, Site(targets, True))
    limits.apply_change(change.changes[0])
    try:
        with Journal(run).lock():
            begun = time.monotonic()
            found = disks.time_fsyncs(limits.cgroup_of("blkio", change.target), run.path, 3, 1.0)
            assert time.monotonic() - begun < 2
        assert sum(found) >= 1
        with run.file("journal.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        limits.restore_limits(change.changes[0].journal(), host.project.name, "store", engine)


def _foreign(path: Path) -> str:
    """Set a limit on another disk of this machine by hand and return its line; "" where there is no other."""
    own = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for folder in Path("/sys/block").iterdir():
        device = (folder / "dev").read_text().strip()
        if device not in own and int((folder / "size").read_text()) >= 0:
            line = f"{device} 1048576" if path.name.startswith("blkio") else f"{device} wbps=1048576"
            try:
                path.write_text(line)
            except OSError:
                continue
            return device
    return ""


def test_a_container_without_a_volume_needs_a_path(host: Host) -> None:
    host.project.up("store")
    host.inert()
    assert "keeps nothing on a volume, so there is no disk" in sentence(call(host, "disk"))
    assert Journal(host.state.run_dir("exp-01-core")).entries() == []


@pytest.mark.full
def test_contention_is_refused_without_consent(host: Host, volume: dict[str, Any]) -> None:
    host.project.up("store", **volume)
    host.inert()
    assert "set chaos_accept_shared_disk: true" in sentence(call(host, "disk", mode="contention"))


@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize("tool", disk_hog.TOOLS)
def test_contention_keeps_that_disk_busy_until_the_undo(
    tool: str, host: Host, volume: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    monkeypatch.setattr(disk_hog, "TOOLS", (tool,))
    host.project.up("store", **volume)
    run, engine = host.inert(), DockerEngine.connect()
    if disks.disk_of(run.path) != disk.from_spec(_busy(), _targets(host, engine), Site([], True)).device:
        pytest.skip("the test's folder is on another disk")
    change = disk.from_spec(_busy(), _targets(host, engine), Site([], True))
    entry = Journal(run).write_planned("busy", "disk", "store", change.lines(), change.undo(), 60)
    scene = Scene(run, engine)
    applied = disk.apply(change, entry, scene)
    Journal(run).write_applied(entry, applied.at, **applied.facts)
    time.sleep(3)
    (entry,) = Journal(run).open_entries()
    busy = disk.in_force(entry, scene)[0]
    assert busy.holds, busy
    assert busy.share == 1.0
    assert disk.undo(entry, scene) == "the tool was ended and its files removed"
    assert not run.file("contention").exists()
    assert host.processes() == {}
    assert disk.undo(entry, scene) == "the tool had ended already"


def _busy() -> dict[str, Any]:
    return {"id": "busy", "mode": "contention", "accept_shared_disk": True}


def _targets(host: Host, engine: DockerEngine) -> Any:
    return engine.containers(host.project.name, "store")


# ---- who may be touched


@pytest.mark.parametrize(
    "kind", ["cpu", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("memory", "disk"))]
)
def test_containers_outside_the_project_are_never_limited(
    kind: str, host: Host, volume: dict[str, Any]
) -> None:
    store = host.project.up("store", HOLDER, mem_limit=256 * MB, **volume)
    decoys = [
        host.project.up("store", number=2, project=f"{host.project.name}-other"),
        host.project.up("store", number=3, project=""),
    ]
    filled(store)
    before = [(quota(one), memory_limits(one), host.project.pid(one.id)) for one in decoys]
    host.inert()
    done(host, kind)
    assert [(quota(one), memory_limits(one), host.project.pid(one.id)) for one in decoys] == before
    done(host, kind, state="absent")
    assert "no container of a service nobody" in sentence(call(host, kind, "more", service="nobody"))


@pytest.mark.parametrize("kind", ["cpu", "memory", "disk"])
def test_a_trial_changes_nothing(kind: str, host: Host, volume: dict[str, Any]) -> None:
    store = host.project.up("store", HOLDER, mem_limit=256 * MB, **volume)
    filled(store)
    before = (quota(store), memory_limits(store), host.project.pid(store.id))
    engine = DockerEngine.connect()
    targets = engine.containers(host.project.name)
    fault = {"id": "x", "kind": kind, "target": "store"}
    module = {"cpu": cpu, "memory": memory, "disk": disk}[kind]
    assert module.trial(fault, targets, Site(targets, True, engine)).startswith("ok: cgroup v")
    assert (quota(store), memory_limits(store), host.project.pid(store.id)) == before
    assert limit_file(store, "blkio.throttle.write_bps_device", "io.max").read_text() == ""
    if kind != "cpu":
        with pytest.raises(ChaosError, match="needs root"):
            planning.try_fault(fault, Site(targets, False, engine))
