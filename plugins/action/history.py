# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison and index of runs, on the controller: see the module of the same name for its documentation."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import history as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.record import report_files
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.folder import load_named_records
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import RecordError
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.history import comparison, pages
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.tables import render_table
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)
_REQUIRED = [("state", "compared", ["before", "after"]), ("state", "indexed", ["report_dir"])]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Write the page and return what it says; what cannot be done is one sentence."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS, required_if=_REQUIRED)
        result.update(changed=False, page="", verdict="", lines=[])
        act = {"compared": self._compare, "indexed": self._index}[given["state"]]
        try:
            result.update(act(given))
        except (FileError, RecordError, ValueError) as error:
            result.update(failed=True, msg=str(error))
        return result

    def _compare(self, given: Result) -> Result:
        before, after = load_named_records(given["before"]), load_named_records(given["after"])
        found = comparison.compare_runs(before, after)
        verdict = comparison.gate_reason(found)
        folder = given["report_dir"] or os.path.dirname(os.path.abspath(given["after"][-1]))
        path = os.path.join(folder, f"chaos-compare-{after[-1]['experiment']['number']:02d}.html")
        rows = [["verdict", "host", "finding", "before", "after", "why"]]
        rows += [[one.verdict, one.host, one.title, one.before, one.after, one.why] for one in found]
        lines = [*render_table(rows), "", verdict or "Nothing is worse than before.", f"page: {path}"]
        return {
            **self._write(path, pages.render_comparison(before, after, found, verdict)),
            "verdict": verdict,
            "lines": lines,
            "findings": [asdict(one) for one in found],
        }

    def _index(self, given: Result) -> Result:
        path = os.path.join(os.path.abspath(given["report_dir"]), "chaos-index.html")
        written = self._write(path, pages.render_index(os.path.dirname(path)))
        return {**written, "lines": [f"index: {path}"]}

    def _write(self, path: str, text: str) -> Result:
        if not self._task.check_mode:
            report_files.check_folder(os.path.dirname(path))
            report_files.renew_page(path, text)
        return {"changed": True, "page": path}
