# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of every fault module: the module on the host, and word to the wave of an abort that it met.

A host that was aborted before its fault began fails there, and comes to no window that would tell the others.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule

from ..fleet import aborts


class FaultAction(ActionModule):  # type: ignore[misc]  # ansible-core is untyped
    """Runs the module whose name the task has; ``plugins/action/`` has a subclass for each."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Inject or undo the fault."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        run_id, host = str(self._task.args.get("run_id")), str((task_vars or {}).get("inventory_hostname"))
        # where another host left word, this one was aborted for it, and all know
        if not aborts.find_abort(run_id, host):
            aborts.pass_on(run_id, host, result)
        return result
