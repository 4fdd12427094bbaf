# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.halt: carries the host runtime along, for a run whose own runtime is lost or broken."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import carry_if_possible


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Halts without it all the same: a full disk of the host must not keep a fault in force."""

    TRANSFERS_FILES = True
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, with ``runtime`` filled in where the host took it."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if runtime := carry_if_possible(self):
            arguments["runtime"] = runtime
        try:
            return run_module(self, "halt", arguments, task_vars, runtime=runtime)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
