# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.run: carries the host runtime along, and says whether the host is another machine."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.plugin_utils import reach
from ansible_collections.exchange.chaos.plugins.plugin_utils.runtime import build


class ActionModule(ActionBase):
    """Builds the runtime once per controller process, transfers it next to the module, and lets the module act."""

    _requires_connection = True

    @reach.noticing(
        "nothing was injected there, and a run that was opened after all is ended by the host itself"
    )
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module with ``runtime``, ``remote`` and the measured clock filled in."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments["remote"] = self._connection.transport != "local"
        opening = arguments.get("state", "present") == "present"
        if opening:
            arguments["runtime"] = self._carry()
            if isinstance(arguments.get("spec"), dict):
                arguments["spec"] = {**arguments["spec"], "clock": self._clock()}
        try:
            result = self._execute_module(
                module_name="exchange.chaos.run", module_args=arguments, task_vars=task_vars
            )
            spec = arguments.get("spec")
            # for the callbacks: where lines of several hosts stand together, each offset is taken off
            return {**result, "chaos_clock": spec.get("clock", {}) if isinstance(spec, dict) else {}}
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _carry(self) -> str:
        """Transfer the runtime and return its path on the host; Ansible's temporary folder takes it away again."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        path = self._connection._shell.join_path(self._connection._shell.tmpdir, "chaos.pyz")
        self._transfer_file(str(build()), path)
        self._fixup_perms2((self._connection._shell.tmpdir, path))
        return str(path)

    def _clock(self) -> dict[str, float | None]:
        """Read the host's clock three times and keep the shortest round trip: offset and its uncertainty in ms."""
        best: tuple[float, float] | None = None
        for _attempt in range(3):
            before = time.time()
            answer = self._low_level_execute_command("date +%s.%N", sudoable=False)
            after = time.time()
            try:
                host = float(str(answer.get("stdout", "")).split()[-1])
            except (IndexError, ValueError):
                continue
            half = (after - before) / 2
            if best is None or half < best[1]:
                best = (host - (before + half), half)
        if best is None:
            return {"offset_ms": None, "uncertainty_ms": None}
        return {"offset_ms": round(best[0] * 1000, 1), "uncertainty_ms": round(best[1] * 1000, 1)}
