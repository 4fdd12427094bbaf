# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completes a run's record with what its hosts kept: see the module of the same name for its documentation."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ansible_collections.exchange.chaos.plugins.action import record as record_action
from ansible_collections.exchange.chaos.plugins.action.report import summarize_record, untag_value
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Variables
from ansible_collections.exchange.chaos.plugins.modules import collect as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import presence
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.results import leave_host_out, read_dicts
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import collect, report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.collect import (
    CollectError,
    CollectionPlan,
    Found,
)
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import RecordError, check_record
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import hosts_overview, render, text
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import utc_now

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
_REQUIRED = [("state", "fetched", ["plan"]), ("state", "written", ["plan"])]

Arguments = dict[str, Any]
Result = dict[str, Any]


class ActionModule(record_action.ActionModule):
    """Who owes a record, what each has, and the completed record; only the second of these asks a host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Do what ``state`` says; whatever cannot be done is one sentence."""
        super(record_action.ActionModule, self).run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS, required_if=_REQUIRED)
        arguments = untag_value(given)
        result: Result = {"changed": False, "chaos_lines": []}
        try:
            if arguments["state"] == "planned":
                return {**result, **self._plan(arguments)}
            plan = CollectionPlan(
                **{key: arguments["plan"][key] for key in CollectionPlan.__dataclass_fields__}
            )
            if arguments["state"] == "fetched":
                return {**result, **self._fetch_from_host(plan, arguments, dict(task_vars or {}))}
            return {**result, **self._write(plan, arguments["collected"])}
        except (CollectError, RecordError, FileError) as error:
            return {**result, "failed": True, "msg": str(error)}
        except FileExistsError as error:
            return {
                **result,
                "failed": True,
                "msg": f"The report file {error.filename or error} is there already.",
            }

    def _plan(self, arguments: Arguments) -> Result:
        if arguments["record"]:
            plan = collect.from_record(arguments["record"])
        elif arguments["run_id"]:
            inventory = self._task.get_variable_manager()._inventory
            # this play runs on the controller: the hosts it is restricted to are not those meant (--limit counts)
            chosen = inventory.get_hosts(arguments["targets"], ignore_restrictions=True)
            plan = collect.from_run(
                arguments["run_id"], arguments["report_dir"], [host.name for host in chosen]
            )
        else:
            raise CollectError(
                "Neither a record nor a run was named: add -e chaos_record=/path/to/chaos-exp-….json, "
                "or -e chaos_run_id=exp-01-… with chaos_targets."
            )
        if plan.hosts:
            lines = [
                _told("info", f"{_count(plan.hosts)} a record of run {plan.run_id}: {', '.join(plan.hosts)}")
            ]
        elif plan.base:
            lines = [
                _told("ok", f"Nothing is left to fetch: every host of run {plan.run_id} is in {plan.base}")
            ]
        else:
            raise CollectError(
                f"No host is meant by {arguments['targets']!r}: set chaos_targets to a group that is there."
            )
        return {**asdict(plan), "pattern": plan.hosts or ["localhost"], "chaos_lines": lines}

    def _fetch_from_host(self, plan: CollectionPlan, arguments: Arguments, variables: Variables) -> Result:
        host = str(variables.get("inventory_hostname"))
        nothing: Result = {"asked": False, "host_record": {}, "problem": ""}
        if host not in plan.hosts or self._task.check_mode:
            would = (
                [_line("info", f"Would ask for its record of run {plan.run_id}")]
                if host in plan.hosts
                else []
            )
            return {**nothing, "chaos_lines": would}
        wanted = {"run_id": plan.run_id, "stem": plan.stem, "state_dir": arguments["state_dir"]}
        self._task.args = {key: value for key, value in wanted.items() if value}
        result = super().run(None, variables)  # the rest of this is what exchange.chaos.record does
        # Told, not failed: a play in which all hosts fail would end before what the others gave is written.
        if result.get("failed"):
            problem = str(result.get("msg")) if result.get("known", True) else ""
            said = _line("fail", problem) if problem else _line("info", collect.NOTHING_THERE)
            if "chaos_unreachable" in result:
                problem = collect.AWAY
            return {**nothing, "asked": True, "problem": problem, "chaos_lines": [said]}
        kept: Result = {
            key: result[key]
            for key in ("host_record", "raw_files", "chaos_lines", "chaos_bpf", "warnings")
            if key in result
        }
        kept["chaos_lines"] = leave_host_out(read_dicts(kept, "chaos_lines"))
        return {**nothing, "asked": True, "changed": True, **kept}

    def _write(self, plan: CollectionPlan, collected: list[Any]) -> Result:
        answers = {host: answer for host, answer in zip(plan.hosts, collected) if isinstance(answer, dict)}
        if self._task.check_mode:
            return {"waiting": plan.hosts, "added": []}
        found = collect.sort_answers(plan, answers)
        result: Result = {"waiting": sorted(found.waiting), "added": sorted(found.records)}
        lines = []
        if found.records:
            result.update(self._complete(plan, found))
            lines = [
                _told("ok", f"Added to the record: {host} ({record['outcome']})")
                for host, record in found.records.items()
            ]
        elif plan.hosts and not found.waiting:
            lines = [_told("ok", f"Nothing more to fetch of run {plan.run_id}: no host holds any of it")]
        lines += [
            _told("warn", f"Still to be collected: {host}: {why}") for host, why in found.waiting.items()
        ]
        result["chaos_lines"] = lines
        if found.waiting:
            names = ", ".join(sorted(found.waiting)[: hosts_overview.NAMED])
            more = len(found.waiting) - hosts_overview.NAMED
            who = f"{names}{f' and {more} more' if more > 0 else ''}"
            result.update(
                failed=True,
                msg=f"Not complete: {who} could not give a record; collect again when that is mended.",
            )
        elif not found.records and not plan.base:
            result.update(
                failed=True, msg=f"No host holds anything of run {plan.run_id}: there is nothing to report."
            )
        return result

    def _complete(self, plan: CollectionPlan, found: Found) -> Result:
        """Write the completed record and its report under a name of its own."""
        record = check_record(collect.complete_record(plan, found), "The completed record")
        files = report_files.report_paths(plan.stem, *render.RENDERED, "json")
        report_files.create_file(
            files["json"], f"{json.dumps(record, indent=1, ensure_ascii=False)}\n", sync=True
        )
        collect.carry_samples(plan, found)
        render.write_reports(record, files, plan.stem)
        if not presence.is_present(presence.REPORT) and not presence.is_present(presence.CONSOLE):
            self._display.display("\n".join(text.render_report(record, files, brief=True)))
        return {
            **summarize_record(record),
            "changed": True,
            "stem": plan.stem,
            "files": files,
            "chaos_report": {"state": "rendered", "stem": plan.stem},
        }


def _count(hosts: list[str]) -> str:
    return f"{len(hosts)} host{'s owe' if len(hosts) > 1 else ' owes'}"


def _line(level: str, words: str) -> dict[str, str]:
    return {"at": utc_now(), "level": level, "text": words}


def _told(level: str, words: str) -> dict[str, str]:
    """Return a line of the controller: it belongs to no host."""
    return {**_line(level, words), "host": ""}
