# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of every fault module: the module on the host, and word to the wave of an abort that it met.

A host that was aborted before its fault began fails there, and comes to no window that would tell the others.
The action of each kind's module is this one; by its own name it runs the module of the kind it is given.
"""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import aborts
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module

_OWN = "fault"
_COLLECTION = "exchange.chaos"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Runs the module of a kind of fault."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Inject or undo the fault."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        name = str(self._task.action).rpartition(".")[2]
        if name == _OWN:
            name = str(arguments.pop("kind", "") or "")
            if not name.isidentifier() or name == _OWN:
                return {
                    "failed": True,
                    "changed": False,
                    "msg": f"{_COLLECTION}.{_OWN} needs the kind of the fault, such as kill; it is {name!r}.",
                }
        result = run_module(self, name, arguments, task_vars)
        self._remove_tmp_path(self._connection._shell.tmpdir)
        run_id, host = str(arguments.get("run_id")), str((task_vars or {}).get("inventory_hostname"))
        # where another host left word, this one was aborted for it, and all know
        if not aborts.find_abort(run_id, host):
            aborts.pass_on(run_id, host, result)
        return result
