# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report files: their names, and that nobody else's file is ever touched."""

from __future__ import annotations

import gzip
import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import bpf_log

from tests.unit import fleets

KINDS = ("log", "bpf")


def test_stem() -> None:
    assert report_files.stem_of("/tmp", 1, "2025-10-06T14:30:15.999Z") == "/tmp/chaos-exp-01-20251006-143015"
    assert report_files.raw_path("/tmp/s", "db/1:2 x", "bpf") == "/tmp/s.db_1_2_x.bpf.jsonl.gz"


def test_reserve_creates_private_files_and_steps_aside(tmp_path: Path) -> None:
    wanted = str(tmp_path / "chaos-exp-01-20251006-143015")
    assert [report_files.reserve_files(wanted, KINDS) for _ in range(3)] == [
        wanted,
        f"{wanted}-2",
        f"{wanted}-3",
    ]
    assert sorted(path.name[len("chaos-exp-01-20251006-143015") :] for path in tmp_path.iterdir()) == [
        "-2.log", "-2.log.bpf", "-3.log", "-3.log.bpf", ".log", ".log.bpf"]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("ending", [".log", ".log.bpf", ".json", ".xml", ".html"])
def test_a_planted_link_is_never_followed(tmp_path: Path, ending: str) -> None:
    wanted, victim = str(tmp_path / "s"), tmp_path / "victim"
    os.symlink(victim, f"{wanted}{ending}")
    assert report_files.reserve_files(wanted, KINDS) == f"{wanted}-2"
    assert not victim.exists()
    with pytest.raises(FileExistsError):
        report_files.create_file(f"{wanted}{ending}", "x")
    with pytest.raises(FileExistsError):
        report_files.fill_file(f"{wanted}{ending}", "x")
    assert not victim.exists()
    victim.write_text("precious")
    with pytest.raises(FileError, match="cannot be opened: Too many levels of symbolic links"):
        report_files.append_text(f"{wanted}{ending}", "x")
    assert victim.read_text() == "precious"


def test_append_creates_nothing_and_takes_only_files(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file or directory"):
        report_files.append_text(str(tmp_path / "none"), "x")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileError):
        report_files.append_text(str(tmp_path / "fifo"), "x")
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_append_refuses_the_file_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("theirs")
    os.chown(path, 65534, 65534)
    with pytest.raises(FileError, match="not a file of this user"):
        report_files.append_text(str(path), "x")
    assert path.read_text() == "theirs"


def test_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="does not exist: set chaos_report_dir"):
        report_files.check_folder(str(tmp_path / "none"))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is not a folder"):
        report_files.check_folder(str(tmp_path / "file"))
    # Root passes every check of permissions, so what refuses it then is the file system itself.
    with pytest.raises(FileError, match=r"The report file /proc/s\.log cannot be created: "):
        report_files.reserve_files("/proc/s", KINDS)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileError, match="cannot be written to"):
        report_files.check_folder(str(tmp_path))


def test_fill_and_blank(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    report_files.fill_file(path, "text\n", "head\n")
    assert Path(path).read_text() == "head\ntext\n"
    assert not report_files.is_blank(path, "head\n")
    with pytest.raises(FileExistsError):
        report_files.fill_file(path, "text\n", "head\n")
    other = str(tmp_path / "other")
    report_files.create_file(other, "head\n", sync=True)
    assert report_files.is_blank(other, "head\n")
    assert not report_files.is_blank(other)
    report_files.fill_file(other, "text\n", "head\n")
    assert Path(other).read_text() == "head\ntext\n"


def event(t: float, name: str = "CONN_FAILED", **fields: object) -> dict[str, object]:
    return {"t": t, "event": name, "pid": 1234, "comm": "python3", "service": "trading-api", "container": "c",
            "family": 4, "laddr": "172.18.0.4", "lport": 40000, "raddr": "172.18.0.3", "rport": 5432, "errno": 111,
            "duration_ms": 0.2, "control": False, **fields}  # fmt: skip


ANCHOR = {"anchor": {"boottime": 100.0, "realtime": 1763920800.0, "boot_id": "b"}}
HOST_BPF = {
    "status": "attached",
    "programs": ["tcp"],
    "events": 3,
    "lost": 0,
    "positive_control": True,
    "cpu_s": 0.1,
}


def write_raw(stem: Path, host: str, *items: dict[str, object], raw: str = "bpf") -> None:
    with gzip.open(report_files.raw_path(str(stem), host, raw), "wt") as stream:
        stream.writelines(f"{json.dumps(item)}\n" for item in items)


def clocked(host: str, offset: float | None = None) -> dict[str, object]:
    return {"host": host, "clock": {"offset_ms": offset, "uncertainty_ms": 0.5}}


def test_rest_of_the_events_comes_once_and_in_order(tmp_path: Path) -> None:
    stem = tmp_path / "s"
    write_raw(stem, "a", ANCHOR, event(101, control=True), event(102), event(104), event(103))
    write_raw(stem, "b", ANCHOR, event(103.5))
    live = {"a": [{**event(102), "at": "2025-11-23T18:00:02.000Z"}]}
    fresh, everything = bpf_log.find_unwritten({"hosts": [clocked("a"), clocked("b")]}, str(stem), live)
    assert [(host, each["at"][17:]) for host, each in fresh] == [
        ("a", "03.000Z"),
        ("b", "03.500Z"),
        ("a", "04.000Z"),
    ]
    assert len(everything) == 5


def test_rest_of_the_events_of_several_hosts_is_ordered_by_the_controllers_clock(tmp_path: Path) -> None:
    stem = tmp_path / "s"
    write_raw(stem, "a", ANCHOR, event(104))
    write_raw(stem, "b", ANCHOR, event(103))
    ahead = {"hosts": [clocked("a", 3000.0), clocked("b")]}
    fresh, _everything = bpf_log.find_unwritten(ahead, str(stem), {})
    assert [(host, each["at"][17:]) for host, each in fresh] == [("a", "04.000Z"), ("b", "03.000Z")]
    assert [line.split()[0] for line in bpf_log.render_events(fresh, True, {"a": 3000.0})] == [
        "[18:00:01]",
        "[18:00:03]",
    ]


def test_time_of_raw_events_from_a_live_one(tmp_path: Path) -> None:
    write_raw(tmp_path / "s", "a", event(102), event(103))
    live = {"a": [{**event(102), "at": "2025-11-23T18:00:02.000Z"}]}
    fresh, _all = bpf_log.find_unwritten({"hosts": [{"host": "a"}]}, str(tmp_path / "s"), live)
    assert [each["at"] for _host, each in fresh] == ["2025-11-23T18:00:03.000Z"]


@pytest.mark.parametrize(
    "content", [b"", b"not gzip", gzip.compress(b'{"event": "CONN_OK", "t": 1}\n[1]\n{"tor', mtime=0)[:-4]]
)
def test_damaged_raw_file_is_no_end(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "raw.gz"
    path.write_bytes(content)
    assert len(bpf_log.read_raw(str(path))) <= 1
    assert bpf_log.read_raw(str(tmp_path / "none.gz")) == []


def test_lines_and_statistics() -> None:
    at = {**event(102), "at": "2025-11-23T14:30:45.000Z"}
    (line,) = bpf_log.render_events([("db-1", at)], several=False)
    assert line == "[14:30:45] CONN_FAILED        trading-api (PID: 1234, errno: 111 ECONNREFUSED)"
    (line,) = bpf_log.render_events([("db-1", at)], several=True)
    assert line.startswith("[14:30:45] db-1 CONN_FAILED")
    for hosts in (1, 3):
        record = fleets.record([fleets.host(n) for n in range(1, hosts + 1)])
        block = bpf_log.render_block(record, [at] * 500)
        assert any("Statistics" in each for each in block)
        assert len([each for each in block if each.strip()]) <= 11


def test_what_the_kernels_kept_ends_in_the_statistics(tmp_path: Path) -> None:
    stem = tmp_path / "s"
    line = {"t": 102, "series": "fsync latency", "unit": "us", "buckets": [[512, 1024, 3]]}
    write_raw(stem, "a", ANCHOR, line, raw="histograms")
    record = {"hosts": [{**fleets.host(1), "host": host} for host in ("a", "b")]}
    kept = bpf_log.read_histograms(record, str(stem))
    assert kept == [line]
    assert any("fsync latency 1.02 ms" in each for each in bpf_log.render_block(record, [], kept))
    assert not any("histograms" in each for each in bpf_log.render_block(record, []))


def test_statistics_block_is_what_grep_a_10_shows() -> None:
    block = bpf_log.render_block(
        {"hosts": [{"host": "a", "bpf": {**HOST_BPF, "status": "absent", "cpu_s": None}}]}, []
    )
    start = next(index for index, line in enumerate(block) if "Statistics" in line)
    assert len(block) - start - 1 <= 10


def test_a_report_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_files.require_room(str(tmp_path))
    full = os.statvfs_result((4096, 4096, 100, 5, 2560, 9, 9, 9, 0, 255))
    monkeypatch.setattr(report_files.os, "statvfs", lambda _path: full)
    with pytest.raises(
        report_files.FileError, match=r"Only 10 MiB are free in the report folder .*; 20 MiB are needed"
    ):
        report_files.require_room(str(tmp_path))


def test_a_file_system_that_tells_no_room_is_not_taken_for_a_full_one() -> None:
    assert os.statvfs("/proc").f_blocks == 0
    report_files.require_room("/proc")
