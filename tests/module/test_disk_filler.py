# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filesystem of a container's own, filled, held full, and given back; nobody left alive included."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Applied, Scene, Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import disk_fill
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import disk_filler
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Entry

from tests.module import core_support
from tests.module.core_support import Host, wait_for

MEGABYTE = 1024 * 1024
FAULT = {"id": "full", "kind": "disk_fill", "target": "store", "path": "/data", "window_s": 15}


def loop_mounts() -> bool:
    """Whether this machine mounts an image."""
    return Path("/dev/loop-control").exists()


pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.skipif(not loop_mounts(), reason="needs loop devices"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem with one folder on it, which belongs to nobody's user."""
    image, mount = tmp_path / "image", tmp_path / "mounted"
    image.write_bytes(b"")
    os.truncate(image, 48 * MEGABYTE)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "1", str(image)], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    try:
        (mount / "data").mkdir()
        os.chown(mount / "data", 65534, 65534)
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


class Stage:
    """A service ``store`` whose data is on that filesystem, and the fault."""

    def __init__(self, host: Host, disk: Path, **arguments: object) -> None:
        host.project.up("store", volumes={str(disk / "data"): {"bind": "/data", "mode": "rw"}})
        self.run, self.engine, self.disk = host.inert(), DockerEngine.connect(), disk
        self.store = self.engine.container(host.project.name, "store")
        self.scene = Scene(self.run, self.engine)
        self.fault = {**FAULT, **arguments}
        self.site = Site([self.store], True, self.engine)
        self.planned = disk_fill.from_spec(self.fault, [self.store], self.site)
        now = clock.read()
        self.entry = Entry(
            1, "full", "disk_fill", "store", self.planned.lines(), self.planned.undo(), now + 30, now
        )

    def apply(self) -> Applied:
        done = disk_fill.apply(self.planned, self.entry, self.scene)
        vars(self.entry).update(facts=done.facts, applied_at=done.at)
        return done

    @property
    def free(self) -> int:
        return int(subprocess.run(
            ["df", "--output=avail", "-B1", str(self.disk)], capture_output=True, text=True, check=True
        ).stdout.split()[1])  # fmt: skip

    def write(self) -> bool:
        """Whether the service itself can write a megabyte."""
        words = ["/bin/busybox", "dd", "if=/dev/zero", "of=/data/x", "bs=1M", "count=1"]
        return self.engine.execute(self.store.id, words)[0] == 0


def test_it_is_full_to_the_last_block_and_then_it_is_not(host: Host, disk: Path) -> None:
    stage = Stage(host, disk)
    before = stage.free
    assert disk_fill.trial(stage.fault, [stage.store], stage.site).startswith("ok: ")
    assert stage.free == before
    done = stage.apply()
    try:
        assert {proof.name: proof.holds for proof in done.proofs} == {"full": True, "refused": True}
        assert stage.free == 0
        assert not stage.write()
        time.sleep(1.0)
        first = disk_fill.in_force(stage.entry, stage.scene)[0]
        assert first.holds
        assert (first.share or 0) > 0.9
    finally:
        how = disk_fill.undo(stage.entry, stage.scene)
    assert "the process that held the file was ended" in how
    assert stage.free >= before - MEGABYTE
    assert stage.write()
    assert sorted(path.name for path in disk.iterdir()) == ["data", "lost+found"]
    assert "had ended before" in disk_fill.undo(stage.entry, stage.scene)


def test_what_becomes_free_is_taken(host: Host, disk: Path) -> None:
    ballast = disk / "data" / "ballast"
    ballast.write_bytes(bytes(8 * MEGABYTE))
    stage = Stage(host, disk)
    stage.apply()
    try:
        ballast.unlink()
        wait_for(lambda: stage.free == 0)
    finally:
        disk_fill.undo(stage.entry, stage.scene)
    assert stage.free > 8 * MEGABYTE


def test_nobody_left_alive_gives_the_room_back_all_the_same(host: Host, disk: Path) -> None:
    stage = Stage(host, disk)
    before = stage.free
    stage.apply()
    entry = processes.living_process(stage.run, disk_filler.COMMAND)
    assert entry is not None
    os.kill(int(entry["pid"]), signal.SIGKILL)
    wait_for(lambda: stage.free >= before - MEGABYTE)
    time.sleep(1.1)
    assert disk_fill.in_force(stage.entry, stage.scene)[0].holds is False


def test_beside_others_it_is_refused_and_with_consent_it_leaves_a_floor(host: Host, disk: Path) -> None:
    (disk / "others").mkdir()
    stage = Stage(host, disk, accept_shared_disk=True, floor_mb=8)
    with pytest.raises(ChaosError, match="set chaos_accept_shared_disk: true"):
        disk_fill.from_spec(FAULT, [stage.store], stage.site)
    done = stage.apply()
    try:
        assert all(proof.holds for proof in done.proofs), done.proofs
        assert 8 * MEGABYTE <= stage.free <= 8 * MEGABYTE + disk_filler.FULL
        assert stage.write()
    finally:
        disk_fill.undo(stage.entry, stage.scene)
