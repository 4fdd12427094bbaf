# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared report folder and a host that turned: what lies there costs the controller nothing, and is not believed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import resource
import tarfile
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.exchange.chaos.plugins.action.record import ActionModule
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import raw_lines, read
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host

pytestmark = pytest.mark.slow

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "files" / "record.schema.json").read_text())


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.with_name("real").write_text("{}")
    path.symlink_to(path.with_name("real"))


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(50 * 2**30)


def strangers(path: Path) -> None:
    path.write_text("{}")
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("plant", [fifo, link, device, folder, sparse, strangers])
def test_what_is_no_file_of_ours_is_one_sentence_at_once(tmp_path: Path, plant: Any) -> None:
    if plant is strangers and os.geteuid() != 0:
        pytest.skip("giving a file to another user needs root")
    path = tmp_path / "chaos-exp-01.json"
    plant(path)
    began = time.monotonic()
    with pytest.raises(read.RecordError, match="cannot be read"):
        read.load_record(str(path))
    assert list(raw_lines.read_lines(str(path))) == []
    assert time.monotonic() - began < 2


def test_a_line_of_a_gigabyte_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", 9) as stream:
        stream.write(b'{"a": 1}\n{"b": "')
        for _piece in range(300):
            stream.write(b"\0" * 2**20)
    assert path.stat().st_size < 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert list(raw_lines.read_lines(str(path))) == [{"a": 1}]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


GOOD = make_missing_host("db-1", "aborted", "out of reach")


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {**GOOD, "verdicts": 5},
        {**GOOD, "outcome": "passed!"},
        {**GOOD, "faults": [{"id": 1}]},
        {**GOOD, "wave": "first"},
        {**GOOD, "wave": float("inf")},
        {**GOOD, "wave": 10**400},
        {**GOOD, "load": {**GOOD["load"], "rate": 10**400}},
        {**GOOD, "extra": True},
        {**GOOD, "notes": ["x" * 2_000_000]},
        {**GOOD, "host": "db-1\x1b[2J\nmore"},
        {**GOOD, "load": {**GOOD["load"], "rate": float("nan")}},
        {**GOOD, "notes": [object()]},
    ],
)
def test_one_hosts_bad_record_is_that_hosts_invalid(sent: dict[str, Any]) -> None:
    found = read.sound_host(sent)
    jsonschema.validate(
        {"host": found}, {"$defs": SCHEMA["$defs"], "properties": {"host": {"$ref": "#/$defs/host"}}}
    )
    json.dumps(found, allow_nan=False)
    if sent.get("host") != "db-1\x1b[2J\nmore":
        assert found["outcome"] == "invalid"
        assert "nothing of it is believed" in found["notes"][0]


def test_a_sound_record_is_left_as_it_is() -> None:
    assert read.sound_host(GOOD) is GOOD


# -- the archive that a host packed ------------------------------------------------------------------------------------


def fetch(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> dict[str, str]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    action = ActionModule.__new__(ActionModule)
    action._execute_module = lambda **_: {"content": base64.b64encode(packed.getvalue()).decode()}
    return dict(action._fetch(str(tmp_path / "chaos-exp-01"), "/bundle", {"inventory_hostname": "db-1"}))


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **headers: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, "/etc/shadow" if kind != tarfile.REGTYPE else ""
    made.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
    return made


def test_a_plain_archive_is_laid_beside_the_report(tmp_path: Path) -> None:
    found = fetch(tmp_path, [(member("load.jsonl.gz", 3), b"abc"), (member("../../evil", 3), b"abc")])
    assert {raw: Path(path).read_bytes() for raw, path in found.items()} == {"load": b"abc"}


@pytest.mark.parametrize(
    "planted",
    [
        member("load.jsonl.gz", GNU_sparse_map="0,0", GNU_sparse_size=str(50 << 30)),
        member("load.jsonl.gz", kind=tarfile.SYMTYPE),
        member("load.jsonl.gz", kind=tarfile.LNKTYPE),
        member("load.jsonl.gz", kind=tarfile.FIFOTYPE),
    ],
)
def test_a_hole_or_a_link_in_the_archive_is_refused(tmp_path: Path, planted: tarfile.TarInfo) -> None:
    with pytest.raises(ValueError, match=r"load\.jsonl\.gz in it is no plain file"):
        fetch(tmp_path, [(planted, b"")])
    assert list(tmp_path.iterdir()) == []
