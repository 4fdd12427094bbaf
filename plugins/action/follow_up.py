# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a run, on the controller: see the module of the same name for its documentation."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.modules import follow_up as module
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import RecordError, load_record
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import FileError
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up import files
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.follow_up.advice import give_advice
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec

_ARGUMENTS = argument_spec.read_arguments(module.DOCUMENTATION)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Write the files; what cannot be done is one sentence."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        result.update(changed=False, files={}, advice=[])
        path = os.path.abspath(given["record"]) if given["record"] else ""
        try:
            if not path:
                raise RecordError("No record was named: add -e chaos_record=/path/to/chaos-exp-….json.")
            record = load_record(path)
            found = give_advice(files.most_telling(record))
            result["advice"] = [f"{one.sentence} (finding: {one.title})" for one in found]
            source = path.removesuffix(".json")
            result["files"] = files.paths_of(source)
            if not self._task.check_mode:
                files.write_follow_up(record, source)
            result["changed"] = True
        except (RecordError, FileError) as error:
            result.update(failed=True, msg=str(error))
        except FileExistsError as error:
            sentence = f"The file {error.args[0]} is there already: nothing is overwritten."
            result.update(failed=True, msg=sentence)
        return result
