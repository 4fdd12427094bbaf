# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.window: the module of the same name on the host, unless nobody is left to tell.

Between two slices the hosts of a wave hear of each other: one that was aborted leaves word, the others abort theirs.
"""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import aborts, unreachable
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Runs the module; a worker that outlived its play would otherwise watch on and keep the run alive on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    @unreachable.fail_when_unreachable(done=True)
    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Watch one slice of the window."""
        play = multiprocessing.parent_process()
        if play is not None and not play.is_alive():
            os._exit(1)  # no clean-up of ours is worth a word to the host: its watchdog ends the run now
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        run_id, host = str(arguments.get("run_id")), str((task_vars or {}).get("inventory_hostname"))
        told = "" if self._task.check_mode else aborts.find_abort(run_id, host)
        if told:
            arguments["abort"] = told
        result.update(run_module(self, "window", arguments, task_vars))
        if not told:
            aborts.pass_on(run_id, host, result)
        return result
