# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a container's cgroups on hosts of both versions, and the plans of the faults that write into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import cpu, disk, memory
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import limits
from ansible_collections.exchange.chaos.plugins.module_utils.host import cgroups, disks
from ansible_collections.exchange.chaos.plugins.module_utils.host.cgroups import Cgroup, find_cgroup
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container

from tests.unit.cgroup_trees import Tree, tree
from tests.unit.containers import down, target

ROOT_SITE, USER_SITE = Site([], True), Site([], False)
MB = 1024 * 1024
MOUNTINFO = (
    "231 152 0:77 / / rw,relatime master:6 - overlay overlay rw\n"
    "235 234 0:82 / /dev/pts rw - devpts devpts rw\n"
    "21 231 254:1 /volumes/x/_data /var/lib/exchange/postgres rw - ext4 /dev/vda1 rw\n"
    "22 231 254:1 /containers/x/hosts /etc/hosts rw - ext4 /dev/vda1 rw\n"
)


@pytest.fixture(params=[1, 2])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A host of either version; the code under test sees nothing but its trees."""
    return seen(tree(tmp_path, request.param), monkeypatch)


def database(made: Tree, folder: Path, *, below: int | None = None) -> None:
    """Let the container's main process, or a child of it, be a PostgreSQL that works in a folder."""
    folder.mkdir(parents=True)
    (folder / "PG_VERSION").write_text("15\n")
    pid = below or made.pid
    (made.proc / str(pid)).mkdir(exist_ok=True)
    (made.proc / str(pid) / "cwd").symlink_to(folder)
    if below:
        task = made.proc / str(made.pid) / "task" / str(made.pid)
        task.mkdir(parents=True)
        (task / "children").write_text(f"{below} ")


@pytest.mark.parametrize("below", [None, 4999], ids=["main process", "below an init"])
def test_the_volume_is_the_one_the_database_works_in_not_any_other(
    host: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: int | None
) -> None:
    disk_of_host(host, monkeypatch, tmp_path)
    data = tmp_path / "data"
    database(host, data, below=below)
    info = host.proc / str(host.pid) / "mountinfo"
    info.write_text(MOUNTINFO + f"23 231 8:16 / {data} rw - ext4 /dev/sdb rw\n")
    assert disks.find_volume(target()).device == "8:16"
    # an init file bound from a disk, the data in memory: the disk under the file is not the database's
    info.write_text(MOUNTINFO + f"24 231 0:77 / {data} rw - tmpfs tmpfs rw\n")
    with pytest.raises(Unsupported, match=r"keeps .*/data in memory \(tmpfs\), so there is no disk"):
        disk.from_spec({}, [target()], ROOT_SITE)


def test_data_and_log_on_two_devices_are_not_taken_for_one(
    host: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of_host(host, monkeypatch, tmp_path)
    data = tmp_path / "data"
    database(host, data)
    mounts = f"23 231 8:16 / {data} rw - ext4 /dev/sdb rw\n24 231 254:1 / /wal rw - ext4 /dev/vda1 rw\n"
    (host.proc / str(host.pid) / "mountinfo").write_text(MOUNTINFO + mounts)
    log = host.proc / str(host.pid) / "root" / str(data).lstrip("/") / "pg_wal"
    log.parent.mkdir(parents=True)
    log.symlink_to("/wal/15")
    with pytest.raises(ChaosError, match=r"on two devices; name one by path: commits wait for /wal/15"):
        disks.find_volume(target())
    assert disks.find_volume(target(), "/wal/15").device == "254:1"
    log.unlink()
    log.symlink_to("../data/log")
    assert disks.find_volume(target()).device == "8:16"


def seen(made: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    def look(controller: str, pid: int, container_id: str, **_: Any) -> Cgroup:
        return find_cgroup(controller, pid, container_id, root=made.root, proc=made.proc)

    monkeypatch.setattr(cgroups, "find_cgroup", look)
    return made


def disk_of_host(made: Tree, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Give the host a disk 254:0 with a partition 254:1, on which the container's volume lies."""
    (made.proc / str(made.pid) / "mountinfo").write_text(MOUNTINFO)
    block = folder / "sys" / "devices" / "vda"
    (block / "vda1").mkdir(parents=True)
    (block / "dev").write_text("254:0\n")
    (block / "vda1" / "partition").write_text("1\n")
    links = folder / "sys" / "dev" / "block"
    links.mkdir(parents=True)
    (links / "254:0").symlink_to(block)
    (links / "254:1").symlink_to(block / "vda1")
    monkeypatch.setattr(disks.find_volume, "__kwdefaults__", {"proc": made.proc})
    for function in (disks.find_disk, disks.name_disk):
        monkeypatch.setattr(function, "__kwdefaults__", {"sys": folder / "sys"})


# ---- finding


def test_the_container_is_found_in_both_versions_by_feature(host: Tree) -> None:
    for controller in ("cpu", "cpuacct", "memory", "blkio"):
        found = cgroups.find_cgroup(controller, host.pid, host.container)
        assert found.version == host.version
        assert host.container in found.path.name
        assert found.path == found.leaf


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_that_nests_is_limited_as_a_whole(version: int, tmp_path: Path) -> None:
    made = tree(tmp_path, version, below="/init.scope")
    found = find_cgroup("memory", made.pid, made.container, root=made.root, proc=made.proc)
    assert found.leaf == found.path / "init.scope"
    assert host_file(found, "memory.max" if version == 2 else "memory.limit_in_bytes")


def host_file(found: Cgroup, name: str) -> bool:
    return (found.path / name).is_file()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "path", ["/", "/user.slice", "/docker", "/docker/another" + "0" * 57, "/../docker/{id}"]
)
def test_a_cgroup_that_is_not_the_containers_own_is_refused(version: int, path: str, tmp_path: Path) -> None:
    made = tree(tmp_path, version, path=path.replace("{id}", target().id))
    with pytest.raises(ChaosError, match="not the container's own; limits there would reach others"):
        find_cgroup("cpu", made.pid, made.container, root=made.root, proc=made.proc)


def test_no_such_controller_and_no_such_process(host: Tree) -> None:
    for path in [*host.root.rglob("memory.max"), *host.root.rglob("memory.limit_in_bytes")]:
        path.unlink()
    with pytest.raises(Unsupported, match="no cgroup controller memory"):
        cgroups.find_cgroup("memory", host.pid, host.container)
    with pytest.raises(ChaosError, match="Process 1 of container"):
        cgroups.find_cgroup("cpu", 1, host.container)


def test_reading_and_writing_say_what_went_wrong(host: Tree) -> None:
    found = cgroups.find_cgroup("cpu", host.pid, host.container)
    with pytest.raises(ChaosError, match=r"cpu\.nothing cannot be read \(No such file"):
        found.read("cpu.nothing")
    (found.path / "cpu.max").unlink(missing_ok=True)
    (found.path / "cpu.max").mkdir()
    with pytest.raises(ChaosError, match=r"cpu\.max would not take '1' \(Is a directory\)"):
        found.write("cpu.max", "1")
    (found.path / "cpu.word").write_text("max\n")
    with pytest.raises(ChaosError, match="holds 'max', not a number"):
        found.read_number("cpu.word")


def test_a_device_has_its_own_line_and_its_neighbours_keep_theirs(host: Tree) -> None:
    found = cgroups.find_cgroup("blkio", host.pid, host.container)
    name = "io.max" if host.version == 2 else "blkio.throttle.write_bps_device"
    none = {1: "254:0 0", 2: "254:0 rbps=max wbps=max riops=max wiops=max"}[host.version]
    assert cgroups.device_line(found, name, "254:0") == none
    assert cgroups.device_line(found, name, "8:16").split()[0] == "8:16"
    changed = cgroups.device_limits("8:16", {"rbps": "5"}, "8:16 rbps=max wbps=7 riops=9 wiops=max")
    assert changed == "8:16 rbps=5 wbps=7 riops=9 wiops=max"


def test_what_the_kernel_counted(host: Tree) -> None:
    found = cpu.read_counters(host.pid, host.container)
    assert {key: found[key] for key in ("periods", "throttled", "throttled_s", "used_s")} == {
        "periods": 612,
        "throttled": 7,
        "throttled_s": 2.5,
        "used_s": 31.25,
    }
    blkio = cgroups.find_cgroup("blkio", host.pid, host.container)
    assert disks.count_bytes(blkio, "254:0") == {"read": 4096, "write": 65536}
    assert disks.count_bytes(blkio, "8:16") == {"read": 0, "write": 0}


# ---- plans


def test_the_plan_of_a_throttling(host: Tree) -> None:
    planned = cpu.from_spec({"cores": 0.1}, [target()], ROOT_SITE)
    before, after = {
        1: ({"cpu.cfs_quota_us": "100000"}, {"cpu.cfs_quota_us": "10000"}),
        2: ({"cpu.max": "max 100000"}, {"cpu.max": "10000 100000"}),
    }[host.version]
    (one,) = planned.undo()["containers"]
    assert (one["before"], one["after"], planned.undo()["held"]) == (before, after, True)
    (line,) = planned.lines()
    name, was = next(iter(before.items()))
    assert line.startswith("hold lab-postgres-1 (postgres) to 0.1 of one core: ")
    assert line.endswith(f"{name} {was} → {after[name]}; undo: write back {name} {was}")


def test_a_throttling_that_would_be_none_is_refused(host: Tree) -> None:
    host.file("cpu.cfs_quota_us" if host.version == 1 else "cpu.max").write_text(
        "5000\n" if host.version == 1 else "5000 100000\n"
    )
    with pytest.raises(ChaosError, match=r"held to 0\.05 of a core already"):
        cpu.from_spec({"cores": 0.1}, [target()], ROOT_SITE)
    with pytest.raises(ChaosError, match="not running"):
        cpu.from_spec({"cores": 0.1}, [down()], ROOT_SITE)
    with pytest.raises(ChaosError, match="at least one container"):
        cpu.from_spec({"cores": 0.1}, [], ROOT_SITE)


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({"NanoCpus": 1_000_000_000}, {"NanoCpus": "1000000000"}, {"NanoCpus": "100000000"}),
        ({"CpuQuota": 50000, "CpuPeriod": 50000}, {"CpuQuota": "50000"}, {"CpuQuota": "5000"}),
    ],
)
def test_without_root_the_engine_lowers_what_it_can_put_back(
    config: dict[str, int], before: dict[str, str], after: dict[str, str]
) -> None:
    planned = cpu.from_spec({"cores": 0.1}, [target(host=config)], USER_SITE)
    (one,) = planned.undo()["containers"]
    assert (planned.undo()["op"], one["before"], one["after"]) == ("update", before, after)
    assert "through the engine" in planned.lines()[0]
    with pytest.raises(Unsupported, match=r"has none: run it as root .*, or give the service a limit"):
        cpu.from_spec({"cores": 0.1}, [target()], USER_SITE)
    with pytest.raises(ChaosError, match="already"):
        cpu.from_spec({"cores": 2}, [target(host=config)], USER_SITE)


def test_the_plan_of_an_oom_takes_swap_along(host: Tree) -> None:
    planned = memory.from_spec({}, [target()], ROOT_SITE)
    # 36,663,296 bytes used, 24 MB of margin, up to the next multiple of 8 MB
    assert planned.limit == 64 * MB
    (one,) = planned.undo()["containers"]
    assert (
        one["before"]
        == {
            1: {"memory.limit_in_bytes": "268435456", "memory.memsw.limit_in_bytes": "536870912"},
            2: {"memory.max": "268435456", "memory.swap.max": "268435456"},
        }[host.version]
    )
    assert list(one["after"].values()) == {1: ["67108864", "67108864"], 2: ["67108864", "0"]}[host.version]
    assert planned.undo()["held"] is False
    first, second = planned.lines()
    assert "to 64 MB, swap with it" in first
    assert "undo: write back memory." in first
    assert "until the kernel kills a process of it" in second


@pytest.mark.parametrize(
    ("limit", "words"),
    [(36, "uses 35 MB; a limit of 36 MB would be refused"), (300, "limited to 256 MB already")],
)
def test_a_limit_that_cannot_be_is_refused(host: Tree, limit: int, words: str) -> None:
    with pytest.raises(ChaosError, match=words):
        memory.from_spec({"limit_mb": limit}, [target()], ROOT_SITE)


def test_a_service_without_a_limit_gets_one_that_the_host_can_bear(host: Tree) -> None:
    name = "memory.limit_in_bytes" if host.version == 1 else "memory.max"
    host.file(name).write_text("9223372036854771712\n" if host.version == 1 else "max\n")
    assert memory.read_limit(limits.cgroup_of("memory", target())) is None
    with pytest.raises(ChaosError, match="more than half of the host's free"):
        memory.from_spec({"limit_mb": 900_000}, [target()], ROOT_SITE)
    with pytest.raises(Unsupported, match=r"needs root: run it as root .chaos_become: true"):
        planning.plan_fault({"id": "oom", "kind": "memory", "target": "postgres"}, USER_SITE)


def test_the_plan_of_a_starvation_names_the_whole_disk_under_the_volume(
    host: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of_host(host, monkeypatch, tmp_path)
    planned = disk.from_spec({"write_bps": 65536}, [target()], ROOT_SITE)
    (one,) = planned.undo()["containers"]
    assert one["device"] == "254:0"
    assert (
        one["after"]
        == {
            1: {
                "blkio.throttle.read_bps_device": "254:0 131072",
                "blkio.throttle.write_bps_device": "254:0 65536",
            },
            2: {"io.max": "254:0 rbps=131072 wbps=65536 riops=max wiops=max"},
        }[host.version]
    )
    assert "on disk vda (254:0) under /var/lib/exchange/postgres" in planned.lines()[0]
    assert disk._write_rate(one["after"]) == 65536


def test_a_disk_that_is_slow_already_and_volumes_on_two_devices_are_refused(
    host: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of_host(host, monkeypatch, tmp_path)
    name = "blkio.throttle.write_bps_device" if host.version == 1 else "io.max"
    line = "254:0 1024" if host.version == 1 else "254:0 rbps=max wbps=1024 riops=max wiops=max"
    host.file(name).write_text(f"{line}\n")
    with pytest.raises(ChaosError, match="held to 1024 bytes per second on 254:0 already"):
        disk.from_spec({}, [target()], ROOT_SITE)
    info = host.proc / str(host.pid) / "mountinfo"
    info.write_text(MOUNTINFO + "23 231 8:16 / /archive rw - ext4 /dev/sdb rw\n")
    with pytest.raises(
        ChaosError, match=r"several devices \(/var/lib/exchange/postgres, /archive\); name one by path"
    ):
        disk.from_spec({}, [target()], ROOT_SITE)
    assert disks.find_volume(target(), "/archive/x").device == "8:16"
    info.write_text(MOUNTINFO.splitlines()[0] + "\n")
    with pytest.raises(ChaosError, match="keeps nothing on a volume"):
        disk.from_spec({}, [target()], ROOT_SITE)
    with pytest.raises(Unsupported, match="keeps /data in its own layer, not on a volume"):
        disk.from_spec({"path": "/data"}, [target()], ROOT_SITE)
    with pytest.raises(Unsupported, match="limits a disk by cgroup files, which needs root"):
        planning.plan_fault({"id": "starve", "kind": "disk", "target": "postgres"}, USER_SITE)


def test_contention_names_the_package_that_is_missing(
    host: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_of_host(host, monkeypatch, tmp_path)
    wanted = {"id": "busy", "mode": "contention", "accept_shared_disk": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Unsupported, match=r"needs fio or stress-ng, and neither is installed .* install the package fio"
    ):
        disk.from_spec(wanted, [target()], ROOT_SITE)
    (tmp_path / "fio").write_text("#!/bin/sh\n")
    (tmp_path / "fio").chmod(0o755)
    planned = disk.from_spec(wanted, [target()], ROOT_SITE)
    assert planned.lines()[0].startswith("saturate disk vda (254:0) under /var/lib/exchange/postgres")
    assert planned.undo()["containers"] == []
    with pytest.raises(ChaosError, match="chaos_accept_shared_disk: true"):
        disk.from_spec({**wanted, "accept_shared_disk": False}, [target()], ROOT_SITE)


# ---- arguments


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "cpu", "cores": 0}, "cores of fault x are 0; they must be a number of cores from 0.01"),
        ({"kind": "cpu", "cores": "much"}, "'much'"),
        ({"kind": "cpu", "cores": True}, "True"),
        ({"kind": "memory", "limit_mb": 1}, "limit_mb of fault x is 1"),
        ({"kind": "memory", "rate_mb": 0}, "rate_mb of fault x is 0"),
        ({"kind": "memory", "replicas": "all"}, "replicas must be one"),
        ({"kind": "disk", "mode": "fire"}, "must be one of limit, contention"),
        ({"kind": "disk", "mode": "contention"}, "chaos_accept_shared_disk: true"),
        ({"kind": "disk", "write_bps": 10}, "write_bps of fault x is 10; it must be bytes per second"),
        ({"kind": "disk", "read_bps": "fast"}, "read_bps of fault x is 'fast'"),
    ],
)
def test_a_wrong_argument_is_one_sentence(fault: dict[str, Any], words: str) -> None:
    (text,) = planning.check({"id": "x", **fault})
    assert words in text
    assert text.endswith(".")


@pytest.mark.parametrize("kind", ["cpu", "memory", "disk"])
def test_the_defaults_are_right(kind: str) -> None:
    assert planning.check({"id": "x", "kind": kind}) == []


# ---- putting back


class Engine:
    """An engine that knows these containers."""

    def __init__(self, *targets: Container) -> None:
        self.known = {one.id: one for one in targets}

    def inspect(self, container_id: str) -> Container | None:
        return self.known.get(container_id)

    def containers(self, project: str, service: str) -> list[Container]:
        return [one for one in self.known.values() if (one.project, one.service) == (project, service)]


def back(entry: dict[str, Any], engine: Engine) -> str:
    return limits.restore_limits(entry, "lab", "postgres", engine)  # type: ignore[arg-type]


def test_limits_go_back_to_the_byte_and_twice_is_once(host: Tree) -> None:
    change = cpu.from_spec({"cores": 0.1}, [target()], ROOT_SITE).changes[0]
    name = next(iter(change.before))
    engine = Engine(target())
    limits.apply_change(change)
    assert host.file(name).read_text() == change.after[name]
    assert limits.share_in_force(change.journal(), 0.0, engine) == 1.0  # type: ignore[arg-type]
    assert back(change.journal(), engine) == "lab-postgres-1 has its limits back"
    assert host.file(name).read_text() == change.before[name]
    assert back(change.journal(), engine) == "lab-postgres-1 had its limits already"
    assert limits.share_in_force(change.journal(), 0.0, engine) == 0.0  # type: ignore[arg-type]


def test_a_container_that_went_or_was_started_anew_is_undone_with_it(host: Tree) -> None:
    entry = cpu.from_spec({"cores": 0.1}, [target()], ROOT_SITE).changes[0].journal()
    assert back(entry, Engine()) == "undone by replacement: lab-postgres-1 is gone, and its limits with it"
    assert back(entry, Engine(target(number=2))).endswith(", lab-postgres-2 runs in its stead")
    assert "does not run; the engine gives it its own limits" in back(entry, Engine(down()))
    assert back({**entry, "pid": 1}, Engine(target())).startswith("undone by restart: lab-postgres-1")


def test_a_kernel_that_keeps_something_else_is_told(host: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    change = cpu.from_spec({"cores": 0.1}, [target()], ROOT_SITE).changes[0]
    monkeypatch.setattr(Cgroup, "write", lambda *_: None)
    with pytest.raises(ChaosError, match=r"was to hold .* but holds"):
        limits.apply_change(change)


@pytest.mark.parametrize("host", [1], indirect=True)
def test_memory_and_swap_are_written_in_the_order_the_kernel_takes(
    host: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 refuses a limit above that of memory and swap together, at every moment."""
    write = Cgroup.write

    def strict(self: Cgroup, name: str, text: str) -> None:
        first, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
        if (name == first and int(text) > self.read_number(both)) or (
            name == both and int(text) < self.read_number(first)
        ):
            raise ChaosError("Invalid argument")
        write(self, name, text)

    monkeypatch.setattr(Cgroup, "write", strict)
    change = memory.from_spec({}, [target()], ROOT_SITE).change
    limits.apply_change(change)
    assert host.file("memory.memsw.limit_in_bytes").read_text() == "67108864"
    assert back(change.journal(), Engine(target())) == "lab-postgres-1 has its limits back"
    assert host.file("memory.limit_in_bytes").read_text() == "268435456"
    assert host.file("memory.memsw.limit_in_bytes").read_text() == "536870912"
