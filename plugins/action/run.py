# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind exchange.chaos.run: carries the host runtime along, and says whether the host is another machine."""

from __future__ import annotations

import json

from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Arguments, Result, Variables
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import unreachable
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.host_clock import measure_offset
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import run_module
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.runtime import carry_archive


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Builds the runtime once per controller process, transfers it next to the module, and lets the module act."""

    _requires_connection = True

    @unreachable.fail_when_unreachable(
        "nothing was injected there, and a run that was opened after all is ended by the host itself"
    )
    def run(self, tmp: str | None = None, task_vars: Variables | None = None) -> Result:
        """Run the module with ``runtime``, ``remote`` and the measured clock filled in."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments["remote"] = self._connection.transport != "local"
        opening = arguments.get("state", "present") == "present"
        if opening:
            arguments["runtime"] = carry_archive(self)
            if isinstance(arguments.get("spec"), dict):
                arguments["spec"], arguments["secrets"] = self._set_apart(arguments["spec"])
                clock = measure_offset(self, dict(task_vars or {}))
                arguments["spec"] = {**arguments["spec"], "clock": clock.fields()}
        try:
            result = run_module(self, "run", arguments, task_vars, runtime=str(arguments.get("runtime", "")))
            spec = arguments.get("spec")
            # for the callbacks: where lines of several hosts stand together, each offset is taken off
            return {**result, "chaos_clock": spec.get("clock", {}) if isinstance(spec, dict) else {}}
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _set_apart(self, spec: Arguments) -> tuple[Result, str]:
        """Take what is secret out of the specification and into a file on the host; return spec and its path.

        A module's arguments are shown with -vvv, and a no_log argument would be blotted out of every line that
        happens to hold the same word. The path is empty where there is nothing secret.
        """
        database = dict(spec.get("database") or {})
        admin = dict(database.get("admin") or {})
        found = {"password": database.pop("password", None), "admin_password": admin.pop("password", None)}
        load = dict(spec.get("load") or {})
        asked = {name: load.pop(name, None) for name in ("headers", "authority")}
        kept = {
            **{name: str(value) for name, value in found.items() if value},
            **{name: value for name, value in asked.items() if value},
        }
        if not kept:
            return spec, ""
        if admin:
            database["admin"] = admin
        path = self._connection._shell.join_path(self._connection._shell.tmpdir, "secrets.json")
        self._transfer_data(path, json.dumps(kept))
        self._fixup_perms2((self._connection._shell.tmpdir, path), execute=False)
        shown = {name: value for name, value in (("database", database), ("load", load)) if name in spec}
        return {**spec, **shown}, str(path)
