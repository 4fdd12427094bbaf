# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of a report folder: what is in it, in which order, and what it leaves alone."""

from __future__ import annotations

import copy
import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.folder import record_paths
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.history.pages import render_index

from tests.unit import fleets


def lay(folder: Path, day: int, name: str = "passed", host: str = "localhost") -> Path:
    """Write a record of a day, and a page beside it on even ones."""
    record = copy.deepcopy(fleets.sample(name))
    record["started_at"] = f"2026-11-{day:02d}T18:00:00.000Z"
    record["hosts"][0]["host"] = host
    path = folder / f"chaos-exp-01-202611{day:02d}-180000.json"
    path.write_text(json.dumps(record))
    if day % 2 == 0:
        path.with_suffix(".html").write_text("page")
    return path


def test_newest_first_with_pages_where_there_are_some(tmp_path: Path) -> None:
    for day in (3, 12, 7):
        lay(tmp_path, day, "failed" if day == 7 else "passed")
    html = render_index(str(tmp_path))
    places = [html.index(f"2026-11-{day:02d} 18:00:00</td>") for day in (12, 7, 3)]
    assert places == sorted(places)
    assert html.count(">page</a>") == 1
    assert html.count(">record</a>") == 3
    assert "3 runs in" in html


def test_a_trend_has_a_dot_a_run_the_oldest_left(tmp_path: Path) -> None:
    for day in (3, 12, 7):
        lay(tmp_path, day, "failed" if day == 7 else "passed")
    html = render_index(str(tmp_path))
    trend = html[html.index("Trend of Database failure detection") :]
    dots = [trend.index(f"2026-11-{day:02d} 18:00:00: ") for day in (3, 7, 12)]
    assert dots == sorted(dots)
    assert "1.0004 s, fail" in trend


def test_what_is_no_record_is_named_and_links_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path, 3)
    (tmp_path / "chaos-exp-01-20261104-180000.json").write_text("{<script>")
    os.symlink("/etc/passwd", tmp_path / "chaos-exp-01-20261105-180000.json")
    (tmp_path / "unrelated.json").write_text("{}")
    assert [Path(path).name for path in record_paths(str(tmp_path))] == [
        "chaos-exp-01-20261104-180000.json",
        "chaos-exp-01-20261103-180000.json",
    ]
    html = render_index(str(tmp_path))
    assert "is not valid JSON" in html
    assert "<script>{" not in html.replace("<script>&#34;", "")


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    assert "No record is in this folder yet." in render_index(str(tmp_path))
    with pytest.raises(FileError, match="cannot be read"):
        render_index(str(tmp_path / "none"))


def test_an_index_is_renewed_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "chaos-index.html"
    report_files.renew_page(str(path), "<!doctype html>one")
    report_files.renew_page(str(path), "<!doctype html>two")
    assert path.read_text().endswith("two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["chaos-index.html"]
    path.write_text("somebody's notes")
    with pytest.raises(FileError, match="is no page of this user"):
        report_files.renew_page(str(path), "<!doctype html>three")
    path.unlink()
    os.symlink(tmp_path / "victim", path)
    with pytest.raises(FileError):
        report_files.renew_page(str(path), "<!doctype html>four")
    assert not (tmp_path / "victim").exists()
