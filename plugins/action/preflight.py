# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.preflight: carries the host runtime along, which holds every kind of fault to try."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import carry_archive


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Lets the module look; check mode changes nothing either, and leaves nothing."""

    TRANSFERS_FILES = True
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Run the module with ``runtime`` filled in."""
        super().run(tmp, task_vars)
        try:
            arguments = {**self._task.args, "runtime": carry_archive(self)}
            return run_module(self, "preflight", arguments, task_vars, runtime=arguments["runtime"])
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
