# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.halt: carries the host runtime along, for a run whose own runtime is lost or broken."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import carry_archive


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Halts without it all the same: a full disk of the host must not keep a fault in force."""

    TRANSFERS_FILES = True
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, with ``runtime`` filled in where the host took it."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        with contextlib.suppress(AnsibleError):
            arguments["runtime"] = carry_archive(self)
        try:
            return dict(self._execute_module(module_args=arguments, task_vars=task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
