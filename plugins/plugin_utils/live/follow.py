# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report files of a run while it goes on, from the results of its tasks.

Every line is on its way to the disk as soon as it is known: a run that is killed still has its log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..record import report_files
from ..record.clocks import clock_offsets
from ..record.report_files import FileError
from ..report import bpf_log, text
from ..report.ending import WIDTH
from ..report.junit import render_junit
from ..report.page import page_file
from ..words import escape_line, log_line, utc_now
from .results import Hosts, Result, failure_sentence, read_dicts, read_finished, read_mapping, says_already

Record = dict[str, Any]
_KEPT = 10_000  # lines that came before the log was reserved


class Follower:
    """Follow one ansible-playbook. Several runs may come one after the other, each with a log of its own.

    Methods raise FileError or RecordError with a sentence when a file cannot be written or read.
    """

    def __init__(self, width: int = WIDTH) -> None:
        self.width = width
        self.hosts = Hosts()
        self.last: tuple[Record, dict[str, str]] | None = None
        self._stem: str | None = None
        self._waiting: list[str] = []
        self._live: dict[str, list[bpf_log.Event]] = defaultdict(list)

    def take_result(self, host: str, result: Result) -> None:
        """Take the result of a task, good or bad."""
        report = read_mapping(result, "chaos_report")
        if report.get("state") == "reserved" and report.get("stem"):
            self._open(str(report["stem"]), report.get("hosts"))
        self._log([line for _level, line in self.hosts.lines(host, result)])
        self._events(host, result)
        found = read_finished(result)
        if found is None:
            return
        self.last = found
        if report.get("state") == "written" and self._stem:
            self._log([log_line(utc_now(), "warn", sentence) for sentence in _sentences(report)])
            stem, self._stem = self._stem, None  # whatever comes of it, this log is closed
            self._close(stem, found[0])

    def take_failure(self, host: str, result: Result, *, ignored: bool = False) -> None:
        """Take a task that failed or a host that could not be reached."""
        self.take_result(host, result)
        sentence = failure_sentence(result)
        if self._stem and not says_already(result, sentence):
            level = "warn" if ignored else "fail"
            self._log([log_line(utc_now(), level, sentence, self.hosts.label(host))])

    def take_end(self) -> None:
        """Take the end of the playbook: a log that is still open then has no record."""
        if self._stem:
            line = (
                "The playbook ended before a record was written: `halt` undoes what may be left on the hosts"
            )
            self._log([log_line(utc_now(), "fail", line)])
            self._stem = None

    def _open(self, stem: str, hosts: object) -> None:
        self.take_end()
        self._stem = stem
        self.hosts.set_names(hosts)
        self._live.clear()
        waiting, self._waiting = self._waiting, []
        self._log(waiting)

    def _log(self, lines: list[str]) -> None:
        if not lines:
            return
        if self._stem:
            report_files.append_text(f"{self._stem}{report_files.ENDINGS['log']}", _text(lines))
        elif len(self._waiting) < _KEPT:
            self._waiting += lines

    def _events(self, host: str, result: Result) -> None:
        events = [dict(event) for event in read_dicts(result, "chaos_bpf")]
        if events and self._stem:
            several = bool(self.hosts.label(host))
            lines = bpf_log.render_events(((host, event) for event in events), several, self.hosts.offsets)
            report_files.append_text(f"{self._stem}{report_files.ENDINGS['bpf']}", _text(lines))
            self._live[host] += events

    def _close(self, stem: str, record: Record) -> None:
        """Write what follows from the record: the rest of the events, JUnit, and last the end of the log."""
        problems = []
        for step in (self._close_bpf, self._close_xml, self._close_page, self._close_log):
            try:
                step(stem, record)
            except (FileError, FileExistsError) as error:  # one file that fails must not cost the others
                problems.append(str(error))
        if problems:
            raise FileError(" ".join(problems))

    def _close_bpf(self, stem: str, record: Record) -> None:
        fresh, events = bpf_log.find_unwritten(record, stem, self._live)
        closing = bpf_log.render_block(record, events, bpf_log.read_histograms(record, stem))
        lines = [*bpf_log.render_events(fresh, len(record["hosts"]) > 1, clock_offsets(record)), *closing]
        report_files.append_text(f"{stem}{report_files.ENDINGS['bpf']}", _text(lines))

    def _close_xml(self, stem: str, record: Record) -> None:
        report_files.create_file(f"{stem}{report_files.ENDINGS['xml']}", render_junit(record))

    def _close_page(self, stem: str, record: Record) -> None:
        page_file.write_page(record, stem, f"{stem}{report_files.ENDINGS['html']}")

    def _close_log(self, stem: str, record: Record) -> None:
        lines = text.render_report(record, report_files.existing_paths(stem), self.width)
        report_files.append_text(f"{stem}{report_files.ENDINGS['log']}", _text(lines))


def _sentences(report: Mapping[str, Any]) -> list[str]:
    """Return what kept monitoring from being told of the run."""
    untold = report.get("untold")
    return [escape_line(each) for each in untold] if isinstance(untold, list) else []


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
