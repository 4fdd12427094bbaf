# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.runtime: see the module of the same name for its documentation."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import build_archive


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Builds the runtime and lets Ansible's own copy lay it on the host: idempotent, with check mode and diff."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Copy the runtime to ``dest``."""
        result = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={"dest": {"type": "path", "required": True}}
        )
        task = self._task.copy()
        task.args = {"src": str(build_archive()), "dest": str(given["dest"]), "mode": "0644"}
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result.update(copy.run(task_vars=task_vars))
        return dict(result)
