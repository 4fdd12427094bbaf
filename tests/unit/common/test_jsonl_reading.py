# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw lines are read one by one, whatever stands between them, and the collector works again afterwards."""

from __future__ import annotations

import gc
import gzip
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import jsonl
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import raw_lines

#: What is a line of ours, and what is none; the numbers are those that must be found.
MIXED = b'{"n": 1}\n\n[2]\ntorn {"n"\n{"n": 3} behind it\n{"n": 4}\n{"n": [{}\n{}]}\n{"n": 5}'


def test_lines_of_a_host_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_bytes(MIXED)
    assert [line["n"] for line in jsonl.iterate_lines(path)] == [1, 4, 5]
    assert jsonl.read_lines(path) == jsonl.parse_lines(MIXED)
    assert list(jsonl.iterate_lines(tmp_path / "none")) == []


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
def test_lines_beside_a_report_are_the_same_in_whatever_pieces_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    path = tmp_path / "raw.jsonl.gz"
    path.write_bytes(gzip.compress(MIXED))
    monkeypatch.setattr(raw_lines, "_PIECE", piece)
    assert [line["n"] for line in raw_lines.read_lines(str(path)) if line] == [1, 3, 4, 5]


def test_of_two_lines_never_one_object_is_made(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"n": [{}\n{}]}\n{"n": 2}\n'))
    assert list(raw_lines.read_lines(str(path))) == [{}, {"n": 2}], "what stands behind an object is not read"


def test_the_collector_works_again_however_it_was_left() -> None:
    def fail() -> None:
        with jsonl.pause_collector():
            assert not gc.isenabled()
            raise LookupError

    assert gc.isenabled()
    with pytest.raises(LookupError):
        fail()
    assert gc.isenabled()
