# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.libraries: see the module of the same name for its documentation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Arguments, Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import wheels


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Says to the module which wheels there are, and carries them over only where something is to be made."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Ask the host; carry; make."""
        super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        folder = self._task.args.get("wheels")
        try:
            files = wheels.find_wheels(str(folder) if folder else None)
        except (wheels.WheelError, OSError) as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        arguments: dict[str, Any] = {"manifest": wheels.hash_wheels(files)}
        answer = self._module(arguments, variables)
        if answer.get("failed") or not answer.get("changed") or self._task.check_mode:
            return answer
        if not self._connection._shell.tmpdir:  # a second would hide the first, which then stayed there
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "wheels.zip")
        try:
            with tempfile.TemporaryDirectory() as scratch:
                self._transfer_file(str(wheels.pack_wheels(files, Path(scratch))), remote)
            return self._module({**arguments, "archive": remote}, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _module(self, arguments: Arguments, variables: Variables) -> Result:
        name = "exchange.chaos.libraries"
        return dict(self._execute_module(module_name=name, module_args=arguments, task_vars=variables))
