# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a full disk: whose disk it is, what is refused, and for how long it counts as full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import disk_fill
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import disk_filler
from ansible_collections.exchange.chaos.plugins.module_utils.host import disks
from ansible_collections.exchange.chaos.plugins.module_utils.host.disks import Mount

from tests.unit.containers import down, target

FAULT: dict[str, Any] = {"id": "full", "target": "postgres", "window_s": 15, "hold_s": 15}
POINT = "/var/lib/postgresql"


class Tree:
    """A /proc whose container 7 has a filesystem mounted, which this host sees whole at ``whole``."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.whole = folder / "proc", folder / "disk"
        self.whole.mkdir(parents=True)
        (self.proc / str(os.getpid())).mkdir(parents=True)
        self.inside = self.proc / "7" / "root" / POINT.lstrip("/")
        self.inside.parent.mkdir(parents=True)
        self.mounted(self.whole)

    def mounted(self, where: Path | None) -> None:
        line = f"30 1 7:0 / {where} rw - ext4 /dev/loop0 rw\n" if where else ""
        (self.proc / str(os.getpid()) / "mountinfo").write_text(
            f"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n{line}"
        )

    def find_others(self, root: str, data: str = "") -> str:
        if not self.inside.exists():
            self.inside.symlink_to(self.whole / root.lstrip("/"))
        return disks.find_others(7, Mount(POINT, "ext4", "/dev/loop0", "7:0", root), data, proc=self.proc)


def test_a_filesystem_that_holds_the_volume_alone_is_its_own(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.whole / "volumes" / "data").mkdir(parents=True)
    (tree.whole / "lost+found").mkdir()
    assert tree.find_others("/volumes/data") == ""


def test_anything_beside_the_volume_on_the_way_down_is_named(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.whole / "volumes" / "data").mkdir(parents=True)
    (tree.whole / "volumes" / "another").mkdir()
    assert tree.find_others("/volumes/data") == f"such as {tree.whole}/volumes/another"


def test_a_whole_filesystem_is_its_own_only_where_the_data_folder_is_alone_on_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.whole / "main").mkdir()
    assert tree.find_others("/", f"{POINT}/main") == ""
    assert tree.find_others("/", POINT) == ""
    (tree.whole / "backups").mkdir()
    assert tree.find_others("/", f"{POINT}/main").endswith("/backups")


def test_what_nobody_can_look_at_whole_is_not_taken_for_its_own(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.mounted(None)
    assert tree.find_others("/volumes/data") == "nobody can look at all of it from here"


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A container whose volume is on a disk that holds more."""
    monkeypatch.setattr(disks, "find_volume", lambda *_: Mount("/", "ext4", "/dev/sda1", "8:1"))
    monkeypatch.setattr(disks, "find_data_folder", lambda *_: "")
    monkeypatch.setattr(disks, "find_others", lambda *_: "such as /home")
    return tmp_path


@pytest.mark.usefixtures("shared")
def test_a_disk_of_others_is_refused_with_the_way_out() -> None:
    chosen = [target(state={"Pid": os.getpid()})]
    with pytest.raises(ChaosError) as refused:
        disk_fill.from_spec(FAULT, chosen, Site([], True))
    said = str(refused.value)
    assert "holds more than this volume (such as /home)" in said
    assert "give the volume a filesystem of its own, or set chaos_accept_shared_disk: true" in said
    assert "64 MB stay free" in said


@pytest.mark.usefixtures("shared")
def test_accepted_it_has_a_floor() -> None:
    accepted = {**FAULT, "accept_shared_disk": "true", "floor_mb": "128"}
    planned = disk_fill.from_spec(accepted, [target(state={"Pid": os.getpid()})], Site([], True))
    assert planned.floor == 128 * 1024 * 1024
    assert "until 128 MB are free" in planned.lines()[0]
    assert planned.undo()["held"] is True


def test_a_disk_of_its_own_is_filled_to_the_last_block(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "find_others", lambda *_: "")
    planned = disk_fill.from_spec(FAULT, [target(state={"Pid": os.getpid()})], Site([], True))
    assert planned.floor == 0
    assert "to its last block" in planned.lines()[0]


def test_what_does_not_run_has_no_disk_to_fill() -> None:
    with pytest.raises(ChaosError, match="lab-postgres-1 is exited"):
        disk_fill.from_spec(FAULT, [down()], Site([], True))


@pytest.mark.parametrize("floor", [0, -1, "little", True])
def test_a_floor_is_a_number_of_megabytes(floor: Any) -> None:
    (problem,) = disk_fill.check({**FAULT, "floor_mb": floor})
    assert problem == (
        f"The floor_mb of fault full is {floor!r}; it must be a whole number of megabytes, 1 or more."
    )
    assert disk_fill.check({**FAULT, "floor_mb": "64"}) == disk_fill.check(FAULT) == []


def lines(*free: int, step: float = 1.0) -> list[dict[str, Any]]:
    return [{"t": 100.0 + number * step, "free": one} for number, one in enumerate(free)]


@pytest.mark.parametrize(
    ("samples", "floor", "share"),
    [
        (lines(0, 0, 0, 0), 0, 1.0),
        (lines(0, 0, disk_filler.FULL + 1, 0), 0, 0.75),
        (lines(0), 0, 0.25),
        ([], 0, 0.0),
        (lines(900_000, 900_000, 900_000, 900_000), 900_000, 1.0),
        (lines(900_000, 900_000, 900_000, 900_000), 0, 0.0),
    ],
)
def test_it_was_full_as_long_as_a_sample_says_so(
    samples: list[dict[str, Any]], floor: int, share: float
) -> None:
    assert disk_fill.full_share(samples, 100.0, 104.0, floor) == pytest.approx(share)
