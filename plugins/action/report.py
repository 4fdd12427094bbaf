# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report files of a run, on the controller: see the module of the same name for its documentation."""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Variables
from ansible_collections.exchange.chaos.plugins.modules import report as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import presence
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.merge import merge_hosts
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.missing_host import make_missing_host
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import (
    RecordError,
    load_record,
    read_schema,
    sound_host,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.schema import find_problems
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import render, text
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.hand_over import (
    check_destinations,
    hand_over,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.telemetry.problems import TelemetryProblem
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import parse_time, utc_now

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
_REQUIRED = [
    ("state", "reserved", ["report_dir", "number", "name"]),
    ("state", "written", ["stem", "hosts", "run_id", "experiment", "started_at", "collection_version"]),
    ("state", "rendered", ["record"]),
]
# The kinds that a reservation creates at once.
_RESERVED = ("log", "bpf")
# Results stay under 64 KiB; the rest of the result has room in what is left.
_LARGEST = 48 * 1024

Record = dict[str, Any]
Result = dict[str, Any]


class ReportRefused(Exception):
    """What was asked for cannot be done; the message is one sentence for people."""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Reserve names, write the record, render it."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS, required_if=_REQUIRED)
        arguments = untag_value(given)
        result.update(
            changed=True, stem="", files={}, outcome="", verdicts={}, chaos_report={},
            chaos_record=None, chaos_record_complete=False,
        )  # fmt: skip
        act = {"reserved": self._reserve, "written": self._write, "rendered": self._render}[
            arguments["state"]
        ]
        # Told in the result, not raised: Ansible would add the sentence of every cause to ours.
        try:
            result.update(act(arguments))
        except (ReportRefused, FileError, RecordError) as error:
            result.update(failed=True, changed=False, msg=str(error))
        except FileExistsError as error:
            sentence = f"The report file {error.filename or error} is there already: nothing is overwritten."
            result.update(failed=True, changed=False, msg=sentence)
        return result

    def _reserve(self, arguments: Record) -> Result:
        at = arguments["at"] or utc_now()
        try:
            parse_time(at)
        except ValueError as error:
            raise ReportRefused(f"at is {at!r}: a time in UTC like {utc_now()} is needed.") from error
        report_files.check_folder(arguments["report_dir"])
        report_files.require_room(arguments["report_dir"])
        try:
            check_destinations(arguments["otel_endpoint"], arguments["metrics_file"])
        except TelemetryProblem as error:
            raise ReportRefused(str(error)) from error
        wanted = report_files.stem_of(os.path.abspath(arguments["report_dir"]), arguments["number"], at)
        report = {"state": "reserved", "stem": wanted, "hosts": [str(host) for host in arguments["hosts"]]}
        if self._task.check_mode:
            return {"stem": wanted, "chaos_report": {**report, "state": "planned"}}
        stem = report_files.reserve_files(wanted, _RESERVED)
        title = arguments["title"] or arguments["name"].replace("_", " ").capitalize()
        report_files.append_text(
            f"{stem}{report_files.ENDINGS['log']}", render.join_lines(text.render_banner(title))
        )
        return {
            "stem": stem,
            "files": report_files.report_paths(stem),
            "chaos_report": {**report, "stem": stem},
        }

    def _write(self, arguments: Record) -> Result:
        arguments["hosts"] += _without(arguments["without_record"], arguments["hosts"])
        if not all(isinstance(host, dict) for host in arguments["hosts"]) or not arguments["hosts"]:
            raise ReportRefused(
                "hosts must be the records of the hosts, one at least: there is nothing to write."
            )
        try:
            record = merge_hosts(
                [sound_host(host) for host in arguments["hosts"]],
                run_id=arguments["run_id"],
                experiment=arguments["experiment"],
                started_at=arguments["started_at"],
                ended_at=arguments["ended_at"] or utc_now(),
                collection_version=arguments["collection_version"],
                spread_ms=arguments["spread_ms"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ReportRefused(
                f"The record of a host is not one: {error!r} is missing or wrong in it."
            ) from error
        found = find_problems(record, read_schema())
        warnings = [f"The record does not match its schema: {'; '.join(found[:5])}"] if found else []
        stem, path = arguments["stem"], f"{arguments['stem']}{report_files.ENDINGS['json']}"
        result: Result = {
            **summarize_record(record),
            "stem": stem,
            "chaos_report": {"state": "written", "stem": stem},
        }
        if self._task.check_mode:
            return {**result, "chaos_report": {"state": "planned", "stem": stem}, "chaos_record": None}
        report_files.create_file(path, f"{json.dumps(record, indent=1, ensure_ascii=False)}\n", sync=True)
        untold = hand_over(record, arguments["otel_endpoint"], arguments["metrics_file"])
        result["chaos_report"]["untold"] = untold
        if warnings or untold:
            result["warnings"] = [*warnings, *untold]
        if not presence.is_present(presence.REPORT):
            self._display.display(
                "The record is written; for the report of this run: "
                f"ansible-playbook exchange.chaos.report -e chaos_record={shlex.quote(path)}"
            )
            return {**result, "files": {"json": path}}
        return {**result, "files": report_files.report_paths(stem)}

    def _render(self, arguments: Record) -> Result:
        if not arguments["record"]:
            raise ReportRefused("No record was named: add -e chaos_record=/path/to/chaos-exp-….json.")
        path = os.path.abspath(arguments["record"])
        record = load_record(path)
        source = path[: -len(".json")] if path.endswith(".json") else path
        stem = _free(source, render.render_head(record))
        files = {**report_files.report_paths(stem, *render.RENDERED), "json": path}
        result = {**summarize_record(record), "stem": stem, "files": files}
        result["chaos_report"] = {"state": "rendered", "stem": stem}
        if self._task.check_mode:
            return {**result, "chaos_record": None}
        report_files.check_folder(os.path.dirname(path))
        render.write_reports(record, files, source)
        if not presence.is_present(presence.REPORT) and not presence.is_present(presence.CONSOLE):
            self._display.display("\n".join(text.render_report(record, files, brief=True)))
        return result


def _without(pairs: list[Any], hosts: list[Any]) -> list[Record]:
    """Return what can be said of the hosts that gave no record: (host, {outcome, reason, wave}) each."""
    if not all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1] or {}, dict) for pair in pairs
    ):
        raise ReportRefused(
            "without_record must hold pairs of a host's name and its problem (outcome, reason)."
        )
    known = {host.get("host") for host in hosts if isinstance(host, dict)}
    unknown = {"outcome": "invalid", "reason": "The host was not reached, or its run gave no record."}
    fields = [(str(host), {**unknown, **(problem or {})}) for host, problem in pairs if host not in known]
    return [
        make_missing_host(host, str(told["outcome"]), str(told["reason"]), int(told.get("wave", 1)))
        for host, told in fields
    ]


def untag_value(value: Any) -> Any:
    """Return ``value`` in plain Python types: templating hands out lazy and tagged ones that json cannot be given."""
    if isinstance(value, dict):
        return {str(key): untag_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [untag_value(each) for each in value]
    if isinstance(value, str):
        return str(value)
    return value


def summarize_record(record: Record) -> Result:
    carried, complete = _carried(record)
    return {
        "outcome": record["outcome"],
        "verdicts": record["verdicts"],
        "chaos_record": carried,
        "chaos_record_complete": complete,
    }


def _carried(record: Record) -> tuple[Record, bool]:
    """Return as much of a record as a result may carry, and whether that is all: first the timelines go."""
    shorter = {**record, "hosts": [{**host, "timeline": []} for host in record["hosts"]]}
    for index, each in enumerate((record, shorter)):
        if len(json.dumps(each, ensure_ascii=False).encode("utf-8", "replace")) <= _LARGEST:
            return each, index == 0
    return {**record, "hosts": []}, False


def _free(source: str, head: str) -> str:
    """Return the stem to render to: the record's own, or with -2, -3 … where a rendered file is there already."""
    stem, attempt = source, 1
    while not all(
        report_files.is_blank(path, head if kind == "log" else "")
        for kind, path in report_files.report_paths(stem, *render.RENDERED).items()
    ):
        attempt += 1
        stem = f"{source}-{attempt}"
    return stem
