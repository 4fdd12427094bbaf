# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report files of a record that lies on disk: log, kernel events, page, JUnit, from it and its raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..record import report_files
from ..record.clocks import clock_offsets
from . import bpf_log, text
from .junit import render_junit
from .page import page_file

Record = dict[str, Any]
#: The kinds that rendering writes.
RENDERED = ("log", "bpf", "html", "xml")


def render_head(record: Record) -> str:
    """Return the first lines of a log, which a reservation leaves in it."""
    return join_lines(text.render_banner(record["experiment"]["title"]))


def write_reports(record: Record, files: Mapping[str, str], source: str) -> None:
    """Write the files of a record. ``source`` is the stem beside which its raw samples lie.

    files: path by kind, of RENDERED at least. Raises FileError and FileExistsError: nothing is overwritten.
    """
    fresh, events = bpf_log.find_unwritten(record, source, {})
    closing = bpf_log.render_block(record, events, bpf_log.read_histograms(record, source))
    bpf = [*bpf_log.render_events(fresh, len(record["hosts"]) > 1, clock_offsets(record)), *closing]
    report_files.fill_file(files["bpf"], join_lines(bpf))
    report_files.fill_file(files["xml"], render_junit(record))
    page_file.write_page(record, source, files["html"])
    begun = render_head(record)
    report_files.fill_file(files["log"], join_lines(text.render_log(record, files))[len(begun) :], begun)


def join_lines(lines: list[str]) -> str:
    """Return lines as the text of a file."""
    return "".join(f"{line}\n" for line in lines)
